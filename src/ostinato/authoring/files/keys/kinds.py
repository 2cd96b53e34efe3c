"""This module describes the values that keys may have, for checks and for JSON Schema.

Values are checked after YAML tags have made Python objects of them, which JSON knows nothing of:
a duration may be a ``timedelta`` too. What a template leaves for the time of the run is any text,
so that a text with ``{{`` is let through everywhere.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from ostinato.authoring.files.spec import KeyPath
from ostinato.authoring.quantities import seconds_of


class Kind(NamedTuple):
    """What a value may be.

    Attributes:
        says: In words, with an article: ``a whole number``.
        schema: As JSON Schema.
        faults: Gives, for a value, the path within it of each part that is wrong and what that
            part should be.
    """

    says: str
    schema: Mapping[str, Any]
    faults: Callable[[object], Iterator[tuple[KeyPath, str]]]

    def accepts(self, value: object) -> bool:
        """Return whether nothing is wrong with a value."""
        return is_template(value) or next(self.faults(value), None) is None


def is_template(value: object) -> bool:
    """Return whether a value is a text that is rendered when the task runs."""
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def of_test(says: str, schema: Mapping[str, Any], test: Callable[[Any], bool]) -> Kind:
    """Return the kind of the values that pass a test."""

    def faults(value: object) -> Iterator[tuple[KeyPath, str]]:
        if not is_template(value) and not test(value):
            yield (), says

    return Kind(says, MappingProxyType(dict(schema)), faults)


def one_of(*texts: str) -> Kind:
    """Return the kind of a choice of texts."""
    *first, last = [repr(text) for text in texts]
    says = f"{', '.join(first)} or {last}" if first else last
    return of_test(
        says, {"enum": list(texts)}, lambda value: isinstance(value, str) and value in texts
    )


def list_of(kind: Kind, says: str = "") -> Kind:
    """Return the kind of lists of a kind."""
    words = says or f"a list, each item {kind.says}"

    def faults(value: object) -> Iterator[tuple[KeyPath, str]]:
        if is_template(value):
            return
        if isinstance(value, str | bytes | Mapping) or not isinstance(
            value, Sequence | set | frozenset
        ):
            yield (), words
            return
        for index, item in enumerate(value):
            for path, expected in kind.faults(item):
                yield (index, *path), expected

    return Kind(words, {"type": "array", "items": dict(kind.schema)}, faults)


def mapping_of(kind: Kind, says: str = "") -> Kind:
    """Return the kind of mappings from texts to a kind."""
    words = says or f"keys and values, each value {kind.says}"

    def faults(value: object) -> Iterator[tuple[KeyPath, str]]:
        if not isinstance(value, Mapping):
            if not is_template(value):
                yield (), words
            return
        for name, item in value.items():
            for path, expected in kind.faults(item):
                yield (name, *path), expected

    return Kind(words, {"type": "object", "additionalProperties": dict(kind.schema)}, faults)


def keys_of(fields: Mapping[str, Kind], says: str) -> Kind:
    """Return the kind of mappings with these keys and no others, none of which must be there."""

    def faults(value: object) -> Iterator[tuple[KeyPath, str]]:
        if not isinstance(value, Mapping):
            yield (), says
            return
        for name, item in value.items():
            if name not in fields:
                yield (name,), f"one of {', '.join(fields)}"
                continue
            for path, expected in fields[name].faults(item):
                yield (name, *path), expected

    properties = {name: dict(kind.schema) for name, kind in fields.items()}
    return Kind(
        says, {"type": "object", "properties": properties, "additionalProperties": False}, faults
    )


def either(*kinds: Kind) -> Kind:
    """Return the kind of what is of one of some kinds.

    Where none fits, what is said is what the kind says that got furthest into the value.
    """
    words = " or ".join(kind.says for kind in kinds)

    def faults(value: object) -> Iterator[tuple[KeyPath, str]]:
        found = [list(kind.faults(value)) for kind in kinds]
        if not all(found):
            return
        deep = [wrong for wrong in found if wrong[0][0]]
        if len(deep) == 1:
            yield from deep[0]
        else:
            yield (), words

    return Kind(words, {"anyOf": [dict(kind.schema) for kind in kinds]}, faults)


def optional(kind: Kind) -> Kind:
    """Return a kind that nothing at all is of too, as where a key is left empty."""

    def faults(value: object) -> Iterator[tuple[KeyPath, str]]:
        if value is not None:
            yield from kind.faults(value)

    return Kind(kind.says, {"anyOf": [dict(kind.schema), {"type": "null"}]}, faults)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_duration(value: object) -> bool:
    try:
        seconds_of(value)
    except ValueError:
        return False
    return True


ANYTHING = of_test("anything", {}, lambda _: True)
NOTHING = of_test("nothing", {"type": "null"}, lambda value: value is None)
TEXT = of_test("a text", {"type": "string"}, lambda value: isinstance(value, str))
FLAG = of_test("true or false", {"type": "boolean"}, lambda value: isinstance(value, bool))
WHOLE = of_test("a whole number", {"type": "integer"}, _is_whole)
COUNT = of_test(
    "a whole number of zero or more",
    {"type": "integer", "minimum": 0},
    lambda value: _is_whole(value) and value >= 0,
)
NUMBER = of_test("a number", {"type": "number"}, _is_number)
#: Also what a YAML tag makes: a ``timedelta``.
DURATION = of_test(
    "a duration such as '5m' or a number of seconds", {"type": ["string", "number"]}, _is_duration
)
MOMENT = of_test(
    "a date or a time",
    {"type": "string"},
    lambda value: isinstance(value, str | date | datetime | timedelta),
)
KEYS = of_test("keys and values", {"type": "object"}, lambda value: isinstance(value, Mapping))
#: What only a tag or the name of a callable gives.
CALLABLE = of_test(
    "the name of a function",
    {"type": "string"},
    lambda value: isinstance(value, str) or callable(value),
)
NAMES = list_of(TEXT, "a list of names")
