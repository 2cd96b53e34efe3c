"""This module finds the values that a partial run reads from tasks it leaves out."""

from ostinato.errors import ValueMissing
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import MapPath, RunId
from ostinato.model.state import TaskRunState
from ostinato.runtime.messages import InputValue, MappedValues, SingleValue
from ostinato.store.protocol import RunFilter, Store
from ostinato.store.records import TaskRunRow

#: Earlier runs of the flow that are searched, newest first.
SEARCHED_RUNS = 50

_NOWHERE: MapPath = ()


def outside_values(
    store: Store, flow: FlowDefinition, before: RunId | None = None
) -> dict[tuple[str, str], InputValue]:
    """Return what a partial flow reads from tasks it leaves out, by (task id, key).

    A value comes from the newest run in which its task succeeded.

    Args:
        store: Where earlier runs are.
        flow: The narrowed flow; a whole one reads nothing from outside.
        before: Only runs that were created before this one; all if None.

    Raises:
        ValueMissing: A task that is left out has never succeeded.
    """
    own = {task.id for task in flow.tasks}
    wanted = {
        (v.task_id, v.key): t.id for t in flow.tasks for v in t.inputs if v.task_id not in own
    }
    if not wanted:
        return {}
    rows, _ = store.runs(RunFilter(flow=flow.name), limit=SEARCHED_RUNS)
    earlier = [row.id for row in rows if before is None or row.id < before]
    found: dict[tuple[str, str], InputValue] = {}
    for (task_id, key), reader in wanted.items():
        values = (_value_of(store, run_id, task_id, key) for run_id in earlier)
        value = next((value for value in values if value is not None), None)
        if value is None:
            message = f"task {reader!r} reads the result of {task_id!r}, which no earlier run has"
            raise ValueMissing(message, hint=f"select it too: --select '+{reader}'")
        found[task_id, key] = value
    return found


def _value_of(store: Store, run_id: RunId, task_id: str, key: str) -> InputValue | None:
    succeeded = _succeeded(store, run_id, task_id)
    if not succeeded:
        return None
    values = dict(store.values(run_id, task_id, key=key))
    if not succeeded[0].path:
        return SingleValue(values.get(""))
    return MappedValues(
        task_id, _NOWHERE, len(succeeded), tuple(values.get(row.path) for row in succeeded)
    )


def _succeeded(store: Store, run_id: RunId, task_id: str) -> list[TaskRunRow]:
    found: list[TaskRunRow] = []
    cursor = ""
    while True:
        page, cursor = store.task_runs(
            run_id, task_id=task_id, states=(TaskRunState.SUCCEEDED,), cursor=cursor
        )
        found.extend(page)
        if not cursor:
            return found
