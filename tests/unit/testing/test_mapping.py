"""Mapping over any shape gives what plain loops give."""

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato import DAG, task, task_group, testing
from ostinato.authoring.references import LiteralSeries, SeriesReference
from ostinato.testing import MemoryRun

pytestmark = pytest.mark.slow

#: Stands where a filter leaves an item out: its index is there, and skipped.
LEFT_OUT = object()


class Shape(NamedTuple):
    """What is mapped over: a source, or something made of other shapes."""

    kind: str
    values: Any = None
    parts: "tuple[Shape, ...]" = ()


def double(value: Any) -> Any:
    return [value, value]


def is_wanted(value: Any) -> bool:
    return bool(len(repr(value)) % 2)


def items_of(shape: Shape) -> list[Any]:
    """Return what the indices of a shape work on, by plain loops."""
    parts = [items_of(part) for part in shape.parts]
    match shape.kind:
        case "dict" | "dict result":
            return [list(pair) for pair in shape.values.items()]
        case "mapped":
            return list(shape.values)
        case "map":
            return [item if item is LEFT_OUT else double(item) for item in parts[0]]
        case "filter":
            return [i if i is not LEFT_OUT and is_wanted(i) else LEFT_OUT for i in parts[0]]
        case "zip":
            pairs = zip(*parts, strict=False)
            return [LEFT_OUT if LEFT_OUT in pair else list(pair) for pair in pairs]
        case "concat":
            return [item for part in parts for item in part]
        case "kept":
            # Of a mapped task, its successes alone are mapped over.
            return [item for item in parts[0] if item is not LEFT_OUT]
        case _:
            return list(shape.values)


@task
def give(value: Any) -> Any:
    return value


@task(trigger_rule="none_failed")
def echo(x: Any) -> Any:
    return plain(x)


@task(trigger_rule="none_failed")
def pair(x: Any, y: Any) -> Any:
    return plain([x, y])


def plain(value: Any) -> Any:
    """Return a value with lists for all that is a sequence, as JSON keeps it."""
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def declare(shape: Shape) -> SeriesReference:
    """Declare the tasks that a shape takes, and return what is mapped over."""
    parts = [declare(part) for part in shape.parts]
    match shape.kind:
        case "list" | "dict":
            return LiteralSeries(shape.values)
        case "mapped":
            reference = echo.expand(x=shape.values)
        case "map":
            return parts[0].map(double)
        case "filter":
            return parts[0].map(plain).filter(is_wanted)
        case "zip":
            return parts[0].zip(*parts[1:])
        case "concat":
            return parts[0].concat(*parts[1:])
        case "kept":
            reference = echo.expand(x=parts[0])
        case _:
            reference = give(shape.values)
    assert isinstance(reference, SeriesReference)
    return reference


values = st.one_of(st.integers(0, 99), st.sampled_from(["a", "bb", ""]))
lists = st.lists(values, max_size=3)
dicts = st.dictionaries(st.sampled_from(["k", "l", "mm"]), values, max_size=2)
sources = st.one_of(
    st.tuples(st.sampled_from(["list", "result"]), lists),
    st.tuples(st.just("mapped"), st.lists(values, min_size=1, max_size=3)),
    st.tuples(st.sampled_from(["dict", "dict result"]), dicts),
).map(lambda pair: Shape(*pair))


def made_of(kinds: Iterable[str]) -> Callable[[st.SearchStrategy[Shape]], Any]:
    """Return what makes larger shapes of smaller ones."""

    def of(parts: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
        one = st.tuples(st.sampled_from(list(kinds)), parts)
        several = st.tuples(
            st.sampled_from(["zip", "concat"]), st.lists(parts, min_size=1, max_size=3)
        )
        return st.one_of(
            one.map(lambda pair: Shape(pair[0], None, (pair[1],))),
            several.map(lambda pair: Shape(pair[0], None, tuple(pair[1]))),
        )

    return of


shapes = st.recursive(sources, made_of(("map", "filter", "kept")), max_leaves=4)
#: A group is skipped where a task that it is mapped over was, as by a filter before it.
shapes_of_groups = st.recursive(sources, made_of(("map", "filter")), max_leaves=4)


def run_of(build: Callable[[], None]) -> MemoryRun:
    with DAG("mapping") as flow:
        build()
    return testing.run(flow)


def expected(worked_on: list[Any]) -> list[tuple[str, Any]]:
    """Return state and result by index."""
    return [
        ("skipped", None) if item is LEFT_OUT else ("succeeded", plain(item)) for item in worked_on
    ]


def found(run: MemoryRun, task_id: str) -> list[tuple[str, Any]]:
    views = [view for view in run.task_runs if view.task_id == task_id]
    return [(view.state, run.result(task_id, map_index=view.map_path)) for view in views]


@settings(max_examples=60)
@given(shape=shapes)
def test_a_mapped_task_works_on_each_item_and_gives_all_results(shape: Shape) -> None:
    def build() -> None:
        mapped = echo.override(task_id="mapped").expand(x=declare(shape))
        give.override(task_id="all", trigger_rule="all_done")(mapped)

    with run_of(build) as run:
        wanted = expected(items_of(shape))
        assert found(run, "mapped") == (wanted or [("skipped", None)])
        kept = [result for state, result in wanted if state == "succeeded"]
        assert list(run.result("all")) == kept
        assert run.state == "succeeded"


@settings(max_examples=40)
@given(one=shapes, other=shapes)
def test_two_arguments_give_all_combinations_the_last_fastest(one: Shape, other: Shape) -> None:
    def build() -> None:
        pair.override(task_id="mapped").expand(x=declare(one), y=declare(other))

    with run_of(build) as run:
        pairs = product(items_of(one), items_of(other))
        wanted = expected([LEFT_OUT if LEFT_OUT in each else list(each) for each in pairs])
        assert found(run, "mapped") == (wanted or [("skipped", None)])


@settings(max_examples=40)
@given(outer=shapes_of_groups, inner=shapes_of_groups)
def test_groups_nest_and_see_the_items_of_their_index(outer: Shape, inner: Shape) -> None:
    def build() -> None:
        @task_group
        def outside(x: Any) -> Any:
            seen = echo(x)

            @task_group
            def inside(y: Any) -> Any:
                return pair.override(task_id="both", trigger_rule="all_success")(seen, y)

            return inside.expand(y=series)

        series = declare(inner)
        give.override(task_id="all", trigger_rule="all_done")(outside.expand(x=declare(outer)))

    with run_of(build) as run:
        both = "outside.inside.both"
        states = {
            view.map_path: (view.state, run.result(both, map_index=view.map_path))
            for view in run.task_runs
            if view.task_id == both
        }
        rows, columns = items_of(outer), items_of(inner)
        wanted: dict[tuple[int, ...], tuple[str, Any]] = {}
        for (i, row), (j, column) in product(enumerate(rows), enumerate(columns)):
            is_out = row is LEFT_OUT or column is LEFT_OUT
            wanted[i, j] = ("skipped", None) if is_out else ("succeeded", plain([row, column]))
        if not rows:
            wanted = {(): ("skipped", None)}
        elif not columns:
            wanted = {(i,): ("skipped", None) for i in range(len(rows))}
        assert states == wanted
        kept = [result for _, (state, result) in sorted(wanted.items()) if state == "succeeded"]
        assert list(run.result("all")) == kept


@settings(max_examples=40)
@given(shape=shapes)
def test_sets_of_arguments_are_mapped_over_as_well(shape: Shape) -> None:
    def build() -> None:
        pair.override(task_id="mapped").expand_kwargs(
            declare(shape).map(lambda item: {"x": item, "y": 1})
        )

    with run_of(build) as run:
        worked_on = [i if i is LEFT_OUT else [i, 1] for i in items_of(shape)]
        assert found(run, "mapped") == (expected(worked_on) or [("skipped", None)])
