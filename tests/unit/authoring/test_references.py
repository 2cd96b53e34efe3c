"""This module tests how references in arguments are found and resolved."""

from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato import EmptyOperator
from ostinato.authoring.references import (
    LiteralSeries,
    ParameterReference,
    ResultReference,
    references_in,
    resolve,
)
from ostinato.authoring.signatures import UNTYPED
from ostinato.errors import InvalidArgument
from tests.unit.authoring.fakes import FakeResolver

NAMES = [f"t{number}" for number in range(5)]
RESULTS = {name: ResultReference(EmptyOperator(task_id=name)) for name in NAMES}

leaves = st.one_of(
    st.integers(), st.text(max_size=3), st.none(), st.sampled_from(NAMES).map(RESULTS.__getitem__)
)


@st.composite
def nested(draw: st.DrawFn) -> Any:
    return draw(
        st.recursive(
            leaves,
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.lists(inner, max_size=3).map(tuple),
                st.dictionaries(st.text(max_size=2), inner, max_size=3),
            ),
            max_leaves=12,
        )
    )


def expected(value: Any) -> Any:
    if isinstance(value, ResultReference):
        return f"value of {value.task.node_id}"
    if isinstance(value, list | tuple):
        return type(value)(map(expected, value))
    if isinstance(value, dict):
        return {key: expected(item) for key, item in value.items()}
    return value


def names_in(value: Any) -> list[str]:
    if isinstance(value, ResultReference):
        return [value.task.node_id]
    if isinstance(value, list | tuple | dict):
        items = value.values() if isinstance(value, dict) else value
        return [name for item in items for name in names_in(item)]
    return []


@given(nested())
def test_every_reference_is_found_and_resolved_and_nothing_else_changes(value: Any) -> None:
    resolver = FakeResolver({name: f"value of {name}" for name in NAMES})

    found = [r.task.node_id for r in references_in(value) if isinstance(r, ResultReference)]
    resolved = resolve(value, resolver)

    assert found == names_in(value)
    assert resolved == expected(value)
    assert type(resolved) is type(expected(value))


def test_builtin_containers_are_copied_so_that_attempts_share_nothing() -> None:
    value = {"list": [1, {2}], "dict": {}}

    resolved = resolve(value, FakeResolver())
    resolved["list"].append(3)
    resolved["dict"]["new"] = True

    assert value == {"list": [1, {2}], "dict": {}}


class Pair(NamedTuple):
    one: Any
    other: Any


@dataclass(frozen=True)
class Config:
    path: Any
    sizes: list[Any]


def test_containers_of_other_kinds_stay_what_they_are() -> None:
    result = RESULTS["t0"]
    counts: defaultdict[str, Any] = defaultdict(list, key=result)
    resolver = FakeResolver({"t0": 5})

    assert resolve(Pair(1, result), resolver) == Pair(1, 5)
    assert resolve(OrderedDict(a=result), resolver) == OrderedDict(a=5)
    assert resolve(counts, resolver) == {"key": 5}
    assert resolve(counts, resolver).default_factory is list
    assert resolve({result}, resolver) == {5}
    assert resolve({result: 1}, resolver) == {5: 1}
    assert resolve(Config("p", [result]), resolver) == Config("p", [5])
    assert [*references_in(Config(result, []))] == [result]
    assert [*references_in({result: 1})] == [result]


def test_other_objects_are_passed_as_they_are() -> None:
    config = Config("p", [1])
    thing = object()

    assert resolve(config, FakeResolver()) is config
    assert resolve(thing, FakeResolver()) is thing
    assert resolve(Config, FakeResolver()) is Config
    assert [*references_in([thing, Config])] == []


def test_items_of_items_and_of_parameters_are_taken() -> None:
    parameter = ParameterReference("config", annotation=UNTYPED)
    resolver = FakeResolver({"t0": {"a": [1, {"b": 2}]}}, params={"config": {"path": "p"}})

    assert resolve(RESULTS["t0"]["a"][1]["b"], resolver) == 2
    assert resolve(parameter["path"], resolver) == "p"
    assert repr(RESULTS["t0"]["a"]) == "the result of 't0'['a']"
    assert [node.node_id for node in RESULTS["t0"]["a"]["b"].nodes()] == ["t0"]


def test_references_are_equal_to_themselves_only() -> None:
    one, other = RESULTS["t0"], ResultReference(RESULTS["t0"].task)

    assert one == one  # what is tested
    assert one != other
    assert len({one, other, one}) == 2
    with pytest.raises(InvalidArgument, match="cannot be compared with 5"):
        one == 5  # noqa: B015  # what is tested


def test_series_say_what_they_are() -> None:
    result = RESULTS["t0"]

    assert repr(LiteralSeries([1, 2])) == "a list of 2"
    assert repr(result.map(str)) == "the result of 't0' mapped by 'str'"
    assert repr(result.zip([1])) == "zip of the result of 't0', a list of 1"
    assert repr(result.concat([1])) == "concatenation of the result of 't0', a list of 1"
    assert repr(result.pushed("k")) == "the result of 't0' under 'k'"
    assert result.operator is result.task


def test_item_beyond_a_concatenation_is_an_error() -> None:
    series = RESULTS["t0"].concat([1])

    with pytest.raises(IndexError, match="has 2 items, but item 2"):
        series.item(2, FakeResolver({"t0": [0]}))
