"""This module joins queries from fixed fragments; values are always parameters.

Each list is served by one index, which is named where SQLite might choose another: its
planner has no statistics here, and a sort of a million runs is not a page.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ostinato.model.state import RunState, TaskRunState
from ostinato.store.protocol import RunFilter
from ostinato.store.rows import path_key

#: A limit that no list reaches.
ALL = 1 << 62

#: Digits that are surely within 63 bits.
_MAX_DIGITS = 18


class Query(NamedTuple):
    """A statement and its parameters."""

    sql: str
    values: list[object]


class _Source(NamedTuple):
    """Where a page of runs is read from.

    Attributes:
        table: With the index that gives the order.
        id: The column in that order.
        condition: What the index looks up, or empty.
        values: Its parameters.
    """

    table: str
    id: str
    condition: str
    values: tuple[object, ...]


_BY_TAG = "run_tags CROSS JOIN runs ON runs.id = run_tags.run_id"
_BY_PARAM = "run_params CROSS JOIN runs ON runs.id = run_params.run_id"

_HAS_PARAM = (
    "EXISTS (SELECT 1 FROM run_params"
    " WHERE run_params.name = ? AND run_params.value = ? AND run_params.run_id = runs.id)"
)

# A run that is created later has a larger id and no earlier moment (see ``create_runs``), so
# that a range of moments is a range of ids.
_FROM_MOMENT = "{id} >= (SELECT id FROM runs WHERE created_us >= ? ORDER BY created_us, id LIMIT 1)"
_TO_MOMENT = (
    "{id} <= (SELECT id FROM runs WHERE created_us < ? ORDER BY created_us DESC, id DESC LIMIT 1)"
)

# Of two runs of a flow, the one with the larger number has the larger id (as above). So a number
# among a million is found by halving a range of ids in some forty looks; an index of its own
# would make each creation dearer.
_NUMBERED = """
WITH RECURSIVE
    asked (flow, number) AS (SELECT CAST(? AS TEXT), CAST(? AS BIGINT)),
    span (oldest, newest) AS (
        SELECT
            (SELECT id FROM {table} WHERE flow = asked.flow AND {states} ORDER BY id LIMIT 1),
            (SELECT id FROM {table} WHERE flow = asked.flow AND {states} ORDER BY id DESC LIMIT 1)
        FROM asked
    ),
    -- Numbers up to ``low`` are smaller; those behind it by twice ``step`` and more are not.
    search (low, step) AS (
        SELECT oldest - 1, (newest - oldest) / 2 + 1 FROM span
        UNION ALL
        SELECT
            CASE WHEN (
                SELECT runs.number FROM {table}
                WHERE flow = asked.flow AND {states} AND id >= low + step ORDER BY id LIMIT 1
            ) < asked.number THEN low + step ELSE low END,
            CASE WHEN step = 1 THEN 0 ELSE (step + 1) / 2 END
        FROM search, asked WHERE step > 0
    )
SELECT (
    SELECT id FROM {table} WHERE flow = asked.flow AND {states} AND id > low ORDER BY id LIMIT 1
) FROM search, asked WHERE step = 0
"""


def runs_page(select: str, which: RunFilter, *, before_id: int, limit: int) -> Query:
    """Return the query for runs, newest first.

    Args:
        select: The columns.
        which: Which runs are asked for.
        before_id: Only those created before this one; 0 for the newest.
        limit: How many at most.
    """
    pages = [
        _page(select, which, source, before_id=before_id, limit=limit) for source in _sources(which)
    ]
    if len(pages) == 1:
        return pages[0]
    union = " UNION ALL ".join(f"SELECT * FROM ({page.sql}) AS page" for page in pages)
    values = [value for page in pages for value in page.values]
    return Query(f"{union} ORDER BY id DESC LIMIT ?", [*values, limit])


def _sources(which: RunFilter) -> list[_Source]:
    """Return the source with the fewest rows that are not asked for; one a state without it."""
    if which.params:
        condition = "run_params.name = ? AND run_params.value = ?"
        return [_Source(_BY_PARAM, "run_params.run_id", condition, which.params[0])]
    if which.tag:
        return [_Source(_BY_TAG, "run_tags.run_id", "run_tags.tag = ?", (which.tag,))]
    is_rare = bool(which.states) and RunState.SUCCEEDED not in which.states
    if which.flow:
        return _of_flow(which.flow, which.states, has_succeeded=not is_rare)
    if which.trigger and not is_rare:
        condition = '"trigger" = ?'
        return [_Source("runs INDEXED BY runs_by_trigger", "id", condition, (which.trigger,))]
    if which.states:
        return _by_state(which.states)
    return [_Source("runs NOT INDEXED", "id", "", ())]


def _of_flow(flow: str, states: Sequence[RunState], *, has_succeeded: bool) -> list[_Source]:
    """Return the sources of the runs of a flow: its live ones, and those that have ended.

    Conditions are in the words that the indexes are made with, so that they serve.
    """
    sources: list[_Source] = []
    if not states or any(not state.is_terminal for state in states):
        live = "flow = ? AND state < 4"
        sources.append(_Source("runs INDEXED BY runs_live", "id", live, (flow,)))
    if has_succeeded:
        ended = "flow = ? AND state >= 4"
        sources.append(_Source("runs INDEXED BY runs_ended", "id", ended, (flow,)))
    elif any(state.is_terminal for state in states):
        # Nearly all have succeeded: what has not is never looked for among them.
        badly = "flow = ? AND state >= 5"
        sources.append(_Source("runs INDEXED BY runs_unsuccessful", "id", badly, (flow,)))
    return sources


def _by_state(states: Sequence[RunState]) -> list[_Source]:
    table = "runs INDEXED BY runs_by_state"
    return [_Source(table, "id", "state = ?", (int(state),)) for state in sorted(set(states))]


def _page(select: str, which: RunFilter, source: _Source, *, before_id: int, limit: int) -> Query:
    clauses = [source.condition] if source.condition else []
    values: list[object] = list(source.values)
    for param in which.params[1:]:
        clauses.append(_HAS_PARAM)
        values.extend(param)
    if which.tag and which.params:
        clauses.append("runs.id IN (SELECT run_id FROM run_tags WHERE tag = ?)")
        values.append(which.tag)
    if which.flow and not source.condition.startswith("flow"):
        clauses.append("runs.flow = ?")
        values.append(which.flow)
    if which.trigger and "runs_by_trigger" not in source.table:
        clauses.append('runs."trigger" = ?')
        values.append(which.trigger)
    if which.states and "runs_by_state" not in source.table:
        clauses.append(f"runs.state IN ({_marks(len(which.states))})")
        values.extend(int(state) for state in which.states)
    # What is read in step with the runs says the same of them again: PostgreSQL would begin with
    # the newest run of all.
    for name in dict.fromkeys((source.id, "id" if source.id == "id" else "runs.id")):
        if which.created_from_us:
            clauses.append(_FROM_MOMENT.format(id=name))
            values.append(which.created_from_us)
        if which.created_to_us:
            clauses.append(_TO_MOMENT.format(id=name))
            values.append(which.created_to_us)
        if before_id:
            clauses.append(f"{name} < ?")
            values.append(before_id)
    sql = f"{select} FROM {source.table}{_where(clauses)} ORDER BY {source.id} DESC LIMIT ?"
    return Query(sql, [*values, limit])


def named_run(select: str, name: str) -> Query:
    """Return the query for the run that a person names; see ``Store.find_run``.

    Args:
        select: The columns.
        name: An id, ``flow#17``, ``flow`` or ``last``.
    """
    flow, hash_, number = name.rpartition("#")
    if name == "last":
        return Query(f"{select} FROM runs ORDER BY id DESC LIMIT 1", [])
    if hash_ and _is_number(number):
        return _numbered_run(select, flow, int(number))
    if _is_number(name):
        return Query(f"{select} FROM runs WHERE id = ?", [int(name)])
    if not name:
        return run_by_id(select, 0)
    return runs_page(select, RunFilter(flow=name), before_id=0, limit=1)


def _numbered_run(select: str, flow: str, number: int) -> Query:
    found = " OR ".join(
        f"id = ({_NUMBERED.format(table=f'runs INDEXED BY {index}', states=states)})"
        for index, states in (("runs_live", "state < 4"), ("runs_ended", "state >= 4"))
    )
    sql = f"{select} FROM runs WHERE number = ? AND ({found})"
    return Query(sql, [number, flow, number, flow, number])


def run_by_id(select: str, run_id: int) -> Query:
    """Return the query for one run.

    Args:
        select: The columns.
        run_id: The run.
    """
    return Query(f"{select} FROM runs WHERE id = ?", [run_id])


def previous_success(select: str, flow: str, before_us: int) -> Query:
    """Return the query for the run of a flow that succeeded before a logical date.

    Args:
        select: The columns.
        flow: Name of the flow.
        before_us: The logical date.
    """
    sql = (
        f"{select} FROM runs INDEXED BY runs_ended_by_date"
        " WHERE flow = ? AND logical_date_us < ? AND state >= 4 AND state = ?"
        " ORDER BY logical_date_us DESC, id DESC LIMIT 1"
    )
    return Query(sql, [flow, before_us, int(RunState.SUCCEEDED)])


def runs_before(select: str, flow: str, before_us: int, limit: int) -> Query:
    """Return the query for the runs of a flow before a logical date, the latest date first.

    Args:
        select: The columns.
        flow: Name of the flow.
        before_us: The logical date.
        limit: How many at most.
    """
    pages = " UNION ALL ".join(
        f"SELECT * FROM ({select} FROM runs INDEXED BY {index}"
        f" WHERE flow = ? AND logical_date_us < ? AND {states}"
        " ORDER BY logical_date_us DESC, id DESC LIMIT ?) AS page"
        for index, states in (("runs_live", "state < 4"), ("runs_ended_by_date", "state >= 4"))
    )
    values = [flow, before_us, limit]
    sql = f"{pages} ORDER BY logical_date_us DESC, id DESC LIMIT ?"
    return Query(sql, [*values, *values, limit])


def task_runs_page(
    select: str,
    run_id: int,
    *,
    task_id: str = "",
    states: Sequence[TaskRunState] = (),
    after: tuple[str, str] | None = None,
    limit: int,
) -> Query:
    """Return the query for a run's task runs, in the order of task id and index.

    Args:
        select: The columns and the table.
        run_id: The run.
        task_id: Only this task; empty for all.
        states: Only these; empty for all.
        after: Task id and path of the last row of the page before.
        limit: How many at most.
    """
    clauses = ["run_id = ?"]
    values: list[object] = [run_id]
    if task_id:
        clauses.append("task_id = ?")
        values.append(task_id)
    if after is not None and task_id:
        clauses.append("path_key > ?")
        values.append(path_key(after[1]))
    elif after is not None:
        clauses.append("(task_id, path_key) > (?, ?)")
        values.extend((after[0], path_key(after[1])))
    if states:
        clauses.append(f"state IN ({_marks(len(states))})")
        values.extend(int(state) for state in states)
    sql = f"{select}{_where(clauses)} ORDER BY task_id, path_key LIMIT ?"
    return Query(sql, [*values, limit])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS


def _where(clauses: list[str]) -> str:
    return f" WHERE {' AND '.join(clauses)}" if clauses else ""


def _marks(count: int) -> str:
    return ", ".join("?" * count)
