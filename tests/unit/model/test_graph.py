"""This module tests that what is no graph of tasks is refused."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import CycleError, DefinitionError, DuplicateTask, UnknownTask
from ostinato.model.flow import (
    Edge,
    Expansion,
    Factor,
    FlowDefinition,
    GroupDefinition,
    Input,
    LengthSource,
    MinLength,
    ResultLength,
    Source,
    SumLength,
    TaskDefinition,
)
from ostinato.model.graph import check_graph, length_sources, topological_order


def flow_of(
    tasks: list[TaskDefinition],
    edges: list[tuple[str, str]] | None = None,
    groups: list[GroupDefinition] | None = None,
) -> FlowDefinition:
    return FlowDefinition(
        "flow",
        tasks=tuple(tasks),
        groups=tuple(groups or ()),
        edges=tuple(Edge(up, down) for up, down in edges or ()),
    )


def plain(names: str) -> list[TaskDefinition]:
    return [
        TaskDefinition(name, source=Source("flow.py", line)) for line, name in enumerate(names, 1)
    ]


def over(length: LengthSource) -> Expansion:
    return Expansion((Factor("x", length),))


def test_cycle_is_printed_from_what_was_written_first() -> None:
    flow = flow_of(plain("abcd"), [("c", "b"), ("a", "c"), ("b", "d"), ("d", "c")])

    with pytest.raises(CycleError) as caught:
        check_graph(flow)

    assert str(caught.value) == (
        "flow.py:2: tasks of flow 'flow' wait for each other: b -> d -> c -> b"
    )


def test_task_that_waits_for_itself_is_a_cycle() -> None:
    with pytest.raises(CycleError, match="a -> a"):
        check_graph(flow_of(plain("a"), [("a", "a")]))


def test_mapped_group_waits_for_what_it_is_mapped_over() -> None:
    tasks = [TaskDefinition("a", group="inner"), TaskDefinition("b")]
    groups = [
        GroupDefinition("outer", expansion=over(ResultLength("b"))),
        GroupDefinition("inner", parent="outer"),
    ]

    assert topological_order(flow_of(tasks, groups=groups)) == ["b", "a"]
    with pytest.raises(CycleError, match="a -> b -> outer -> a"):
        check_graph(flow_of(tasks, [("a", "b")], groups))


def test_mapped_group_over_its_own_task_is_a_cycle() -> None:
    groups = [GroupDefinition("g", expansion=over(ResultLength("a")))]

    with pytest.raises(CycleError, match="a -> g -> a"):
        check_graph(flow_of([TaskDefinition("a", group="g")], groups=groups))


def test_second_use_of_an_id_is_told_with_both_places() -> None:
    with pytest.raises(DuplicateTask) as caught:
        check_graph(flow_of(plain("aba")))

    assert str(caught.value) == (
        "flow.py:3: id 'a' is used twice in flow 'flow' (first at flow.py:1)"
    )
    mapped = GroupDefinition("b", expansion=over(ResultLength("a")))
    with pytest.raises(DuplicateTask, match="id 'b' is used twice"):
        check_graph(flow_of(plain("ab"), groups=[mapped]))
    with pytest.raises(DuplicateTask, match="id 'g' is used twice"):
        check_graph(flow_of(plain("ab"), groups=[GroupDefinition("g"), GroupDefinition("g")]))


def test_task_in_another_place_may_be_called_like_a_group_that_is_not_mapped() -> None:
    check_graph(
        flow_of([TaskDefinition("a", group="b"), *plain("b")], groups=[GroupDefinition("b")])
    )


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        (flow_of(plain("a"), [("a", "b")]), "an edge names 'b'"),
        (flow_of([TaskDefinition("a", inputs=(Input("b"),))]), "'a' reads 'b'"),
        (flow_of([TaskDefinition("a", group="g")]), "task 'a' is in 'g'"),
        (
            flow_of([TaskDefinition("a", expansion=over(ResultLength("b")))]),
            "'a' is mapped over 'b'",
        ),
        (flow_of([], groups=[GroupDefinition("g", parent="h")]), "group 'g' is in 'h'"),
        (
            flow_of([], groups=[GroupDefinition("g", expansion=over(ResultLength("b")))]),
            "group 'g' is mapped over 'b'",
        ),
        (flow_of([TaskDefinition("load")], [("laod", "load")]), "did you mean 'load'?"),
    ],
)
def test_unknown_names_are_told(flow: FlowDefinition, message: str) -> None:
    with pytest.raises(UnknownTask) as caught:
        check_graph(flow)

    assert message in str(caught.value)


def test_lengths_name_all_tasks_that_decide_them() -> None:
    length = SumLength((ResultLength("a"), MinLength((ResultLength("b"), ResultLength("a")))))

    assert length_sources(length) == ["a", "b", "a"]


def test_order_of_a_deep_chain_needs_no_recursion() -> None:
    names = [f"t{number}" for number in range(20_000)]
    flow = flow_of(
        [TaskDefinition(name) for name in reversed(names)],
        list(itertools.pairwise(names)),
    )

    assert topological_order(flow) == names


@given(
    st.integers(1, 12).flatmap(
        lambda size: st.tuples(
            st.just(size),
            st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)), max_size=30),
        )
    )
)
def test_order_keeps_every_edge_or_a_true_cycle_is_named(
    graph: tuple[int, list[tuple[int, int]]],
) -> None:
    size, pairs = graph
    edges = [(f"t{up}", f"t{down}") for up, down in pairs]
    flow = flow_of([TaskDefinition(f"t{number}") for number in range(size)], edges)

    try:
        order = topological_order(flow)
    except DefinitionError as error:
        path = error.message.rpartition(": ")[2].split(" -> ")
        assert len(path) >= 2
        assert path[0] == path[-1]
        assert set(itertools.pairwise(path)) <= set(edges)
        assert len(set(path[:-1])) == len(path) - 1
    else:
        assert sorted(order) == sorted(f"t{number}" for number in range(size))
        assert all(order.index(up) < order.index(down) for up, down in edges)
