"""This module keeps the steps whose processes wait for a person."""

from collections.abc import Callable
from typing import Any, NoReturn, Protocol

import msgspec

from ostinato.clock import Clock
from ostinato.coordinator.live_run import LiveRun
from ostinato.coordinator.registry import Registry
from ostinato.coordinator.steps import Committer, step_row
from ostinato.coordinator.waits import OnQuestion, StandIn
from ostinato.engine import events as ev
from ostinato.engine.commands import SetTimer
from ostinato.engine.task_run import TaskRun
from ostinato.errors import UsageError
from ostinato.executors.protocol import Later
from ostinato.model.deferral import Deferral, Outcome, Resumption, encode_wait
from ostinato.model.identity import TaskRunKey, format_path, parse_path
from ostinato.model.state import TaskRunState
from ostinato.runtime.messages import RecordedStep
from ostinato.store.protocol import Store
from ostinato.store.records import TaskRunRow

#: Kind of the timers that end pauses; engines know nothing of it.
TIMER = "pause"

_Key = tuple[int, str, str]

#: Applies an event to a run; the path is that of the event as text.
Tell = Callable[[LiveRun, ev.PauseBegan | ev.PauseEnded, str], None]


class Timekeeper(Protocol):
    """Fire timers; the coordinator's ``Timers``."""

    def add(self, run_id: int, timer: SetTimer) -> None:
        """Keep a timer of a run."""
        ...


class Pauses:
    """The pauses of a coordinator's runs; each is a deferred row of its step while it lasts.

    Args:
        store: Where rows are kept.
        committer: Writes them.
        clock: Stamps what happens.
        timers: Tell when a pause has lasted too long.
        tell: Tells a run what happens to it.
        answers: Stands in for people; None where they answer themselves.
        on_question: Told of what people are asked.
    """

    def __init__(
        self,
        store: Store,
        committer: Committer,
        clock: Clock,
        timers: Timekeeper,
        *,
        tell: Tell,
        answers: StandIn | None = None,
        on_question: OnQuestion | None = None,
    ) -> None:
        self._on_question = on_question
        self._store = store
        self._committer = committer
        self._clock = clock
        self._timers = timers
        self._answers = answers
        self._tell = tell
        self._runs: dict[_Key, LiveRun] = {}
        self._rows: dict[_Key, TaskRunRow] = {}
        self._waiting: dict[_Key, Later] = {}
        self.answers: dict[str, Callable[..., Any]] = {"pause": self._begin}

    def __bool__(self) -> bool:
        return bool(self._rows)

    def register(self, registry: Registry) -> None:
        """Answer calls and timers of a coordinator."""
        registry.calls |= self.answers
        registry.timers[TIMER] = self.time_over

    def _begin(
        self, run: LiveRun, body: TaskRun, *, record: object, deferral: object, until_us: int
    ) -> Later:
        """Let a body wait; answered by how the wait ended."""
        step = record if isinstance(record, RecordedStep) else msgspec.convert(record, RecordedStep)
        told = deferral if isinstance(deferral, Deferral) else msgspec.convert(deferral, Deferral)
        path = format_path(step.path)
        row = step_row(run.id, body, step, path)
        row = row._replace(due_us=until_us, wait=encode_wait(told, None))
        self._committer.batch.task_runs.append(row)
        key = (run.id, step.task_id, path)
        self._rows[key] = row
        later = self._waiting[key] = Later(_nothing)
        if told.request is not None:
            now_us, where = self._clock.now_us(), (step.task_id, step.path)
            self._runs[key] = run
            self._tell(run, ev.PauseBegan(now_us, *where, told.request, until_us), path)
            if self._on_question is not None:
                self._on_question(run.row, str(TaskRunKey(*where)), told.request)
        found = self._answers(step.task_id, told) if self._answers is not None else None
        if found is not None:
            self._end(key, found)
        elif until_us:
            self._timers.add(run.id, SetTimer(until_us, TIMER, step.task_id, step.path))
        return later

    def refuse_to_wait_for_ever(self) -> NoReturn:
        """Say what waits for a person, where there is nobody who could answer.

        Raises:
            UsageError: Always.
        """
        _, task_id, path = next(iter(self._rows))
        message = f"step {TaskRunKey(task_id, parse_path(path))} waits for a person, and nobody"
        raise UsageError(f"{message} answers", hint=f"give answers={{{task_id!r}: …}}")

    def resume(self, run: LiveRun) -> None:
        """Note what a run that is taken over was waiting for."""
        for row in self._store.waiting(run.row.id):
            if row.step is not None:
                self._rows[run.id, row.task_id, row.path] = row

    def answer(self, run_id: int, task_id: str, path: str, payload: Any, by: str) -> bool:
        """Take the answer of a person; return whether somebody waited for it."""
        return self._end((run_id, task_id, path), Resumption("", payload=payload, by=by))

    def time_over(self, run_id: int, timer: SetTimer) -> None:
        """End the wait of a step, if it still waits."""
        key = (run_id, timer.task_id, format_path(timer.path))
        row = self._rows.get(key)
        if row is not None and row.due_us == timer.at_us:
            self._end(key, Resumption("", Outcome.TIMEOUT))

    def close(self, run_id: int, why: str) -> None:
        """End all waits of a run whose body has ended, or shall end."""
        for key in [key for key in self._rows if key[0] == run_id]:
            row = self._rows.pop(key)
            ended = row._replace(state=TaskRunState.CANCELLED, wait=None, due_us=0)
            self._committer.batch.task_runs.append(ended)
            later = self._waiting.pop(key, None)
            self._tell_end(key)
            if later is not None:
                later.settle(error=why)

    def _end(self, key: _Key, found: Resumption) -> bool:
        later = self._waiting.pop(key, None)
        if later is None:
            return False
        # The row stays as it is until the body records the answer.
        del self._rows[key]
        self._tell_end(key, found.by)
        later.settle(found)
        return True

    def _tell_end(self, key: _Key, by: str = "") -> None:
        run = self._runs.pop(key, None)
        if run is not None and not run.machine.is_terminal:
            _, task_id, path = key
            now_us = self._clock.now_us()
            self._tell(run, ev.PauseEnded(now_us, task_id, parse_path(path), by), path)


def _nothing() -> None:
    """Hasten nothing: people take their time."""
