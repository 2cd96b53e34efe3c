"""This module tests how data is checked against a JSON Schema."""

from typing import Any

import pytest

from ostinato.authoring.json_schema import describe, find_problem, types_of

POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"$ref": "#/$defs/size"}},
    "required": ["x"],
    "additionalProperties": False,
    "$defs": {"size": {"type": "number", "minimum": 0}},
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, object()),
        ({"type": "integer"}, 3),
        ({"type": "integer"}, 3.0),
        ({"type": "number"}, 3),
        ({"type": "boolean"}, False),
        ({"type": "null"}, None),
        ({"type": ["integer", "null"]}, None),
        ({"type": "invented"}, 3),
        ({"enum": [1, "a", None]}, None),
        ({"const": 1}, 1),
        ({"type": "string", "pattern": "^a"}, "abc"),
        ({"type": "string", "format": "date"}, "2025-01-31"),
        ({"type": "string", "format": "decimal"}, "1.50"),
        ({"type": "string", "format": "invented"}, "x"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 1}, [1, 2]),
        ({"prefixItems": [{"type": "integer"}], "items": False}, [1]),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "x"),
        ({"oneOf": [{"minimum": 5}, {"maximum": 3}]}, 1),
        ({"allOf": [{"minimum": 1}, {"maximum": 3}]}, 2),
        ({"not": {"type": "string"}}, 1),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"a": 1}),
        (POINT, {"x": 1, "y": 0.5}),
    ],
)
def test_what_fits(schema: dict[str, Any], value: Any) -> None:
    assert find_problem(value, schema) == ""


@pytest.mark.parametrize(
    ("schema", "value", "problem"),
    [
        ({"type": "integer"}, "x", "'x' is not an integer"),
        ({"type": "integer"}, 1.5, "1.5 is not an integer"),
        ({"type": "integer"}, True, "True is not an integer"),
        ({"type": "number"}, float("nan"), "nan is not a number"),
        ({"type": "integer"}, float("inf"), "inf is not an integer"),
        ({"type": ["integer", "null"]}, "x", "'x' is not an integer or null"),
        ({"enum": ["a", "b"]}, "c", "'c' is not one of 'a', 'b'"),
        ({"enum": [1]}, True, "True is not one of 1"),
        ({"minimum": 1}, 0, "0 is less than 1"),
        ({"exclusiveMinimum": 1}, 1, "1 is not more than 1"),
        ({"maximum": 1}, 2, "2 is more than 1"),
        ({"exclusiveMaximum": 1}, 1, "1 is not less than 1"),
        ({"multipleOf": 5}, 7, "7 is no multiple of 5"),
        ({"minLength": 2}, "a", "'a' has fewer than 2 characters"),
        ({"maxLength": 2}, "abc", "'abc' has more than 2 characters"),
        ({"pattern": "^a"}, "b", "'b' does not match ^a"),
        ({"format": "date"}, "31.1.2025", "'31.1.2025' is not a date such as 2025-01-31"),
        ({"format": "uuid"}, "x", "'x' is not a UUID"),
        ({"items": {"type": "integer"}}, [1, "x"], "item 2: 'x' is not an integer"),
        ({"minItems": 1}, [], "[] has fewer than 1 items"),
        ({"uniqueItems": True}, [1, 1], "[1, 1] holds an item twice"),
        ({"prefixItems": [{}], "items": False}, [1, 2], "[1, 2] has more than 1 items"),
        (
            {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "x",
            "'x' is not integer or null",
        ),
        ({"anyOf": [{"minimum": 3}, {"minimum": 3}]}, 1, "1 is less than 3"),
        ({"oneOf": [{}, {}]}, 1, "1 fits more than one of the alternatives"),
        ({"allOf": [{"minimum": 3}]}, 1, "1 is less than 3"),
        ({"not": {"type": "string"}}, "x", "'x' is not allowed"),
        (POINT, {"y": 1}, "'x' is missing"),
        (POINT, {"x": 1, "z": 1}, "'z' is not known (known are x, y)"),
        (POINT, {"x": 1, "y": -1}, "y: -1 is less than 0"),
        ({"type": "array"}, "x" * 99, f"'{'x' * 58}… is not a list"),
    ],
)
def test_what_does_not_fit(schema: dict[str, Any], value: Any, problem: str) -> None:
    assert find_problem(value, schema) == problem


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, "any"),
        ({"type": "integer"}, "integer"),
        ({"type": ["integer", "null"]}, "integer or null"),
        ({"type": "string", "format": "date"}, "date"),
        ({"type": "string", "format": "path"}, "string"),
        ({"enum": ["a", 1]}, "'a' | 1"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer or null"),
    ],
)
def test_schemas_in_words(schema: dict[str, Any], words: str) -> None:
    assert describe(schema) == words


def test_reference_in_a_circle_ends() -> None:
    circle = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}

    assert types_of(circle) == ()


def test_reference_to_nothing_accepts_anything() -> None:
    assert find_problem(1, {"$ref": "#/$defs/gone/deeper"}) == ""
