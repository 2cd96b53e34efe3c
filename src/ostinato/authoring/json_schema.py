"""This module checks plain data against a JSON Schema: the part of it that parameters use.

Keywords that are not known here say nothing, as the standard has it.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

Schema = Mapping[str, Any]

_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and value == int(value),
    "number": lambda value: _is_number(value),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}

#: What people call the types.
TYPE_NAMES = {
    "null": "null",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "an object",
}

#: Formats of text: what they are called, and the type that reads them.
_FORMATS: dict[str, tuple[str, type]] = {
    "date": ("a date such as 2025-01-31", date),
    "date-time": ("a moment such as 2025-01-31T06:00:00+00:00", datetime),
    "time": ("a time such as 06:00:00", time),
    "duration": ("a duration such as PT5M", timedelta),
    "decimal": ("a decimal number", Decimal),
    "uuid": ("a UUID", UUID),
}


def find_problem(value: Any, schema: Schema, *, root: Schema | None = None) -> str:
    """Return in words why a value does not fit a schema, or "" if it does.

    Args:
        value: What ``json.loads`` could have returned.
        schema: The schema.
        root: Where ``$ref`` looks for definitions; the schema itself by default.

    >>> find_problem("x", {"type": "integer"})
    "'x' is not an integer"
    """
    root = schema if root is None else root
    schema = resolve(schema, root)
    for check in (_check_type, _check_choice, _check_alternatives, _check_number, _check_string):
        if problem := check(value, schema, root):
            return problem
    if isinstance(value, list):
        return _check_list(value, schema, root)
    if isinstance(value, dict):
        return _check_object(value, schema, root)
    return ""


def types_of(schema: Schema, root: Schema | None = None) -> tuple[str, ...]:
    """Return the JSON types that a schema may accept, empty if it does not say."""
    root = schema if root is None else root
    schema = resolve(schema, root)
    declared = schema.get("type")
    if declared is not None:
        return (declared,) if isinstance(declared, str) else tuple(declared)
    found: list[str] = []
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        found.extend(name for name in types_of(part, root) if name not in found)
    return tuple(found)


def describe(schema: Schema) -> str:
    """Return a schema in a few words, for a list of parameters.

    >>> describe({"type": "string", "format": "date"})
    'date'
    """
    if "enum" in schema:
        return " | ".join(map(_shown, schema["enum"]))
    if schema.get("format") in _FORMATS:
        return str(schema["format"])
    return " or ".join(types_of(schema)) or "any"


def resolve(schema: Schema, root: Schema) -> Schema:
    """Follow ``$ref`` to a definition in the same document."""
    seen = 0
    while "$ref" in schema and seen < len(root.get("$defs", ())) + 1:
        target: Any = root
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target.get(part, {}) if isinstance(target, Mapping) else {}
        schema = target
        seen += 1
    return schema


def _check_type(value: Any, schema: Schema, _root: Schema) -> str:
    declared = schema.get("type")
    if declared is None:
        return ""
    names = [declared] if isinstance(declared, str) else declared
    if any(_TYPES.get(name, _accept)(value) for name in names):
        return ""
    wanted = " or ".join(TYPE_NAMES.get(name, name) for name in names)
    return f"{_shown(value)} is not {wanted}"


def _check_choice(value: Any, schema: Schema, _root: Schema) -> str:
    choices = [schema["const"]] if "const" in schema else schema.get("enum")
    if choices is None or any(_same(value, choice) for choice in choices):
        return ""
    return f"{_shown(value)} is not one of {', '.join(map(_shown, choices))}"


def _check_alternatives(value: Any, schema: Schema, root: Schema) -> str:
    for part in schema.get("allOf", ()):
        if problem := find_problem(value, part, root=root):
            return problem
    for keyword in ("anyOf", "oneOf"):
        parts = schema.get(keyword)
        if not parts:
            continue
        problems = [find_problem(value, part, root=root) for part in parts]
        fitting = problems.count("")
        if not fitting:
            return problems[0] if len(set(problems)) == 1 else _none_fits(value, parts, root)
        if keyword == "oneOf" and fitting > 1:
            return f"{_shown(value)} fits more than one of the alternatives"
    if "not" in schema and not find_problem(value, schema["not"], root=root):
        return f"{_shown(value)} is not allowed"
    return ""


def _none_fits(value: Any, parts: list[Schema], root: Schema) -> str:
    wanted = " or ".join(dict.fromkeys(describe(resolve(part, root)) for part in parts))
    return f"{_shown(value)} is not {wanted}"


def _check_number(value: Any, schema: Schema, _root: Schema) -> str:
    if not _is_number(value):
        return ""
    bounds: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
        ("minimum", "less than", lambda bound: value < bound),
        ("exclusiveMinimum", "not more than", lambda bound: value <= bound),
        ("maximum", "more than", lambda bound: value > bound),
        ("exclusiveMaximum", "not less than", lambda bound: value >= bound),
        ("multipleOf", "no multiple of", lambda bound: value % bound != 0),
    )
    for keyword, words, is_broken in bounds:
        if keyword in schema and is_broken(schema[keyword]):
            return f"{_shown(value)} is {words} {schema[keyword]}"
    return ""


def _check_string(value: Any, schema: Schema, _root: Schema) -> str:
    if not isinstance(value, str):
        return ""
    if problem := _check_size(value, schema, ("minLength", "maxLength"), "characters"):
        return problem
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return f"{_shown(value)} does not match {schema['pattern']}"
    if schema.get("format") in _FORMATS:
        words, kind = _FORMATS[schema["format"]]
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            return f"{_shown(value)} is not {words}"
    return ""


def _check_list(value: list[Any], schema: Schema, root: Schema) -> str:
    if problem := _check_size(value, schema, ("minItems", "maxItems"), "items"):
        return problem
    if schema.get("uniqueItems") and any(item in value[:at] for at, item in enumerate(value)):
        return f"{_shown(value)} holds an item twice"
    first = schema.get("prefixItems", ())
    for index, item in enumerate(value):
        part = first[index] if index < len(first) else schema.get("items", {})
        if part is False:
            return f"{_shown(value)} has more than {len(first)} items"
        if isinstance(part, Mapping) and (problem := find_problem(item, part, root=root)):
            return f"item {index + 1}: {problem}"
    return ""


def _check_object(value: dict[str, Any], schema: Schema, root: Schema) -> str:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            return f"{name!r} is missing"
    others = schema.get("additionalProperties", {})
    for name, item in value.items():
        part = properties.get(name, others)
        if part is False:
            return f"{name!r} is not known (known are {', '.join(properties)})"
        if isinstance(part, Mapping) and (problem := find_problem(item, part, root=root)):
            return f"{name}: {problem}"
    return ""


def _check_size(value: Any, schema: Schema, keywords: tuple[str, str], unit: str) -> str:
    least, most = keywords
    if least in schema and len(value) < schema[least]:
        return f"{_shown(value)} has fewer than {schema[least]} {unit}"
    if most in schema and len(value) > schema[most]:
        return f"{_shown(value)} has more than {schema[most]} {unit}"
    return ""


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # Infinities and NaN are no JSON.
    return is_number and value - value == 0


def _same(value: Any, choice: Any) -> bool:
    # In JSON, true is not 1.
    return bool(value == choice) and isinstance(value, bool) == isinstance(choice, bool)


def _accept(_value: Any) -> bool:
    return True


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
