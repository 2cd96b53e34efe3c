"""This module tests how tasks are chosen by an expression, and what is left of a flow then."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import UnknownTask, UsageError
from ostinato.model.flow import (
    Edge,
    Expansion,
    Factor,
    FlowDefinition,
    GroupDefinition,
    Input,
    LengthSource,
    LiteralLength,
    MinLength,
    ResultLength,
    SumLength,
    TaskDefinition,
)
from ostinato.model.selection import dependencies, narrow, select_tasks


def expansion(*lengths: LengthSource) -> Expansion:
    return Expansion(tuple(Factor(str(index), length) for index, length in enumerate(lengths)))


def chain(*names: str) -> tuple[Edge, ...]:
    return tuple(Edge(one, other) for one, other in pairwise(names))


#: a -> b -> clean.c -> clean.deep.d -> e -> f, and b -> e
FLOW = FlowDefinition(
    "etl",
    tasks=(
        TaskDefinition("a"),
        TaskDefinition("b"),
        TaskDefinition("clean.c", group="clean"),
        TaskDefinition("clean.deep.d", group="clean.deep"),
        TaskDefinition("e", inputs=(Input("b"),)),
        TaskDefinition("f"),
    ),
    groups=(GroupDefinition("clean"), GroupDefinition("clean.deep", parent="clean")),
    edges=chain("a", "b", "clean.c", "clean.deep.d", "e", "f"),
)
ALL = {task.id for task in FLOW.tasks}


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ("", ALL),
        ("  ", ALL),
        ("*", ALL),
        ("a", {"a"}),
        ('"a"', {"a"}),
        ("a f", {"a", "f"}),
        ("a,f", {"a", "f"}),
        ("a, f", {"a", "f"}),
        ("a or f", {"a", "f"}),
        ("b+", ALL - {"a"}),
        ("+b", {"a", "b"}),
        ("+b+", ALL),
        ("1+e", {"b", "clean.deep.d", "e"}),
        ("b+1", {"b", "clean.c", "e"}),
        ("1+clean.c+1", {"b", "clean.c", "clean.deep.d"}),
        ("0+e", {"e"}),
        ("clean", {"clean.c", "clean.deep.d"}),
        ("clean.deep", {"clean.deep.d"}),
        ("group:clean", {"clean.c", "clean.deep.d"}),
        ("group:clean*", {"clean.c", "clean.deep.d"}),
        ("group:clean+1", {"clean.c", "clean.deep.d", "e"}),
        ("clean.*", {"clean.c", "clean.deep.d"}),
        ("[ab]", {"a", "b"}),
        ("b+ and +e", {"b", "clean.c", "clean.deep.d", "e"}),
        ("not clean", ALL - {"clean.c", "clean.deep.d"}),
        ("not not a", {"a"}),
        ("NOT a AND NOT b", ALL - {"a", "b"}),
        ("a or b and f", {"a"}),
        ("(a or b) and not a", {"b"}),
        ("+(b, clean.c)", {"a", "b", "clean.c"}),
        ("1+(b clean.c)+1", {"a", "b", "clean.c", "clean.deep.d", "e"}),
        ("not (a b)", ALL - {"a", "b"}),
    ],
)
def test_expressions(expression: str, chosen: set[str]) -> None:
    assert select_tasks(FLOW, expression) == chosen


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("clen.c", "has no task or group 'clen.c' .did you mean 'clean.c'"),
        ("xyz", "its tasks are a, b, clean.c"),
        ("x*", "has no task like 'x\\*'"),
        ("group:claen", "has no group 'claen' .did you mean 'clean'"),
        ("a+ and xyz", "'xyz'"),
    ],
)
def test_unknown_names_are_refused_with_a_guess(expression: str, said: str) -> None:
    with pytest.raises(UnknownTask, match=said):
        select_tasks(FLOW, expression)


@pytest.mark.parametrize(
    "expression",
    ["(a", "a)", "and a", "a and", "a or", "not", ",a", "a,,b", "()", "+", "1+", 'a "b', "a++b"],
)
def test_what_cannot_be_read_is_refused(expression: str) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        select_tasks(FLOW, expression)


def test_unknown_kind_of_selection_is_refused() -> None:
    with pytest.raises(UsageError, match="by 'tag'"):
        select_tasks(FLOW, "tag:nightly")


def test_narrowing_to_everything_changes_nothing() -> None:
    assert narrow(FLOW, frozenset(ALL)) is FLOW


def test_narrowing_drops_tasks_edges_and_empty_groups() -> None:
    narrowed = narrow(FLOW, frozenset({"a", "b"}))

    assert [task.id for task in narrowed.tasks] == ["a", "b"]
    assert narrowed.edges == (Edge("a", "b"),)
    assert narrowed.groups == ()


def test_narrowing_keeps_the_groups_around_what_is_left() -> None:
    narrowed = narrow(FLOW, frozenset({"clean.deep.d"}))

    assert [group.id for group in narrowed.groups] == ["clean", "clean.deep"]


def test_narrowing_keeps_order_through_dropped_tasks() -> None:
    narrowed = narrow(FLOW, frozenset({"a", "e", "f"}))

    assert set(narrowed.edges) == {Edge("e", "f"), Edge("a", "e")}


def test_narrowing_keeps_inputs_that_point_outside() -> None:
    narrowed = narrow(FLOW, frozenset({"e"}))

    assert narrowed.tasks[0].inputs == (Input("b"),)


def test_input_makes_an_edge_to_select_along() -> None:
    flow = FlowDefinition(
        "f", tasks=(TaskDefinition("a"), TaskDefinition("b", inputs=(Input("a"),)))
    )

    assert select_tasks(flow, "+b") == {"a", "b"}


@pytest.mark.parametrize(
    "length",
    [
        ResultLength("a"),
        SumLength((LiteralLength(2), ResultLength("a"))),
        MinLength((ResultLength("a"), LiteralLength(2))),
    ],
)
def test_mapped_task_needs_what_it_is_mapped_over(length: LengthSource) -> None:
    mapped = TaskDefinition("b", expansion=expansion(length))
    flow = FlowDefinition("f", tasks=(TaskDefinition("a"), mapped))

    assert select_tasks(flow, "+b") == {"a", "b"}
    with pytest.raises(UsageError, match=r"'b' is mapped over the result of 'a'.*select 'a' too"):
        narrow(flow, frozenset({"b"}))


def test_tasks_of_a_mapped_group_need_what_it_is_mapped_over() -> None:
    group = GroupDefinition("g", expansion=expansion(ResultLength("a")))
    flow = FlowDefinition(
        "f",
        tasks=(TaskDefinition("a"), TaskDefinition("g.b", group="g")),
        groups=(group,),
    )

    assert select_tasks(flow, "a+") == {"a", "g.b"}
    with pytest.raises(UsageError, match="'g' is mapped over the result of 'a'"):
        narrow(flow, frozenset({"g.b"}))


def test_task_mapped_over_literals_needs_nothing() -> None:
    mapped = TaskDefinition("b", expansion=expansion(LiteralLength(3)))
    flow = FlowDefinition("f", tasks=(TaskDefinition("a"), mapped))

    assert narrow(flow, frozenset({"b"})).tasks == (mapped,)


@st.composite
def graphs(draw: st.DrawFn) -> FlowDefinition:
    count = draw(st.integers(1, 9))
    pairs = draw(st.sets(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))))
    edges = tuple(Edge(f"t{one}", f"t{other}") for one, other in sorted(pairs) if one < other)
    tasks = tuple(TaskDefinition(f"t{index}") for index in range(count))
    return FlowDefinition("random", tasks=tasks, edges=edges)


@given(flow=graphs(), data=st.data())
def test_narrowing_keeps_who_comes_after_whom(flow: FlowDefinition, data: st.DataObject) -> None:
    names = [task.id for task in flow.tasks]
    selected = frozenset(data.draw(st.sets(st.sampled_from(names), min_size=1)))

    narrowed = narrow(flow, selected)

    before, after = ancestors(flow), ancestors(narrowed)
    assert after == {name: before[name] & selected for name in selected}


def ancestors(flow: FlowDefinition) -> dict[str, frozenset[str]]:
    direct = dependencies(flow)
    found: dict[str, frozenset[str]] = {}

    def above(name: str) -> frozenset[str]:
        if name not in found:
            found[name] = frozenset(direct[name]).union(*(above(other) for other in direct[name]))
        return found[name]

    return {name: above(name) for name in direct}
