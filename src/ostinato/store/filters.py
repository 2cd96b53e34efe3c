"""This module joins WHERE clauses from fixed fragments; values are always parameters."""

from collections.abc import Sequence

from ostinato.model.state import TaskRunState
from ostinato.store.protocol import RunFilter


def run_conditions(which: RunFilter, before_id: int | None) -> tuple[str, list[object]]:
    """Return the condition for a page of runs and its parameters.

    Args:
        which: Which runs are asked for.
        before_id: Only those created before this one; None for the newest.
    """
    clauses: list[str] = []
    values: list[object] = []
    if which.flow:
        clauses.append("flow = ?")
        values.append(which.flow)
    if which.states:
        clauses.append(f"state IN ({_marks(len(which.states))})")
        values.extend(int(state) for state in which.states)
    if which.trigger:
        clauses.append('"trigger" = ?')
        values.append(which.trigger)
    if which.tag:
        clauses.append("id IN (SELECT run_id FROM run_tags WHERE tag = ?)")
        values.append(which.tag)
    if which.created_from_us:
        clauses.append("created_us >= ?")
        values.append(which.created_from_us)
    if which.created_to_us:
        clauses.append("created_us < ?")
        values.append(which.created_to_us)
    if before_id is not None:
        clauses.append("id < ?")
        values.append(before_id)
    return _where(clauses), values


def task_run_conditions(
    run_id: int,
    *,
    task_id: str,
    states: Sequence[TaskRunState],
    after: tuple[str, bytes] | None,
) -> tuple[str, list[object]]:
    """Return the condition for a page of a run's task runs and its parameters.

    Args:
        run_id: The run.
        task_id: Only this task; empty for all.
        states: Only these; empty for all.
        after: Task id and path key of the last row of the page before.
    """
    clauses = ["run_id = ?"]
    values: list[object] = [run_id]
    if task_id:
        clauses.append("task_id = ?")
        values.append(task_id)
    if states:
        clauses.append(f"state IN ({_marks(len(states))})")
        values.extend(int(state) for state in states)
    if after is not None:
        clauses.append("(task_id, path_key) > (?, ?)")
        values.extend(after)
    return _where(clauses), values


def _where(clauses: list[str]) -> str:
    return f" WHERE {' AND '.join(clauses)}" if clauses else ""


def _marks(count: int) -> str:
    return ", ".join("?" * count)
