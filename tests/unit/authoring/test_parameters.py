"""This module tests the parameters of flows: schemas, defaults, conversion."""

import enum
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from ostinato import Param
from ostinato.authoring.parameters import converter_of, parameter_of, schema_of
from ostinato.authoring.signatures import UNTYPED
from ostinato.errors import InvalidArgument


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Model(BaseModel):
    rows: int = Field(ge=1)
    day: date = date(2025, 1, 1)


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (UNTYPED, {}),
        (Any, {}),
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (date, {"type": "string", "format": "date"}),
        (datetime, {"type": "string", "format": "date-time"}),
        (list, {"type": "array"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (list[Any], {"type": "array"}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (tuple[int, str], {"type": "array"}),
        (set[str], {"type": "array", "items": {"type": "string"}}),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (dict[str, Any], {"type": "object"}),
        (dict, {"type": "object"}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (int | None, {"type": ["integer", "null"]}),
        (Optional[str], {"type": ["string", "null"]}),  # noqa: UP045 - the old spelling
        (int | list[int], {"anyOf": [schema_of(int), schema_of(list[int])]}),
        (int | object, {}),
        (Annotated[int, "rows"], {"type": "integer"}),
        (Colour, {"enum": ["red", "blue"]}),
        (Path, {"type": "string", "format": "path"}),
        (Point, {}),
        ("Unresolved", {}),
    ],
)
def test_annotation_gives_a_schema(annotation: Any, schema: dict[str, Any]) -> None:
    assert schema_of(annotation) == schema


def test_pydantic_model_gives_its_own_schema_wherever_it_stands() -> None:
    assert schema_of(Model)["properties"]["rows"]["minimum"] == 1
    assert schema_of(list[Model])["type"] == "array"
    assert "$defs" in schema_of(Model | None)


@pytest.mark.parametrize(
    ("annotation", "given", "expected"),
    [
        (date, "2025-01-02", date(2025, 1, 2)),
        (time, "10:30:00", time(10, 30)),
        (timedelta, "PT1H", timedelta(hours=1)),
        (Decimal, "1.50", Decimal("1.50")),
        (UUID, "12345678-1234-5678-1234-567812345678", UUID("12345678123456781234567812345678")),
        (float, 3, 3.0),
        (Path, "a/b", Path("a/b")),
        (list[date], ["2025-01-02"], [date(2025, 1, 2)]),
        (dict[str, date], {"a": "2025-01-02"}, {"a": date(2025, 1, 2)}),
        (date | None, None, None),
        (tuple[int, ...], [1, 2], (1, 2)),
        (Colour, "red", Colour.RED),
        (Point, {"x": 1}, Point(1)),
        (Model, {"rows": 2}, Model(rows=2)),
        (list[Model], [{"rows": 2}], [Model(rows=2)]),
    ],
)
def test_value_becomes_what_the_annotation_says(annotation: Any, given: Any, expected: Any) -> None:
    convert = converter_of(annotation)

    assert convert is not None
    value = convert(given)

    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    "annotation",
    [UNTYPED, Any, int, str, list[int], dict[str, Any], Literal["a"], int | None, "x", date | Path],
)
def test_values_that_json_has_and_types_that_none_can_make_stay_as_they_are(
    annotation: Any,
) -> None:
    assert converter_of(annotation) is None


@pytest.mark.parametrize(
    ("default", "expected"),
    [
        (date(2025, 1, 2), "2025-01-02"),
        (Path("a"), "a"),
        (Colour.RED, "red"),
        ((1, 2), [1, 2]),
        (Point(1), {"x": 1}),
        (Model(rows=1), {"rows": 1, "day": "2025-01-01"}),
        ({1: "a"}, {"1": "a"}),
    ],
)
def test_defaults_are_kept_as_json(default: Any, expected: Any) -> None:
    assert parameter_of("p", default).default == expected


def test_param_says_more_than_an_annotation() -> None:
    param = Param(
        "a",
        type=["string", "null"],
        enum=("a", "b"),
        maximum=5,
        min_length=1,
        max_length=2,
        pattern="a",
        format="x",
        items={"type": "string"},
        title="T",
        description="D",
    )

    parameter = parameter_of("p", param, annotation=int)

    assert parameter.schema == {
        "type": ["string", "null"],
        "enum": ["a", "b"],
        "maximum": 5,
        "minLength": 1,
        "maxLength": 2,
        "pattern": "a",
        "format": "x",
        "items": {"type": "string"},
        "title": "T",
    }
    assert (parameter.default, parameter.description, parameter.is_required) == ("a", "D", False)


def test_param_without_a_default_must_be_given() -> None:
    parameter = parameter_of("p", Param(type="string"))

    assert parameter.is_required
    assert parameter.default is None


def test_default_that_json_has_not_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="default of parameter 'p' cannot be written as JSON"):
        parameter_of("p", lambda: 1)
