"""This module chooses which recorded steps of a flow that is a function are executed again."""

import re
from collections.abc import Iterable, Sequence

from ostinato.errors import UnknownTask
from ostinato.model.identity import MapPath, TaskRunKey, parse_path
from ostinato.model.state import TaskRunState
from ostinato.store.protocol import Store
from ostinato.store.records import AttemptRow, RunRow, TaskRunRow

#: Steps that are read at a time.
PAGE = 2_000

_PLACED = re.compile(r"(?:(?P<task>[^\s,()\[\]]+)\[)?(?P<place>\d+(?:\.\d+)*)\]?")


def dropped_steps(
    store: Store, run: RunRow, whole: Iterable[str], alone: Iterable[str]
) -> tuple[TaskRunRow, ...]:
    """Return the rows of the steps that are forgotten, in the order of their places.

    A step in which another one is called is executed again with it, since nothing else calls it.

    Args:
        store: Where steps are recorded.
        run: Of the flow.
        whole: Steps that are forgotten with all that follow: places as ``3.1`` or ``load[3.1]``,
            or the name of a task for its first step.
        alone: Steps that are forgotten with those that they call; a name means all its steps.

    Raises:
        UnknownTask: The run has no such step.
    """
    steps = _steps(store, run)
    dropped: set[MapPath] = set()
    for text in whole:
        first = min(_named(run, steps, text))
        dropped.update(path for path in steps if path >= first or path == first[: len(path)])
    for text in alone:
        for chosen in _named(run, steps, text):
            size = len(chosen)
            dropped.update(
                path for path in steps if path[:size] == chosen or path == chosen[: len(path)]
            )
    return tuple(steps[path] for path in sorted(dropped))


def removed(row: TaskRunRow) -> TaskRunRow:
    """Return the row of a step that a replay passes over; its digest and place stay."""
    return row._replace(state=TaskRunState.REMOVED)


def archived(row: TaskRunRow) -> AttemptRow:
    """Return what is kept of a step that will be executed again."""
    return AttemptRow(
        row.run_id,
        row.task_id,
        row.path,
        row.generation,
        row.attempt,
        TaskRunState(row.state).label,
        row.started_us,
        row.ended_us,
        row.failure,
    )


def step_name(row: TaskRunRow) -> str:
    """Return how people name a step, such as ``load[3.1]``."""
    return str(TaskRunKey(row.task_id, parse_path(row.path)))


def _steps(store: Store, run: RunRow) -> dict[MapPath, TaskRunRow]:
    found: dict[MapPath, TaskRunRow] = {}
    cursor = ""
    while True:
        rows, cursor = store.steps(run.id, cursor=cursor, limit=PAGE)
        for row, _ in rows:
            if row.state != TaskRunState.REMOVED:
                found[parse_path(row.path)] = row
        if not cursor:
            return found


def _named(run: RunRow, steps: dict[MapPath, TaskRunRow], text: str) -> Sequence[MapPath]:
    placed = _PLACED.fullmatch(text)
    if placed is None:
        found = [path for path, row in steps.items() if row.task_id == text]
    else:
        path = parse_path(placed["place"])
        row = steps.get(path)
        is_it = row is not None and placed["task"] in (None, row.task_id)
        found = [path] if is_it else []
    if not found:
        name = f"{run.flow}#{run.number}"
        raise UnknownTask(f"run {name} has no step {text}", hint=f"ostinato show '{name}'")
    return found
