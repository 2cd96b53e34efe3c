"""This module drives the steps that are executed as attempts of their own, beneath a body.

The flow asks for such a step and waits. Its attempts go through the run's queue and executors
like those of tasks, in two commits: one before it is dispatched, one when it has ended. Nobody
but this module records it, so that a body that is killed and replayed finds it running, ended,
or lost, and never twice.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, assert_never

import msgspec

from ostinato.clock import Clock
from ostinato.coordinator.limits import Executors, Limits
from ostinato.coordinator.live_run import LiveRun
from ostinato.coordinator.registry import Registry
from ostinato.coordinator.step_lanes import StepLanes
from ostinato.coordinator.steps import Committer, StepDesk, step_row
from ostinato.engine import events as ev
from ostinato.engine.commands import SetTimer
from ostinato.engine.machine import lost_failure
from ostinato.engine.placed_step import StepMachine, Tried
from ostinato.engine.queueing import Lane, Limit, Ready, ReadyQueue
from ostinato.engine.task_run import TaskRun
from ostinato.executors.protocol import Executor, Later
from ostinato.model.failure import Failure, FailureKind
from ostinato.model.identity import MapPath, format_path
from ostinato.model.policy import Isolation
from ostinato.model.state import TaskRunState
from ostinato.model.value import StoredValue
from ostinato.runtime import messages as msg
from ostinato.store.records import AttemptRow, EventRow, TaskRunRow

#: Kind of the timers after which a step is tried again; engines know nothing of it.
TIMER = "step retry"

_Key = tuple[int, MapPath]
_failure_encoder = msgspec.msgpack.Encoder()


class Timekeeper(Protocol):
    """Fire timers; the coordinator's ``Timers``."""

    def add(self, run_id: int, timer: SetTimer) -> None:
        """Keep a timer of a run."""
        ...


class StepFlight(NamedTuple):
    """An attempt of a step that is with an executor."""

    placed: "Placed"
    attempt: int
    ready: Ready
    executor: Executor


class Placed:
    """A step that has not ended.

    Attributes:
        later: What its flow waits with; None while nobody waits.
        token: Of the attempt that executes, 0 where none does.
        shares: What it takes of limits, for the steps that it calls in turn.
        failure: What its last attempt left.
    """

    def __init__(
        self, run: LiveRun, body: TaskRun, step: msg.PlacedStep, machine: StepMachine, lane: Lane
    ) -> None:
        self.run = run
        self.body = body
        self.step = step
        self.machine = machine
        self.lane = lane
        self.later: Later | None = None
        self.token = 0
        self.shares: dict[str, Limit] = {}
        self.failure: Failure | None = None

    @property
    def key(self) -> _Key:
        """What no other step has."""
        return self.run.id, self.step.path


class PlacedSteps:
    """The steps of a coordinator's runs that execute elsewhere than in the process of their flow.

    Args:
        committer: Writes rows and events.
        desk: Records how steps ended.
        queue: From which attempts are dispatched.
        timers: Tell when a step is to be tried again.
        limits: Shared with tasks.
        places: Where attempts may execute.
        executor_of: Returns where the attempt of a task run executes, None if it does not.
        inline: Executes where the loop runs; None where nothing does.
        clock: What time it is.
        chance: Draws a number from 0 to 1, for jitter.
    """

    def __init__(
        self,
        committer: Committer,
        desk: StepDesk,
        *,
        queue: ReadyQueue,
        timers: Timekeeper,
        limits: Limits,
        places: Executors,
        executor_of: Callable[[TaskRun], Executor | None],
        inline: Executor | None,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._committer = committer
        self._desk = desk
        self._queue = queue
        self._timers = timers
        self._lanes = StepLanes(limits, places)
        self._executor_of = executor_of
        self._inline = inline
        self._clock = clock
        self._chance = chance
        self._live: dict[_Key, Placed] = {}
        self._flights: dict[int, StepFlight] = {}
        #: Steps whose rows the next commit writes.
        self._changed: dict[_Key, Placed] = {}
        #: Steps that ended while the process of their flow was gone.
        self._missed: dict[_Key, msg.RecordedStep] = {}
        self.answers: dict[str, Callable[..., Any]] = {
            "place": self._begin,
            "leave": self._leave_one,
        }

    @property
    def in_flight(self) -> int:
        """How many attempts of steps are executed at this moment."""
        return len(self._flights)

    def __bool__(self) -> bool:
        return bool(self._live or self._flights or self._missed)

    # What flows ask

    def register(self, registry: Registry) -> None:
        """Answer calls and timers of a coordinator."""
        registry.calls |= self.answers
        registry.timers[TIMER] = self.fire

    def _begin(self, run: LiveRun, body: TaskRun, *, step: object) -> Later | None:
        """Have a step executed; answered by how it ended, None if the flow shall do it itself."""
        if self._inline is not None and self._executor_of(body) is self._inline:
            # The loop's thread executes the flow: it could not wait for itself.
            return None
        asked = step if isinstance(step, msg.PlacedStep) else msgspec.convert(step, msg.PlacedStep)
        key = (run.id, asked.path)
        missed = self._missed.pop(key, None)
        later = Later(_nothing)
        if missed is not None and missed.info.digest == asked.info.digest:
            later.settle(missed)
            return later
        placed = self._live.get(key)
        if placed is not None and placed.step.info.digest != asked.info.digest:
            # The flow went another way than before.
            self._cancel(placed, "its flow calls another step in its place")
            placed = None
        if placed is None:
            placed = self._live[key] = self._place(run, body, asked)
        placed.later = later
        return later

    def _place(self, run: LiveRun, body: TaskRun, step: msg.PlacedStep) -> Placed:
        lane = self._lanes.of(run, step, self._around)
        machine = StepMachine(
            step.task_id,
            step.path,
            step.policy,
            generation=body.generation,
            attempt=step.attempt - 1,
            at_us=self._clock.now_us(),
        )
        if step.call.is_known:
            machine.since = 0
        placed = Placed(run, body, step, machine, lane)
        self._push(placed)
        return placed

    def _around(self, key: _Key) -> "Placed | None":
        return self._live.get(key)

    def _push(self, placed: Placed) -> None:
        ready = Ready(placed.run.id, placed.machine.task_run, placed.lane)
        self._queue.push(ready, placed.step.policy.priority)
        self._changed[placed.key] = placed

    def _leave_one(self, run: LiveRun, _: TaskRun, *, path: Sequence[int]) -> None:
        placed = self._live.get((run.id, tuple(path)))
        if placed is not None:
            self._cancel(placed, "nobody waits for it any more")

    # Attempts

    def start(self, executor: Executor, ready: Ready, token: int) -> msg.AttemptSpec:
        """Begin the attempt of a step that was taken from the queue.

        Args:
            executor: Where it executes.
            ready: What was taken.
            token: Of the attempt.
        """
        task_run = ready.task_run
        placed = self._live[ready.run_id, task_run.path]
        attempt = task_run.attempt + 1
        now_us = self._clock.now_us()
        who = (now_us, task_run.task_id, task_run.path, attempt)
        placed.machine.apply(ev.AttemptStarted(*who))
        path = format_path(task_run.path)
        row = EventRow(placed.run.id, task_run.task_id, path, now_us, ev.StepStarted(*who))
        self._committer.batch.events.append(row)
        self._changed[placed.key] = placed
        placed.token = token
        placed.failure = None
        self._flights[token] = StepFlight(placed, attempt, ready, executor)
        step = placed.step
        policy = step.policy
        return msg.AttemptSpec(
            token,
            placed.run.id,
            step.task_id,
            step.path,
            attempt,
            task_run.failures + 1,
            task_run.generation,
            timeout_s=policy.timeout_s,
            memory_bytes=policy.compute.memory_bytes,
            is_fresh=policy.isolation is Isolation.FORK,
            first_started_us=task_run.first_started_us,
            step=msgspec.structs.replace(step.call, since=placed.machine.since),
        )

    def flight(self, token: int) -> "Placed | None":
        """Return the step whose current attempt has a token."""
        flight = self._flights.get(token)
        return flight.placed if flight is not None and flight.placed.token == token else None

    def take(self, report: msg.Report) -> bool:
        """Take the report of an attempt; return whether it was of a step."""
        flight = self._flights.pop(report.token, None)
        if flight is None:
            return False
        self._queue.release(flight.ready)
        placed = flight.placed
        if placed.token != report.token:
            # It was given up.
            return True
        placed.token = 0
        is_lost = isinstance(report, msg.Lost | msg.Revoked)
        self._leave(placed.run.id, placed.step.path, is_lost=is_lost)
        self._note(placed, report)
        return True

    def _note(self, placed: Placed, report: msg.Report) -> None:
        task_run, now_us = placed.machine.task_run, self._clock.now_us()
        who = (now_us, task_run.task_id, task_run.path, task_run.attempt)
        placed.failure = None
        match report:
            case msg.Succeeded():
                times = (report.started_us, report.ended_us)
                placed.machine.apply(
                    ev.AttemptSucceeded(*who, started_us=times[0], ended_us=times[1])
                )
                value = report.values[0] if report.values else None
                self._end(placed, value=value)
            case msg.Skipped():
                times = (report.started_us, report.ended_us)
                placed.machine.apply(ev.AttemptSkipped(*who, report.reason, *times))
                self._end(placed, error=report.error)
            case msg.Failed():
                placed.failure = report.failure
                failed = ev.AttemptFailed(
                    *who,
                    report.failure,
                    report.may_retry,
                    report.retry_after_s,
                    self._chance(),
                    report.started_us,
                    report.ended_us,
                )
                self._go_on(placed, placed.machine.apply(failed), error=report.error)
            case msg.Lost():
                placed.failure = Failure(FailureKind.LOST, "ChildDied", report.reason)
                has_begun = report.has_started
                lost = ev.AttemptLost(*who, report.reason) if has_begun else ev.AttemptRevoked(*who)
                tried = placed.machine.apply(lost)
                if task_run.state.is_terminal:
                    failure = lost_failure(task_run.task_id, task_run.losses)
                    text = f"{failure.message}: {report.reason}"
                    placed.failure = msgspec.structs.replace(failure, message=text)
                self._go_on(placed, tried)
            case msg.Revoked():
                self._go_on(placed, placed.machine.apply(ev.AttemptRevoked(*who)))
            case msg.Deferred():
                what = "a step that executes elsewhere cannot suspend its flow"
                failure = Failure(FailureKind.ERROR, "ostinato.errors.UsageError", what)
                self._note(
                    placed,
                    msg.Failed(
                        report.token, report.started_us, report.ended_us, failure, may_retry=False
                    ),
                )
            case _:
                assert_never(report)

    def _go_on(self, placed: Placed, tried: Tried | None, error: bytes = b"") -> None:
        """Do what the state of a step asks for that did not succeed."""
        task_run = placed.machine.task_run
        if tried is not None:
            self._archive(placed, tried)
        if task_run.state is TaskRunState.QUEUED:
            self._push(placed)
        elif task_run.state is TaskRunState.RETRYING:
            timer = SetTimer(
                task_run.due_us, TIMER, task_run.task_id, task_run.path, task_run.attempt
            )
            self._timers.add(placed.run.id, timer)
            self._changed[placed.key] = placed
        else:
            self._end(placed, error=error)

    def fire(self, run_id: int, timer: SetTimer) -> None:
        """Try a step again whose delay is over."""
        placed = self._live.get((run_id, timer.path))
        if placed is None:
            return
        was = placed.machine.task_run.queued_us
        now_us = self._clock.now_us()
        event = ev.TimerFired(now_us, TIMER, timer.task_id, timer.path, timer.attempt)
        placed.machine.apply(event)
        if placed.machine.task_run.queued_us != was:
            self._push(placed)

    # Ends

    def _end(
        self,
        placed: Placed,
        *,
        value: StoredValue | None = None,
        error: bytes = b"",
    ) -> None:
        """Record how a step ended, and tell its flow once that is durable."""
        self._drop(placed)
        recorded = self._recorded(placed, value=value, error=error)
        self._desk.record(placed.run, placed.body, record=recorded)
        if placed.later is None:
            self._missed[placed.key] = recorded
            return
        later = placed.later
        self._committer.after_commit().then(lambda _: later.settle(recorded))

    def body_ended(self, run: LiveRun, report: msg.Report) -> None:
        """Note that an attempt of a body has ended: what it waited for goes on only for a replay.

        Args:
            run: Of the flow.
            report: How it ended.
        """
        is_lost = isinstance(report, msg.Lost | msg.Revoked)
        self._leave(run.id, (), is_lost=is_lost)
        if not is_lost:
            self._lanes.body_ended(run.id)
            for key in [key for key in self._missed if key[0] == run.id]:
                del self._missed[key]

    def _leave(self, run_id: int, path: MapPath, *, is_lost: bool) -> None:
        size = len(path)
        for placed in self._below(run_id, path):
            if len(placed.step.path) == size:
                continue
            placed.later = None
            if not is_lost:
                self._cancel(placed, "what called it has ended")

    def cancel(self, run_id: int, reason: str) -> None:
        """Stop all steps of a run."""
        for placed in self._below(run_id, ()):
            self._cancel(placed, reason)

    def forget(self, run_id: int) -> None:
        """Drop what is kept for a run that has ended."""
        if self._below(run_id, ()):
            self.cancel(run_id, "the run has ended")
            self._committer.commit()
        self._lanes.forget(run_id)
        for key in [key for key in self._missed if key[0] == run_id]:
            del self._missed[key]

    def _below(self, run_id: int, path: MapPath) -> list[Placed]:
        size = len(path)
        return [
            placed
            for key, placed in self._live.items()
            if key[0] == run_id and key[1][:size] == path
        ]

    def _drop(self, placed: Placed) -> None:
        del self._live[placed.key]
        self._changed.pop(placed.key, None)

    def _cancel(self, placed: Placed, reason: str) -> None:
        del self._live[placed.key]
        placed.machine.apply(ev.CancelRequested(self._clock.now_us(), reason))
        placed.failure = Failure(FailureKind.CANCELLED, "AttemptCancelled", reason)
        token, placed.token = placed.token, 0
        flight = self._flights.get(token)
        if flight is not None:
            flight.executor.cancel(token, reason)
        recorded = self._recorded(placed)
        self._desk.record(placed.run, placed.body, record=recorded)
        if placed.later is not None:
            placed.later.settle(error=f"step {placed.machine.task_run.key} was cancelled: {reason}")

    # Rows

    def _recorded(
        self, placed: Placed, *, value: StoredValue | None = None, error: bytes = b""
    ) -> msg.RecordedStep:
        step, task_run = placed.step, placed.machine.task_run
        is_good = task_run.state is TaskRunState.SUCCEEDED
        return msg.RecordedStep(
            step.path,
            step.task_id,
            int(task_run.state),
            task_run.attempt,
            # One that was cancelled may never have begun.
            task_run.started_us or task_run.ended_us,
            task_run.ended_us,
            msgspec.structs.replace(step.info, error=error),
            value,
            placed.failure,
            step.inputs,
            step.kept if is_good else None,
            step.name,
        )

    def write(self) -> None:
        """Add to the next commit where steps stand that have not ended."""
        for placed in self._changed.values():
            self._committer.batch.task_runs.append(self._row(placed))
        self._changed.clear()

    def _row(self, placed: Placed) -> TaskRunRow:
        task_run = placed.machine.task_run
        row = step_row(
            placed.run.id, placed.body, self._recorded(placed), format_path(task_run.path)
        )
        return row._replace(
            failures=task_run.failures,
            losses=task_run.losses,
            queued_us=task_run.queued_us,
            first_started_us=task_run.first_started_us,
            ended_us=0,
            due_us=task_run.due_us,
        )

    def _archive(self, placed: Placed, tried: Tried) -> None:
        task_run, batch = placed.machine.task_run, self._committer.batch
        path = format_path(task_run.path)
        failure = None if placed.failure is None else _failure_encoder.encode(placed.failure)
        now_us = self._clock.now_us()
        times = (task_run.started_us, now_us)
        row = AttemptRow(
            placed.run.id,
            task_run.task_id,
            path,
            task_run.generation,
            tried.attempt,
            tried.how,
            *times,
            failure,
        )
        batch.attempts.append(row)
        due_us = task_run.due_us or now_us
        event = ev.RetryScheduled(now_us, task_run.task_id, task_run.path, due_us)
        batch.events.append(EventRow(placed.run.id, task_run.task_id, path, now_us, event))


def _nothing() -> None:
    """Hasten nothing: a step ends when it ends."""
