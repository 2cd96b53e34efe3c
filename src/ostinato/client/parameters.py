"""This module checks what a run is given: its parameters and its moment."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Any

import msgspec

from ostinato.authoring.json_schema import describe, find_problem, types_of
from ostinato.authoring.quantities import seconds_of
from ostinato.engine.timetable import zone_of
from ostinato.errors import ParameterError, UsageError
from ostinato.model.flow import FlowDefinition, Parameter

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


def validate_params(flow: FlowDefinition, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a run as plain data, defaults filled in.

    Args:
        flow: What is to be run.
        params: Values by name; dates and models become what JSON can say.

    Raises:
        ParameterError: One is unknown, missing, or does not fit its schema.
    """
    known = {parameter.name: parameter for parameter in flow.parameters}
    given = {name: _plain(flow, name, value) for name, value in params.items()}
    for name in given:
        if name not in known:
            raise _unknown(flow, name)
    values: dict[str, Any] = {}
    for name, parameter in known.items():
        if name not in given:
            if parameter.is_required:
                message = f"flow {flow.name!r} needs the parameter {name!r}"
                raise ParameterError(message, hint=_listed(flow))
            values[name] = parameter.default
            continue
        problem = find_problem(given[name], parameter.schema)
        if problem:
            message = f"parameter {name!r} of flow {flow.name!r}: {problem}"
            raise ParameterError(message, hint=_listed(flow))
        values[name] = given[name]
    return values


def read_params(
    flow: FlowDefinition,
    assignments: Iterable[str],
    file: Path | None = None,
    *,
    given: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the parameters of a run from the command line, defaults filled in.

    Args:
        flow: What is to be run.
        assignments: One ``name=value`` each; they are stronger than the file.
        file: JSON object with parameters.
        given: Parameters that both are stronger than.

    Raises:
        ParameterError: One is unknown, missing, or does not fit its schema.
    """
    values = dict(given or {})
    if file is not None:
        try:
            values.update(msgspec.json.decode(file.read_bytes(), type=dict[str, Any]))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ParameterError(f"{file} holds no JSON object: {error}") from None
    return validate_params(flow, {**values, **read_texts(flow, assignments)})


def read_texts(flow: FlowDefinition, assignments: Iterable[str]) -> dict[str, Any]:
    """Return parameters that were written as text, such as ``day=2025-01-31``.

    Args:
        flow: What is to be run; its schemas say what a text stands for.
        assignments: One ``name=value`` each.

    Raises:
        ParameterError: One is no assignment, unknown, or no text for its type.
    """
    known = {parameter.name: parameter for parameter in flow.parameters}
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator:
            raise ParameterError(f"{assignment!r} gives no value", hint="write -p name=value")
        if name not in known:
            raise _unknown(flow, name)
        values[name] = read_text(text, known[name])
    return values


def read_text(text: str, parameter: Parameter) -> Any:
    """Return the value that a text stands for; as it is where it stands for none.

    What does not fit is left to ``validate_params``, which says so.
    """
    schema = parameter.schema
    for choice in schema.get("enum", ()):
        if text in (str(choice), msgspec.json.encode(choice).decode()):
            return choice
    types = types_of(schema)
    if not types:
        return text if isinstance(parameter.default, str) else _read_json(text, otherwise=text)
    readings = [_read_as(text, name) for name in types if name != "string"]
    fitting = [r for r in readings if r is not _NOTHING and not find_problem(r, schema)]
    if fitting:
        return fitting[0]
    if "string" in types:
        return _in_full(text, str(schema.get("format", "")))
    # Of the right type but out of bounds: then the bounds are what is to be said.
    typed = [reading for reading in readings if reading is not _NOTHING]
    return typed[0] if typed else text


def parse_moment_us(moment: datetime | date | str | None, timezone: str) -> int | None:
    """Return a logical date in microseconds since the epoch, None for None.

    Args:
        moment: A date stands for its midnight; text is read as ISO 8601.
        timezone: Zone of a moment without one; empty for UTC.

    Raises:
        UsageError: The text is no date.
    """
    if moment is None:
        return None
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment.strip())
        except ValueError:
            hint = "write 2025-01-31 or 2025-01-31T06:00"
            raise UsageError(f"{moment!r} is no date", hint=hint) from None
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=zone_of(timezone))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone_of(timezone))
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _plain(flow: FlowDefinition, name: str, value: Any) -> Any:
    try:
        return msgspec.to_builtins(value, str_keys=True, enc_hook=_encode)
    except TypeError as error:
        message = f"parameter {name!r} of flow {flow.name!r} cannot be written as JSON: {error}"
        raise ParameterError(message) from None


def _encode(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "model_dump"):  # a Pydantic model
        return value.model_dump(mode="json")
    message = f"{type(value).__name__} has no form in JSON"
    raise TypeError(message)


def _read_as(text: str, type_name: str) -> Any:
    match type_name:
        case "boolean":
            word = text.lower()
            return word in _TRUE if word in _TRUE | _FALSE else _NOTHING
        case "integer":
            return _number(text, int)
        case "number":
            whole = _number(text, int)
            return _number(text, float) if whole is _NOTHING else whole
        case "null":
            return None if text == "null" else _NOTHING
        case _:
            return _read_json(text, otherwise=_NOTHING)


def _in_full(text: str, text_format: str) -> str:
    """Write out what people shorten: a moment at midnight, a duration such as ``5m``."""
    try:
        if text_format == "date-time":
            return datetime.fromisoformat(text).isoformat()
        if text_format == "duration":
            return f"PT{seconds_of(text):g}S"
    except ValueError:
        return text
    return text


def _number(text: str, kind: type[int] | type[float]) -> Any:
    try:
        return kind(text)
    except ValueError:
        return _NOTHING


def _read_json(text: str, *, otherwise: Any) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return otherwise


def _unknown(flow: FlowDefinition, name: str) -> ParameterError:
    close = get_close_matches(name, [parameter.name for parameter in flow.parameters], n=1)
    hint = f"did you mean {close[0]!r}?" if close else _listed(flow)
    return ParameterError(f"flow {flow.name!r} has no parameter {name!r}", hint=hint)


def _listed(flow: FlowDefinition) -> str:
    if not flow.parameters:
        return "it has none"
    return "its parameters are " + ", ".join(map(_described, flow.parameters))


def _described(parameter: Parameter) -> str:
    text = f"{parameter.name}: {describe(parameter.schema)}"
    if parameter.is_required:
        return text
    return f"{text} = {msgspec.json.encode(parameter.default).decode()}"


#: Stands for a text that cannot be read as a type; None is a value.
_NOTHING: Any = object()
