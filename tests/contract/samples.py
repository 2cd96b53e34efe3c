"""This module makes rows for tests of stores."""

from ostinato.engine import events as ev
from ostinato.model.identity import RunId, parse_path
from ostinato.model.state import RunState, TaskRunState
from ostinato.model.value import RETURN_VALUE, StoredValue, ValueFormat
from ostinato.store.records import (
    AttemptRow,
    Batch,
    EventRow,
    NewRun,
    NoticeRow,
    RunUpdate,
    TaskRunRow,
    ValueRow,
)

VERSION = "v1"


def new_run(flow: str = "etl", *, logical_key: str | None = None) -> NewRun:
    return NewRun("shop", flow, VERSION, logical_key=logical_key)


def task_run(
    run_id: int,
    task_id: str = "load",
    path: str = "",
    *,
    state: TaskRunState = TaskRunState.RUNNING,
    attempt: int = 1,
) -> TaskRunRow:
    return TaskRunRow(
        run_id,
        task_id,
        path,
        state,
        attempt=attempt,
        generation=0,
        failures=0,
        losses=0,
        queued_us=10,
        first_started_us=20,
        started_us=20,
        ended_us=0,
        due_us=0,
        length=None,
        chosen=None,
        stop=False,
        failure=None,
        inputs=None,
        reason="",
    )


def started(run_id: int, task_id: str = "load", path: str = "", *, attempt: int = 1) -> EventRow:
    event = ev.AttemptStarted(20, task_id, parse_path(path), attempt)
    return EventRow(run_id, task_id, path, 20, event)


def earlier_attempt(
    run_id: int, task_id: str = "load", path: str = "", *, generation: int = 0, attempt: int = 1
) -> AttemptRow:
    return AttemptRow(run_id, task_id, path, generation, attempt, "failed", 20, 30, b"why")


def value(
    run_id: int,
    task_id: str = "load",
    path: str = "",
    *,
    data: bytes = b"1",
    attempt: int = 1,
    key: str = RETURN_VALUE,
) -> ValueRow:
    stored = StoredValue(key, ValueFormat.JSON, len(data), data=data)
    return ValueRow(run_id, task_id, path, 0, attempt, stored)


def notice(
    run_id: int,
    id: int = 1,
    *,
    owner: int = 0,
    rule: str = "",
    topic: str = "",
    state: str = "pending",
    created_us: int = 50,
    due_us: int = 50,
) -> NoticeRow:
    return NoticeRow(
        id,
        run_id,
        "load",
        "3",
        generation=0,
        attempt=1,
        moment="failure",
        recipient="tell",
        rule=rule,
        topic=topic,
        state=state,
        tries=0,
        created_us=created_us,
        due_us=due_us,
        ended_us=0,
        owner=owner,
        facts=b"what",
    )


def update(run_id: int, state: RunState = RunState.RUNNING, *, ended_us: int = 0) -> RunUpdate:
    return RunUpdate(state, "", 15, ended_us, 0, run_id)


def step(run_id: RunId, number: int) -> Batch:
    """A batch as a coordinator writes it: a task run with its event and its value."""
    batch = Batch()
    batch.task_runs.append(task_run(run_id, "step", str(number), state=TaskRunState.SUCCEEDED))
    batch.events.append(started(run_id, "step", str(number)))
    batch.values.append(value(run_id, "step", str(number), data=b"%d" % number))
    return batch
