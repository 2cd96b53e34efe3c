"""This module tests how the parameters and the moment of a run are checked."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ostinato.client.parameters import parse_moment_us, read_texts, validate_params
from ostinato.errors import InvalidArgument, ParameterError, UsageError
from ostinato.model.flow import FlowDefinition, Parameter


def flow(*parameters: Parameter) -> FlowDefinition:
    return FlowDefinition("etl", parameters=parameters)


ETL = flow(
    Parameter("day", {"type": "string", "format": "date"}, is_required=True),
    Parameter("rows", {"type": "integer", "minimum": 1}, default=100),
    Parameter("extra"),
)


def test_defaults_are_filled_in() -> None:
    assert validate_params(ETL, {"day": "2025-01-31"}) == {
        "day": "2025-01-31",
        "rows": 100,
        "extra": None,
    }


def test_python_values_become_plain_data() -> None:
    given = {"day": date(2025, 1, 31), "extra": {"path": Path("a/b"), "when": timedelta(minutes=5)}}

    values = validate_params(ETL, given)

    assert values["day"] == "2025-01-31"
    assert values["extra"] == {"path": "a/b", "when": "PT300S"}


def test_missing_parameter_is_named_with_all_there_are() -> None:
    with pytest.raises(ParameterError) as caught:
        validate_params(ETL, {})

    assert str(caught.value) == (
        "flow 'etl' needs the parameter 'day' "
        "(its parameters are day: date, rows: integer = 100, extra: any = null)"
    )


def test_unknown_parameter_is_refused_with_a_guess() -> None:
    with pytest.raises(ParameterError, match=r"has no parameter 'dya' \(did you mean 'day'\?\)"):
        validate_params(ETL, {"dya": "2025-01-31"})


def test_flow_without_parameters_says_so() -> None:
    with pytest.raises(ParameterError, match=r"has no parameter 'x' \(it has none\)"):
        validate_params(flow(), {"x": 1})


def test_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"parameter 'rows' of flow 'etl': 0 is less than 1"):
        validate_params(ETL, {"day": "2025-01-31", "rows": 0})


def test_value_without_a_form_in_json_is_refused() -> None:
    with pytest.raises(ParameterError, match="cannot be written as JSON"):
        validate_params(ETL, {"day": "2025-01-31", "extra": object()})


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "integer"}, "17", 17),
        ({"type": "integer"}, "-1", -1),
        ({"type": "integer"}, "many", "many"),
        ({"type": "integer", "minimum": 3}, "1", 1),
        ({"type": "number"}, "1.5", 1.5),
        ({"type": "number"}, "2", 2),
        ({"type": "boolean"}, "yes", True),
        ({"type": "boolean"}, "False", False),
        ({"type": "boolean"}, "0", False),
        ({"type": "boolean"}, "perhaps", "perhaps"),
        ({"type": "string"}, "17", "17"),
        ({"type": "string"}, "a=b", "a=b"),
        ({"type": "string"}, "", ""),
        ({"type": "string", "format": "date"}, "2025-01-31", "2025-01-31"),
        ({"type": "string", "format": "date-time"}, "2025-01-31", "2025-01-31T00:00:00"),
        ({"type": "string", "format": "date-time"}, "soon", "soon"),
        ({"type": "string", "format": "duration"}, "5m", "PT300S"),
        ({"type": "array"}, "[1, 2]", [1, 2]),
        ({"type": "array"}, "1, 2", "1, 2"),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
        ({"type": ["integer", "null"]}, "null", None),
        ({"type": ["integer", "null"]}, "3", 3),
        ({"type": ["string", "null"]}, "x", "x"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "3", 3),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "x", "x"),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}, "3", 3),
        ({"enum": ["1", "2"]}, "1", "1"),
        ({"enum": [1, 2]}, "1", 1),
        ({"enum": [True, None]}, "true", True),
        ({"enum": ["a"]}, "b", "b"),
        ({}, "3", 3),
        ({}, "word", "word"),
        ({}, '{"a": [1]}', {"a": [1]}),
    ],
)
def test_texts_are_read_by_the_schema(schema: dict[str, Any], text: str, value: Any) -> None:
    values = read_texts(flow(Parameter("p", schema)), [f"p={text}"])

    assert values == {"p": value}
    assert type(values["p"]) is type(value)


def test_text_stays_text_where_the_default_is_text() -> None:
    assert read_texts(flow(Parameter("p", default="0042")), ["p=0043"]) == {"p": "0043"}


def test_text_of_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(ParameterError, match="did you mean 'rows'"):
        read_texts(ETL, ["row=3"])


def test_text_without_a_value_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"'rows' gives no value \(write -p name=value\)"):
        read_texts(ETL, ["rows"])


def us(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("moment", "zone", "expected"),
    [
        ("2013-01-01", "", datetime(2013, 1, 1, tzinfo=UTC)),
        ("2013-07-01", "Europe/Berlin", datetime(2013, 6, 30, 22, tzinfo=UTC)),
        ("2013-07-01T06:30", "Europe/Berlin", datetime(2013, 7, 1, 4, 30, tzinfo=UTC)),
        ("2013-07-01T06:30+00:00", "Europe/Berlin", datetime(2013, 7, 1, 6, 30, tzinfo=UTC)),
        (date(2013, 7, 1), "Europe/Berlin", datetime(2013, 6, 30, 22, tzinfo=UTC)),
        (datetime(2013, 7, 1, tzinfo=UTC), "Europe/Berlin", datetime(2013, 7, 1, tzinfo=UTC)),
    ],
)
def test_moments_are_read_in_the_zone(moment: Any, zone: str, expected: datetime) -> None:
    assert parse_moment_us(moment, zone) == us(expected)


def test_no_moment_stays_none() -> None:
    assert parse_moment_us(None, "") is None


def test_text_that_is_no_moment_is_refused() -> None:
    with pytest.raises(UsageError, match="'yesterday' is no date"):
        parse_moment_us("yesterday", "")


def test_unknown_zone_of_a_moment_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="Mars"):
        parse_moment_us("2013-01-01", "Mars")
