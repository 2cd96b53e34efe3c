"""This module reads and checks the templates of the names of runs."""

import inspect
from collections.abc import Callable, Collection, Mapping
from string import Formatter
from typing import Any

from ostinato.authoring.places import calling_place, relative_place
from ostinato.authoring.suggestions import did_you_mean
from ostinato.authoring.templates import is_template
from ostinato.errors import InvalidArgument, Place

#: What a template sees beside the parameters.
OF_THE_RUN = ("flow", "logical_date", "ds")

#: A function that names a run, given ``parameters`` if it takes them.
NameFunction = Callable[..., str]


def name_template(value: Any) -> str:
    """Return the template of the names of runs as text.

    Args:
        value: As the user wrote it.

    Raises:
        InvalidArgument: It is no text.
    """
    if value is None or isinstance(value, str):
        return value or ""
    message = f"run_name: {value!r} is no text"
    hint = "a function may name the runs of a flow that is a function" if callable(value) else ""
    raise InvalidArgument(message, place=relative_place(calling_place()), hint=hint)


def check_name_template(template: str, parameters: Collection[str], place: Place) -> None:
    """Refuse a template that does not parse or uses a name that there is not.

    Args:
        template: ``{day}`` or ``{{ day }}``; of the latter, names are looked up when it is used.
        parameters: Of the flow.
        place: Of the flow.

    Raises:
        InvalidArgument: It is wrong.
    """
    if not template or is_template(template):
        return
    try:
        fields = [field for _, field, _, _ in Formatter().parse(template) if field is not None]
    except ValueError as err:
        message = f"run_name {template!r}: {err}"
        raise InvalidArgument(message, place=place) from None
    known = [*parameters, *OF_THE_RUN]
    for field in fields:
        name = field.partition(".")[0].partition("[")[0]
        if name not in known:
            message = f"run_name {template!r}: {name!r} is no parameter of the flow"
            raise InvalidArgument(message, place=place, hint=did_you_mean(name, known))


def called_name(function: NameFunction, parameters: Mapping[str, Any]) -> str:
    """Return the name that a function gives a run.

    Args:
        function: As the user wrote it.
        parameters: Of the run.
    """
    takes = inspect.signature(function).parameters
    return str(function(parameters=dict(parameters)) if "parameters" in takes else function())
