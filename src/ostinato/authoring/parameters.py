"""This module makes the parameters of a flow from annotations, defaults and ``Param``."""

import datetime
import decimal
import enum
import inspect
import pathlib
import types
import typing
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import msgspec

from ostinato.authoring.json_schema import find_problem
from ostinato.authoring.places import calling_place, relative_place
from ostinato.authoring.signatures import UNTYPED, signature_of
from ostinato.authoring.suggestions import did_you_mean
from ostinato.errors import InvalidArgument, Place
from ostinato.model.flow import Parameter

#: JSON Schema of the types that have a plain one.
_SCHEMAS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
    None: {"type": "null"},
    datetime.datetime: {"type": "string", "format": "date-time"},
    datetime.date: {"type": "string", "format": "date"},
    datetime.time: {"type": "string", "format": "time"},
    datetime.timedelta: {"type": "string", "format": "duration"},
    decimal.Decimal: {"type": "string", "format": "decimal"},
    uuid.UUID: {"type": "string", "format": "uuid"},
    pathlib.Path: {"type": "string", "format": "path"},
    dict: {"type": "object"},
    list: {"type": "array"},
    tuple: {"type": "array"},
    set: {"type": "array"},
    frozenset: {"type": "array"},
}
_ARRAYS = (list, tuple, set, frozenset)
_JSON_TYPES = frozenset({str, bool, int, type(None), None, Any, UNTYPED})


#: Words of JSON Schema that ``Param`` takes as they are, and Airflow's for its forms.
_KEYWORDS = frozenset(
    {
        "additionalProperties",
        "allOf",
        "anyOf",
        "const",
        "contentMediaType",
        "description_md",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "maxItems",
        "maxLength",
        "minItems",
        "minLength",
        "multipleOf",
        "not",
        "oneOf",
        "prefixItems",
        "properties",
        "required",
        "uniqueItems",
        "values_display",
    }
)


class _Required:
    def __repr__(self) -> str:
        return "required"


#: Stands for the default of a parameter that every run must give.
REQUIRED: Any = _Required()


class ParameterOptions:
    """What ``Param`` says about a parameter.

    Attributes:
        default: Used when a run says nothing, ``REQUIRED`` if every run must give it.
        schema: JSON Schema that a value must fit, beside that of an annotation.
        description: One line for people.
    """

    def __init__(self, default: Any, schema: dict[str, Any], description: str) -> None:
        self.default = default
        self.schema = schema
        self.description = description

    def with_default(self, default: Any) -> "ParameterOptions":
        """Return the same with another default."""
        return ParameterOptions(default, self.schema, self.description)


def Param(  # noqa: N802 - Airflow's name; typed as Any to be the default of any annotation
    default: Any = REQUIRED,
    description: str = "",
    *,
    type: str | Sequence[str] | None = None,
    enum: Sequence[Any] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    min_items: int | None = None,
    max_items: int | None = None,
    pattern: str | None = None,
    format: str | None = None,
    items: Mapping[str, Any] | None = None,
    title: str | None = None,
    section: str | None = None,
    examples: Sequence[Any] | None = None,
    schema: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> Any:
    """Say what a parameter of a flow may be, in more words than an annotation has.

    Args:
        default: Used when a run says nothing; without one every run must give it.
        description: One line for people.
        type: JSON type, or a list of them: ``string``, ``integer``, ``number``, ``boolean``,
            ``array``, ``object``, ``null``.
        enum: The allowed values.
        minimum: Smallest number.
        maximum: Largest number.
        min_length: Smallest number of characters.
        max_length: Largest number of characters.
        min_items: Smallest number of items of an array.
        max_items: Largest number of items of an array.
        pattern: Regular expression that a text must contain.
        format: Such as ``date`` or ``date-time``.
        items: JSON Schema of the items of an array.
        title: Shown instead of the name.
        section: Heading under which a form shows it.
        examples: Values that a form suggests.
        schema: JSON Schema that a value must fit; the other arguments add to it.
        keywords: Further words of JSON Schema as it spells them, such as ``minLength``.

    Raises:
        InvalidArgument: A keyword is none of JSON Schema.

    Example:
        ``DAG("etl", params={"rows": Param(100, type="integer", minimum=1)})``, or
        ``def etl(rows: int = Param(100, minimum=1))`` below ``@dag``.
    """
    said = {
        "type": type if type is None or isinstance(type, str) else list(type),
        "enum": None if enum is None else list(enum),
        "minimum": minimum,
        "maximum": maximum,
        "minLength": min_length,
        "maxLength": max_length,
        "minItems": min_items,
        "maxItems": max_items,
        "pattern": pattern,
        "format": format,
        "items": None if items is None else dict(items),
        "title": title,
        "section": section,
        "examples": None if examples is None else list(examples),
    }
    for name in keywords:
        if name not in _KEYWORDS:
            known = [*_KEYWORDS, *signature_of(Param).names]
            raise InvalidArgument(
                f"Param takes no argument {name!r}",
                place=relative_place(calling_place()),
                hint=did_you_mean(name, known),
            )
    written = {key: value for key, value in said.items() if value is not None}
    return ParameterOptions(default, {**(schema or {}), **keywords, **written}, description)


def parameter_of(
    name: str,
    default: Any = REQUIRED,
    *,
    annotation: Any = UNTYPED,
    schema: Mapping[str, Any] | None = None,
    place: Place | None = None,
) -> Parameter:
    """Return a parameter of the model.

    Args:
        name: As callers write it.
        default: A value, a ``Param``, or ``REQUIRED``.
        annotation: Its type, ``UNTYPED`` if nothing is known.
        schema: Its JSON Schema, in place of an annotation's.
        place: Where it stands.

    Raises:
        InvalidArgument: If the default cannot be written as JSON, or does not fit.
    """
    fitting = dict(schema_of(annotation) if schema is None else schema)
    description = str(fitting.get("description", ""))
    if isinstance(default, ParameterOptions):
        fitting |= default.schema
        description = default.description or description
        default = default.default
        if default is None and find_problem(None, fitting):
            # Airflow's way to say that every run must give it.
            default = REQUIRED
    if default is REQUIRED:
        return Parameter(name, schema=fitting, is_required=True, description=description)
    plain = json_default(name, default, place)
    # `day: str = None` is how people write what may be left out.
    problem = "" if plain is None else find_problem(plain, fitting)
    if problem:
        message = f"the default of parameter {name!r} does not fit: {problem}"
        raise InvalidArgument(message, place=place)
    return Parameter(name, schema=fitting, default=plain, description=description)


def json_default(name: str, default: Any, place: Place | None = None) -> Any:
    """Return a default as JSON has it.

    Raises:
        InvalidArgument: If it cannot be written as JSON.
    """
    try:
        return msgspec.json.decode(msgspec.json.encode(default, enc_hook=_plain))
    except (TypeError, ValueError) as err:
        message = f"the default of parameter {name!r} cannot be written as JSON: {err}"
        raise InvalidArgument(message, place=place) from None


def schema_of(annotation: Any) -> dict[str, Any]:
    """Return the JSON Schema of an annotation; empty, which accepts anything, if it has none."""
    if annotation is UNTYPED or annotation is Any:
        return {}
    if _is_pydantic(annotation):
        return dict(_adapter(annotation).json_schema())
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return schema_of(args[0])
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (typing.Union, types.UnionType):
        return _schema_of_union(args)
    kind = origin or annotation
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {"enum": [member.value for member in kind]}
    schema = dict(_SCHEMAS.get(kind, {}))
    if kind in _ARRAYS and args and (kind is not tuple or args[1:] == (...,)):
        items = schema_of(args[0])
        return schema | {"items": items} if items else schema
    if kind is dict and len(args) == 2:
        values = schema_of(args[1])
        return schema | {"additionalProperties": values} if values else schema
    return schema


def converter_of(annotation: Any) -> Callable[[Any], Any] | None:
    """Return what makes the annotated type of a JSON value; None if nothing is to be done."""
    if _is_json(annotation):
        return None
    if _is_pydantic(annotation):
        validate: Callable[[Any], Any] = _adapter(annotation).validate_python
        return validate
    try:
        msgspec.json.Decoder(annotation, dec_hook=_construct)
    except (TypeError, RuntimeError):  # a type that msgspec does not take
        return None
    return lambda value: msgspec.convert(value, annotation, dec_hook=_construct)


def _schema_of_union(members: Sequence[Any]) -> dict[str, Any]:
    schemas = [schema_of(member) for member in members]
    if not all(schemas):
        return {}
    if all(schema.keys() == {"type"} for schema in schemas):
        return {"type": [schema["type"] for schema in schemas]}
    return {"anyOf": schemas}


def _is_json(annotation: Any) -> bool:
    if get_origin(annotation) is Literal:
        return True
    kind = get_origin(annotation) or annotation
    if kind in (list, dict, typing.Union, types.UnionType):
        return all(_is_json(member) for member in get_args(annotation))
    return kind in _JSON_TYPES


def _is_pydantic(annotation: Any) -> bool:
    if get_origin(annotation) is Literal:
        return False
    if hasattr(annotation, "__pydantic_core_schema__") or hasattr(annotation, "model_json_schema"):
        return True
    return any(_is_pydantic(member) for member in get_args(annotation))


def _adapter(annotation: Any) -> Any:
    # Imported only where the user's own annotation needs it.
    from pydantic import TypeAdapter  # noqa: PLC0415 - see above

    return TypeAdapter(annotation)


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, pathlib.PurePath):
        return str(value)
    message = f"{type(value).__name__} has no form in JSON"
    raise TypeError(message)


def _construct(kind: type, value: Any) -> Any:
    return kind(value) if inspect.isclass(kind) and issubclass(kind, pathlib.PurePath) else value
