"""This module makes the parameters of a flow from a Pydantic model, and a run's values one."""

from collections.abc import Iterator, Mapping
from typing import Any

from ostinato.authoring.parameters import REQUIRED, parameter_of
from ostinato.errors import ParameterError, Place
from ostinato.model.flow import Parameter


def is_model(value: object) -> bool:
    """Whether something is a class of Pydantic models."""
    return isinstance(value, type) and hasattr(value, "model_json_schema")


def parameters_of_model(model: Any, place: Place | None = None) -> dict[str, Parameter]:
    """Return the parameters that the fields of a model are.

    Args:
        model: The class; each field is a parameter under its alias, if it has one.
        place: Where it is given to a flow.
    """
    schema = model.model_json_schema()
    definitions = schema.get("$defs")
    found: dict[str, Parameter] = {}
    for field_name, field in model.model_fields.items():
        name = field.validation_alias or field.alias or field_name
        part = {key: value for key, value in schema["properties"][name].items() if key != "default"}
        if definitions:
            part["$defs"] = definitions
        default = REQUIRED if field.is_required() else field.get_default(call_default_factory=True)
        made = parameter_of(name, default, schema=part, place=place)
        found[name] = made
    return found


class ModelParameters(Mapping[str, Any]):
    """The parameters of a run as their model, and as a mapping.

    Args:
        model: The model's instance.
        values: What a task adds of its own.
    """

    def __init__(self, model: Any, values: Mapping[str, Any]) -> None:
        self.model = model
        self._values = values

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__.get("_values", ()):
            return self._values[name]
        return getattr(self.__dict__["model"], name)

    def __getitem__(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        if name not in type(self.model).model_fields:
            raise KeyError(name)
        return getattr(self.model, name)

    def __iter__(self) -> Iterator[str]:
        return iter({**dict.fromkeys(type(self.model).model_fields), **self._values})

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return repr(self.model)


def validated(model: Any, values: Mapping[str, Any], flow: str) -> Any:
    """Return a run's values as an instance of the model.

    Args:
        model: The class.
        values: Plain data by the parameter's name.
        flow: Name of the flow, for the message.

    Raises:
        ParameterError: The model refuses them; names the parameter.
    """
    # The user's model has imported it.
    from pydantic import ValidationError  # noqa: PLC0415 - see above

    try:
        return model.model_validate(values)
    except ValidationError as error:
        first, *others = error.errors(include_url=False, include_input=False)
        name = ".".join(map(str, first["loc"]))
        subject = f"parameter {name!r}" if name else "the parameters"
        more = f"; {len(others)} more" if others else ""
        message = f"{subject} of flow {flow!r}: {first['msg']}{more}"
        raise ParameterError(message) from None
