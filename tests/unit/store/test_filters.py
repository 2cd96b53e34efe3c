"""This module tests that each list is served by its index, whatever is in the store."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from ostinato.model.state import RunState, TaskRunState
from ostinato.store.filters import (
    Query,
    named_run,
    previous_success,
    run_by_id,
    runs_before,
    runs_page,
    task_runs_page,
)
from ostinato.store.protocol import RunFilter
from ostinato.store.sqlite import SqliteStore, open_store
from ostinato.store.statements import load_statements

SQL = load_statements("sqlite")
RUNS = SQL["select_runs"]
ENDED_BADLY = (RunState.FAILED, RunState.CANCELLED)
LIVE = (RunState.QUEUED, RunState.RUNNING)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    store = open_store(tmp_path_factory.mktemp("plans") / "store.db")
    yield store
    store.close()


def plan(store: SqliteStore, query: Query) -> list[str]:
    """Return the steps by which SQLite would answer."""
    rows = store._database.read(f"EXPLAIN QUERY PLAN {query.sql}", query.values)
    return [row[3] for row in rows]


@pytest.mark.parametrize(
    ("which", "step"),
    [
        (RunFilter(), "SEARCH runs USING INTEGER PRIMARY KEY (rowid<?)"),
        (RunFilter(flow="a"), "SEARCH runs USING INDEX runs_ended (flow=? AND id<?)"),
        (RunFilter(flow="a"), "SEARCH runs USING INDEX runs_live (flow=? AND id<?)"),
        (
            RunFilter(trigger="api"),
            "SEARCH runs USING INDEX runs_by_trigger (trigger=? AND rowid<?)",
        ),
        (
            RunFilter(states=(RunState.FAILED,)),
            "SEARCH runs USING INDEX runs_by_state (state=? AND rowid<?)",
        ),
        (RunFilter(states=LIVE), "SEARCH runs USING INDEX runs_by_state (state=? AND rowid<?)"),
        (RunFilter(tag="x"), "SEARCH run_tags USING PRIMARY KEY (tag=? AND run_id<?)"),
        (
            RunFilter(params=(("day", '"mon"'),)),
            "SEARCH run_params USING PRIMARY KEY (name=? AND value=? AND run_id<?)",
        ),
        (RunFilter(flow="a", states=LIVE), "SEARCH runs USING INDEX runs_live (flow=? AND id<?)"),
        (RunFilter(flow="a", states=ENDED_BADLY), "USING INDEX runs_unsuccessful (flow=? AND"),
        (RunFilter(flow="a", states=(*LIVE, *ENDED_BADLY)), "USING INDEX runs_unsuccessful"),
        (RunFilter(flow="a", states=tuple(RunState)), "USING INDEX runs_ended"),
        (RunFilter(trigger="api", states=ENDED_BADLY), "USING INDEX runs_by_state"),
        (RunFilter(tag="x", flow="a", states=LIVE, trigger="api"), "SEARCH run_tags"),
        (
            RunFilter(created_from_us=1),
            "SEARCH runs USING COVERING INDEX runs_by_moment (created_us>?)",
        ),
        (
            RunFilter(created_to_us=1),
            "SEARCH runs USING COVERING INDEX runs_by_moment (created_us<?)",
        ),
        (RunFilter(created_from_us=1), "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        (RunFilter(flow="a", created_from_us=1), "runs_ended (flow=? AND id>? AND id<?)"),
    ],
    ids=str,
)
def test_page_of_runs_is_read_from_its_index_without_sorting_all(
    store: SqliteStore, which: RunFilter, step: str
) -> None:
    steps = plan(store, runs_page(RUNS, which, before_id=1 << 60, limit=50))

    assert any(step in each for each in steps), steps
    # Pages of a union are sorted to be merged; nothing larger is.
    for before, each in pairwise(steps):
        assert "B-TREE" not in each or before.startswith(("SCAN (subquery", "SCAN page")), steps
    scans = [each for each in steps if each.startswith("SCAN runs") or "SCAN run_" in each]
    assert scans == [], steps


def test_first_page_reads_the_table_backwards(store: SqliteStore) -> None:
    assert plan(store, runs_page(RUNS, RunFilter(), before_id=0, limit=50)) == ["SCAN runs"]


@pytest.mark.parametrize(
    ("query", "step"),
    [
        (named_run(RUNS, "123"), "SEARCH runs USING INTEGER PRIMARY KEY (rowid=?)"),
        (named_run(RUNS, "last"), "SCAN runs"),
        (run_by_id(RUNS, 5), "SEARCH runs USING INTEGER PRIMARY KEY (rowid=?)"),
    ],
    ids=lambda each: each.sql.partition("FROM")[2] if isinstance(each, Query) else "",
)
def test_named_run_is_one_step(store: SqliteStore, query: Query, step: str) -> None:
    assert plan(store, query) == [step]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (named_run(RUNS, "etl"), "INDEX runs_ended (flow=?)"),
        (named_run(RUNS, "etl#7"), "COVERING INDEX runs_ended (flow=?)"),
        (previous_success(RUNS, "etl", 5), "INDEX runs_ended_by_date (flow=? AND"),
        (runs_before(RUNS, "etl", 5, 3), "INDEX runs_ended_by_date (flow=? AND"),
        (Query(SQL["newest_run_with_value"], [1] * 5), "INDEX runs_ended_by_date (flow=? AND"),
        (Query(SQL["select_newest_run_at"], [1] * 3), "INDEX runs_ended_by_date (flow=? AND"),
    ],
)
def test_runs_of_a_flow_are_read_from_its_indexes(
    store: SqliteStore, query: Query, index: str
) -> None:
    steps = plan(store, query)

    assert any(index in each for each in steps), steps
    assert not any(each.startswith("SCAN runs") for each in steps)


@pytest.mark.parametrize("task_id", ["", "load"])
@pytest.mark.parametrize("states", [(), (TaskRunState.FAILED, TaskRunState.RUNNING)])
@pytest.mark.parametrize("after", [None, ("load", "3.17")])
def test_task_runs_are_read_in_the_order_of_their_key(
    store: SqliteStore,
    task_id: str,
    states: tuple[TaskRunState, ...],
    after: tuple[str, str] | None,
) -> None:
    query = task_runs_page(
        SQL["select_task_runs"], 1, task_id=task_id, states=states, after=after, limit=50
    )

    [step] = plan(store, query)

    assert step.startswith("SEARCH task_runs USING PRIMARY KEY (run_id=?")


@pytest.mark.parametrize(
    ("name", "count", "step"),
    [
        ("select_run_events", 3, "USING INDEX events_by_run (run_id=? AND rowid>?)"),
        ("select_events", 2, "USING INTEGER PRIMARY KEY (rowid>?)"),
        ("select_value", 4, "PRIMARY KEY (run_id=? AND task_id=? AND path_key=? AND key=?)"),
        ("select_values", 3, "PRIMARY KEY (run_id=? AND task_id=?)"),
        ("delete_values", 5, "PRIMARY KEY (run_id=? AND task_id=? AND path_key=?)"),
        ("select_attempts", 3, "PRIMARY KEY (run_id=? AND task_id=? AND path=?)"),
        ("select_expansions", 1, "PRIMARY KEY (run_id=?)"),
        ("count_task_runs", 1, "PRIMARY KEY (run_id=?)"),
        ("release_all_runs", 1, "INDEX runs_by_owner (owner=?)"),
    ],
)
def test_statement_uses_the_index_that_it_names(
    store: SqliteStore, name: str, count: int, step: str
) -> None:
    steps = plan(store, Query(SQL[name], [1] * count))

    assert step in steps[0]
    assert not any("FOR ORDER BY" in each for each in steps)


def test_known_runs_are_looked_up_one_by_one(store: SqliteStore) -> None:
    known = plan(store, Query(f"{RUNS} {SQL['among_known_runs']}", ['[["p","f","k"]]']))

    found = "runs_by_key (<expr>=? AND project=? AND flow=? AND logical_key=?)"
    assert any(found in each for each in known)
