"""This module tests edges: arrows, chains, labels and groups at their ends."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato import (
    DAG,
    EmptyOperator,
    Label,
    PythonOperator,
    TaskGroup,
    chain,
    chain_linear,
    cross_downstream,
    task_group,
)
from ostinato.errors import CycleError, InvalidArgument


def edges_of(flow: DAG) -> set[str]:
    return {f"{edge.upstream}>{edge.downstream}" for edge in flow.definition.edges}


def labels_of(flow: DAG) -> dict[str, str]:
    return {f"{e.upstream}>{e.downstream}": e.label for e in flow.definition.edges}


def tasks(names: str) -> list[EmptyOperator]:
    return [EmptyOperator(task_id=name) for name in names]


@pytest.fixture
def flow() -> Any:
    with DAG("flow") as flow:
        yield flow


def test_arrows_point_either_way_and_take_lists_on_either_side(flow: DAG) -> None:
    a, b, c, d, e, f = tasks("abcdef")

    a >> [b, c] >> d
    e << [c, d]
    [a] << f.output
    b.set_upstream([f])

    assert edges_of(flow) == {"a>b", "a>c", "b>d", "c>d", "c>e", "d>e", "f>a", "f>b"}


def test_edge_written_twice_is_one_edge(flow: DAG) -> None:
    a, b = tasks("ab")

    a >> b
    a.set_downstream(b)
    PythonOperator(task_id="c", python_callable=print, op_args=[b.output, b.output])
    b >> flow.operators["c"]

    assert len(flow.definition.edges) == 2


def test_chain_pairs_lists_of_one_length(flow: DAG) -> None:
    a, b, c, d, e, f = tasks("abcdef")

    chain(a, [b, c], [d, e], f)

    assert edges_of(flow) == {"a>b", "a>c", "b>d", "c>e", "d>f", "e>f"}


def test_chain_refuses_lists_of_two_lengths(flow: DAG) -> None:
    a, b, c = tasks("abc")

    with pytest.raises(InvalidArgument, match=r"lists of 2 and 1 tasks.*use cross_downstream"):
        chain([a, b], [c])


def test_chain_linear_connects_all_with_all_and_passes_over_nothing(flow: DAG) -> None:
    a, b, c, d, e = tasks("abcde")

    chain_linear(a, [b, c], [], [d, e])

    assert edges_of(flow) == {"a>b", "a>c", "b>d", "b>e", "c>d", "c>e"}


def test_cross_downstream_connects_all_with_all(flow: DAG) -> None:
    a, b, c, d = tasks("abcd")

    cross_downstream([a, b], [c, d])

    assert edges_of(flow) == {"a>c", "a>d", "b>c", "b>d"}


def test_labels_stand_on_edges_in_either_direction(flow: DAG) -> None:
    a, b, c, d, e = tasks("abcde")

    a >> Label("yes") >> b >> c
    [c, d] >> Label("both") >> e
    d << Label("back") << a
    chain(b, Label("in a chain"), d)
    a.set_downstream(e, label="set")

    assert labels_of(flow) == {
        "a>b": "yes",
        "b>c": "",
        "c>e": "both",
        "d>e": "both",
        "a>d": "back",
        "b>d": "in a chain",
        "a>e": "set",
    }


def test_label_of_an_edge_stays_whoever_writes_it_again(flow: DAG) -> None:
    a, b = tasks("ab")

    a >> b
    a >> Label("yes") >> b
    a >> b

    assert labels_of(flow) == {"a>b": "yes"}


def test_only_tasks_and_groups_can_be_connected(flow: DAG) -> None:
    (a,) = tasks("a")

    with pytest.raises(InvalidArgument, match=r"test_wiring.py:\d+: edges connect .* not int 5"):
        a >> 5
    with pytest.raises(InvalidArgument, match="not str 'b'"):
        a >> ["b"]


def test_edges_of_a_group_reach_its_roots_and_leaves(flow: DAG) -> None:
    start, end = tasks("xy")
    with TaskGroup("g") as group:
        a, _, c = tasks("abc")
        a >> c
    start >> group >> end

    assert edges_of(flow) == {"g.a>g.c", "x>g.a", "x>g.b", "g.b>y", "g.c>y"}


def test_edges_of_a_group_reach_tasks_that_are_declared_afterwards(flow: DAG) -> None:
    (start,) = tasks("x")
    with TaskGroup("g") as group:
        tasks("a")
    start >> group
    with group:
        b, c = tasks("bc")
        b >> c

    assert edges_of(flow) == {"x>g.a", "x>g.b", "g.b>g.c"}


def test_edges_between_inner_groups_decide_the_roots_of_the_outer_one(flow: DAG) -> None:
    (start, end) = tasks("xy")
    with TaskGroup("outer") as outer:
        with TaskGroup("one") as one:
            tasks("a")
        with TaskGroup("two") as two:
            tasks("b")
    start >> outer >> end
    one >> two

    assert edges_of(flow) == {"outer.one.a>outer.two.b", "x>outer.one.a", "outer.two.b>y"}


def test_empty_group_keeps_its_neighbours_in_order(flow: DAG) -> None:
    a, b = tasks("ab")
    with TaskGroup("empty") as empty, TaskGroup("inner"):
        pass
    with TaskGroup("none") as none:
        pass

    a >> empty >> none >> b

    assert edges_of(flow) == {"a>b"}


def test_group_cannot_wait_for_what_it_holds(flow: DAG) -> None:
    with TaskGroup("g") as group:
        (a,) = tasks("a")
    a >> group

    with pytest.raises(CycleError, match=r"cannot wait for each other: 'g.a' >> 'g'"):
        _ = flow.definition


def test_data_inside_a_group_counts_for_its_roots(flow: DAG) -> None:
    (start,) = tasks("x")
    with TaskGroup("g") as group:
        first = EmptyOperator(task_id="first")
        PythonOperator(task_id="second", python_callable=print, op_args=[first.output])
    start >> group

    assert edges_of(flow) == {"g.first>g.second", "x>g.first"}


def test_groups_nest_and_prefix_ids_as_they_are_told() -> None:
    with DAG("flow") as flow:
        with TaskGroup("a", default_args={"retries": 1}, tooltip="tip") as a:
            with TaskGroup("b", prefix_group_id=False):
                inside = EmptyOperator(task_id="t")
            with TaskGroup("c", default_args={"retries": 2}) as c:
                other = EmptyOperator(task_id="t")
        later = EmptyOperator(task_id="late", task_group=a)

    assert [(g.id, g.parent, g.tooltip) for g in flow.definition.groups] == [
        ("a", "", "tip"),
        ("a.b", "a", ""),
        ("a.c", "a", ""),
    ]
    assert [t.task_id for t in (inside, other, later)] == ["t", "a.c.t", "a.late"]
    assert [t.policy.retries for t in (inside, other, later)] == [1, 2, 1]
    assert flow.groups["a.c"] is c
    assert (c.group_id, c.dag, other.task_group) == ("a.c", flow, c)
    assert repr(c) == "<TaskGroup 'a.c'>"
    assert [t.node_id for t in a.tasks()] == ["t", "a.c.t", "a.late"]


def test_group_stands_in_a_flow() -> None:
    with pytest.raises(InvalidArgument, match="group 'g' stands in no flow"):
        TaskGroup("g")
    flow = DAG("flow")
    TaskGroup("g", dag=flow)
    assert list(flow.groups) == ["g"]


def test_mapped_group_takes_edges_like_any_other(flow: DAG) -> None:
    (start,) = tasks("x")

    @task_group
    def work(name: Any) -> None:
        tasks("a")

    start >> work.expand(name=[1, 2])

    assert edges_of(flow) == {"x>work.a"}


@given(
    st.lists(
        st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda pair: pair[0] < pair[1]),
        max_size=20,
    ),
    st.lists(st.sampled_from([0, 1, 2]), min_size=8, max_size=8),
)
def test_edge_between_groups_orders_all_their_tasks(
    pairs: list[tuple[int, int]], homes: list[int]
) -> None:
    """Groups 1 and 2 hold some tasks; whatever the edges, all of 1 comes before all of 2."""
    with DAG("flow") as flow:
        groups = {name: TaskGroup(f"g{name}") for name in (1, 2)}
        nodes = [
            EmptyOperator(task_id=f"t{i}", task_group=groups.get(home))
            for i, home in enumerate(homes)
        ]
        groups[1] >> groups[2]
        for up, down in pairs:
            if homes[up] == homes[down]:
                nodes[up] >> nodes[down]

    ids = [node.task_id for node in nodes]
    reached: dict[str, set[str]] = {name: set() for name in ids}
    for _ in ids:
        for edge in flow.definition.edges:
            reached[edge.upstream] |= {edge.downstream} | reached[edge.downstream]
    firsts = [n for n, home in zip(ids, homes, strict=True) if home == 1]
    seconds = [n for n, home in zip(ids, homes, strict=True) if home == 2]
    assert all(two in reached[one] for one, two in itertools.product(firsts, seconds))
