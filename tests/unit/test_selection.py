"""This module tests how tasks are chosen by an expression, and what is left of a flow then."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import UnknownTask, UsageError
from ostinato.model.changes import changed_tasks
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
    Source,
    SumLength,
    TaskDefinition,
)
from ostinato.model.policy import Policy
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


# Files and changes


def in_files(*files: str) -> FlowDefinition:
    """A chain of tasks, each in a file; a task's id is the stem of its file."""
    ids = [file.rpartition("/")[2].partition(".")[0] for file in files]
    return FlowDefinition(
        "shop",
        tasks=tuple(
            TaskDefinition(task_id, source=Source(file, 1))
            for task_id, file in zip(ids, files, strict=True)
        ),
        edges=tuple(Edge(up, down) for up, down in pairwise(ids)),
    )


SHOP = in_files(
    "flows/shop/raw/orders.py", "flows/shop/marts/daily/revenue.sql", "flows/shop/marts/top.sql"
)


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ("marts/top.sql", {"top"}),
        ("top.sql", {"top"}),
        ("flows/shop/marts/top.sql", {"top"}),
        ("./flows/shop/marts/top.sql", {"top"}),
        ("marts/", {"revenue", "top"}),
        ("shop/marts", {"revenue", "top"}),
        ("marts/*.sql", {"top"}),
        ("*.sql", {"revenue", "top"}),
        ("raw/orders.py+1", {"orders", "revenue"}),
        ("+marts/daily/revenue.sql", {"orders", "revenue"}),
        ("flows/shop", {"orders", "revenue", "top"}),
    ],
)
def test_files_and_folders_are_selected_by_their_path(expression: str, chosen: set[str]) -> None:
    assert select_tasks(SHOP, expression) == chosen


def test_an_unknown_file_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownTask) as raised:
        select_tasks(SHOP, "flows/shop/marts/topp.sql")

    assert str(raised.value) == (
        "flow 'shop' has no file or folder 'flows/shop/marts/topp.sql' "
        "(did you mean 'flows/shop/marts/top.sql'?)"
    )


def test_changes_are_asked_for_only_where_they_are_named() -> None:
    asked: list[str] = []

    def changes() -> dict[str, frozenset[str]]:
        asked.append("once")
        return {"new": frozenset(["top"]), "modified": frozenset(["top", "revenue"])}

    assert select_tasks(SHOP, "orders", changes=changes) == {"orders"}
    assert asked == []
    assert select_tasks(SHOP, "state:modified and not state:new", changes=changes) == {"revenue"}
    assert select_tasks(SHOP, "+state:modified", changes=changes) == {"orders", "revenue", "top"}


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("state:old", "there is no state:old (use state:modified or state:new)"),
        ("state:new", "there is nothing that state:new could be compared with"),
        ("tag:x", "nothing can be selected by 'tag': (use 'group:' or 'state:')"),
    ],
)
def test_a_state_that_cannot_be_told_is_refused(expression: str, problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        select_tasks(SHOP, expression)

    assert str(raised.value) == problem


def changed(now: FlowDefinition, before: FlowDefinition, *files: str) -> tuple[set[str], set[str]]:
    every = {task.source.file: "old" for task in (*now.tasks, *before.tasks)}
    found = changed_tasks(
        now,
        {**every, **dict.fromkeys(files, "new")},
        before=before,
        sources_before={**every, "flows/shop/METADATA.yml": "old"}
        if "flows/shop/METADATA.yml" in files
        else every,
    )
    return set(found["new"]), set(found["modified"])


def test_what_stands_elsewhere_in_its_file_is_unchanged() -> None:
    moved = msgspec.structs.replace(
        SHOP,
        tasks=tuple(
            msgspec.structs.replace(task, source=Source(task.source.file, 99))
            for task in SHOP.tasks
        ),
    )

    assert changed(moved, SHOP) == (set(), set())


def test_a_task_changes_with_its_file_its_metadata_its_policy_and_its_edges() -> None:
    later = msgspec.structs.replace(SHOP.tasks[2], policy=Policy(retries=3))
    stricter = msgspec.structs.replace(SHOP, tasks=(*SHOP.tasks[:2], later))

    assert changed(SHOP, SHOP, "flows/shop/raw/orders.py") == (set(), {"orders"})
    assert changed(SHOP, SHOP, "flows/shop/marts/METADATA.yml")[1] == {"revenue", "top"}
    assert changed(SHOP, SHOP, "flows/shop/METADATA.yml")[1] == {"orders", "revenue", "top"}
    assert changed(stricter, SHOP)[1] == {"top"}
    assert changed(msgspec.structs.replace(SHOP, edges=()), SHOP)[1] == {"revenue", "top"}


def test_a_task_that_was_not_there_is_new_and_modified() -> None:
    before = in_files("flows/shop/raw/orders.py", "flows/shop/marts/daily/revenue.sql")

    assert changed(SHOP, before) == ({"top"}, {"top"})
