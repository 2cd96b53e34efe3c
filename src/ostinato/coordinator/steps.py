"""This module records the steps of flows that are functions, and gives them back to a replay."""

from typing import Any, Protocol

import msgspec

from ostinato.coordinator.live_run import LiveRun
from ostinato.engine import events as ev
from ostinato.engine.task_run import TaskRun
from ostinato.executors.protocol import Later
from ostinato.model.failure import Failure
from ostinato.model.identity import MapPath, RunId, TaskRunKey, format_path, parse_path
from ostinato.model.state import TaskRunState
from ostinato.model.step import decode_step, encode_step
from ostinato.runtime.messages import RecordedStep
from ostinato.store.protocol import Store
from ostinato.store.records import Batch, CacheRow, EventRow, TaskRunRow, ValueRow

_encode_value = msgspec.msgpack.Encoder().encode
_failure_encoder = msgspec.msgpack.Encoder()
_failure_decoder = msgspec.msgpack.Decoder(Failure)


class Committer(Protocol):
    """Write what steps left; the coordinator is one."""

    @property
    def batch(self) -> Batch:
        """What the next commit writes."""
        ...

    def after_commit(self, value: Any = None) -> Later:
        """Return an answer that is given once the next commit is durable."""
        ...

    def commit(self) -> None:
        """Make durable what is in the batch."""
        ...

    def note_progress(self, run: LiveRun, body: TaskRun) -> None:
        """Take note that a body got further than it has ever been."""
        ...


class StepDesk:
    """Answer the calls of flows that are functions.

    Args:
        store: Where steps are recorded.
        committer: Writes them.
    """

    def __init__(self, store: Store, committer: Committer) -> None:
        self._store = store
        self._committer = committer

    def record(self, run: LiveRun, body: TaskRun, *, record: object) -> Later:
        """Record a step; answered once it is durable."""
        step = record if isinstance(record, RecordedStep) else msgspec.convert(record, RecordedStep)
        path = format_path(step.path)
        batch = self._committer.batch
        batch.task_runs.append(step_row(run.id, body, step, path))
        if step.value is not None:
            identity = (run.id, step.task_id, path, body.generation, step.attempt)
            batch.values.append(ValueRow(*identity, step.value))
        if step.kept is not None:
            source = f"{run.row.flow}#{run.row.number} {TaskRunKey(step.task_id, step.path)}"
            expires_us = round(step.kept.expires_s * 1e6)
            expires_us += step.ended_us if expires_us else 0
            value = None if step.value is None else _encode_value(step.value)
            row = CacheRow(step.kept.key, source, step.ended_us, expires_us, value)
            batch.cached.append(row)
        state = TaskRunState(step.state).label
        summary = step.failure.summary if step.failure is not None else ""
        summary = summary or _origin(step)
        event = ev.StepEnded(
            step.ended_us, step.task_id, step.path, state, summary, step.started_us
        )
        batch.events.append(EventRow(run.id, step.task_id, path, step.ended_us, event))
        self._committer.note_progress(run, body)
        return self._committer.after_commit()

    def note(self, run: LiveRun, _: TaskRun, *, task_id: str, path: MapPath, at_us: int) -> None:
        """Record for people that a step has begun, which takes long."""
        place = tuple(path)
        event = ev.StepStarted(at_us, task_id, place, 1)
        self._committer.batch.events.append(
            EventRow(run.id, task_id, format_path(place), at_us, event)
        )

    def recorded(
        self, run: LiveRun, _: TaskRun, *, cursor: str, limit: int
    ) -> tuple[list[RecordedStep], str]:
        """Return a page of the steps that were recorded, and the cursor of the next page."""
        rows, cursor = self._store.steps(RunId(run.id), cursor=cursor, limit=limit)
        found = []
        for row, value in rows:
            assert row.step is not None
            found.append(
                RecordedStep(
                    parse_path(row.path),
                    row.task_id,
                    row.state,
                    row.attempt,
                    row.started_us,
                    row.ended_us,
                    decode_step(row.step),
                    value,
                    None if row.failure is None else _failure_decoder.decode(row.failure),
                    row.inputs,
                )
            )
        return found, cursor

    def answers(self) -> dict[str, Any]:
        """Return what answers each call."""
        return {"step": self.record, "step_lasts": self.note, "steps": self.recorded}


def _origin(step: RecordedStep) -> str:
    """Return where a step's result came from, for people; empty for its own."""
    return f"cached from {step.info.cached_from}" if step.info.cached_from else ""


def step_row(run_id: int, body: TaskRun, step: RecordedStep, path: str) -> TaskRunRow:
    """Return the row of a step."""
    return TaskRunRow(
        run_id,
        step.task_id,
        path,
        step.state,
        step.attempt,
        body.generation,
        0,
        0,
        step.started_us,
        step.started_us,
        step.started_us,
        step.ended_us,
        0,
        None,
        None,
        0,
        None if step.failure is None else _failure_encoder.encode(step.failure),
        step.inputs,
        _origin(step),
        None,
        encode_step(step.info),
        step.name,
    )
