"""This module lists what can happen to a run.

Events come in two sorts. *Inputs* are what the outside tells the engine; replaying a run's
inputs in order gives its state again. *Facts* are what the engine concluded from an input;
they are recorded for readers of the log and skipped when a history is replayed.

Tags are stable and fields are only added, with defaults; any other change is a new ``v``
with an upcaster. Times are microseconds since the epoch.
"""

import msgspec
from msgspec import Struct

from ostinato.model.deferral import Deferral, InputRequest, Resumption
from ostinato.model.failure import Failure
from ostinato.model.identity import MapPath, format_path


class RunStarted(Struct, frozen=True, tag="run_started", gc=False, omit_defaults=True):
    """A coordinator took the run up for the first time."""

    at_us: int
    v: int = 1


class AttemptStarted(Struct, frozen=True, tag="attempt_started", gc=False, omit_defaults=True):
    """A slot was found; the attempt is dispatched once this is durable."""

    at_us: int
    task_id: str
    path: MapPath
    attempt: int
    v: int = 1


class AttemptSucceeded(Struct, frozen=True, tag="attempt_succeeded", gc=False, omit_defaults=True):
    """An attempt returned.

    Attributes:
        length: Number of items of its result, where a mapping needs it.
        chosen: Ids of the tasks and groups that a branch chose, else None.
        stop: Whether a short circuit stops what is downstream.
        started_us, ended_us: Around the code, as measured beside it; 0 if unknown.
        source: The run and task whose result it took over; empty for its own.
    """

    at_us: int
    task_id: str
    path: MapPath
    attempt: int
    length: int | None = None
    chosen: tuple[str, ...] | None = None
    stop: bool = False
    started_us: int = 0
    ended_us: int = 0
    v: int = 1
    source: str = ""


class AttemptSkipped(Struct, frozen=True, tag="attempt_skipped", gc=False, omit_defaults=True):
    """An attempt raised ``Skip``."""

    at_us: int
    task_id: str
    path: MapPath
    attempt: int
    reason: str = ""
    started_us: int = 0
    ended_us: int = 0
    v: int = 1


class AttemptFailed(Struct, frozen=True, tag="attempt_failed", omit_defaults=True):
    """An attempt raised, ran out of time or memory, or was told to fail.

    Attributes:
        failure: What went wrong.
        may_retry: False where the task said that no retry helps.
        retry_after_s: Delay that the task asked for; None for the policy's.
        jitter: Chance, 0 to 1, drawn by the coordinator.
    """

    at_us: int
    task_id: str
    path: MapPath
    attempt: int
    failure: Failure
    may_retry: bool = True
    retry_after_s: float | None = None
    jitter: float = 0.0
    started_us: int = 0
    ended_us: int = 0
    v: int = 1


class AttemptLost(Struct, frozen=True, tag="attempt_lost", gc=False, omit_defaults=True):
    """The process of an attempt is surely gone and left no result."""

    at_us: int
    task_id: str
    path: MapPath
    attempt: int
    reason: str = ""
    v: int = 1


class AttemptProgressed(
    Struct, frozen=True, tag="attempt_progressed", gc=False, omit_defaults=True
):
    """An attempt that followed a lost one went further than that: losses count anew."""

    at_us: int
    task_id: str
    path: MapPath
    attempt: int
    v: int = 1


class AttemptRevoked(Struct, frozen=True, tag="attempt_revoked", gc=False, omit_defaults=True):
    """An attempt was taken back before its code began; it costs nothing."""

    at_us: int
    task_id: str
    path: MapPath
    attempt: int
    v: int = 1


class AttemptDeferred(Struct, frozen=True, tag="attempt_deferred", omit_defaults=True):
    """An attempt asked to be continued later and holds nothing until then.

    Attributes:
        until_us: The moment, or that until which a trigger or a person may take; 0 for no end.
        deferral: What it waits for; None for the moment alone.
    """

    at_us: int
    task_id: str
    path: MapPath
    attempt: int
    until_us: int
    started_us: int = 0
    ended_us: int = 0
    deferral: Deferral | None = None
    v: int = 1


class DeferralEnded(Struct, frozen=True, tag="deferral_ended", omit_defaults=True):
    """A trigger fired or failed, or a person answered.

    Attributes:
        attempt: The one that was deferred.
        resumption: What the next attempt goes on with.
    """

    at_us: int
    task_id: str
    path: MapPath
    attempt: int
    resumption: Resumption
    v: int = 1


class PastSettled(Struct, frozen=True, tag="past_settled", gc=False, omit_defaults=True):
    """It is known how earlier runs of the flow went, which a task run depends on.

    Attributes:
        is_good: Whether it may run.
        reason: Why not.
    """

    at_us: int
    task_id: str
    path: MapPath
    is_good: bool
    reason: str = ""
    v: int = 1


class TimerFired(Struct, frozen=True, tag="timer_fired", gc=False, omit_defaults=True):
    """A moment has come that the engine asked for with ``SetTimer``."""

    at_us: int
    kind: str
    task_id: str = ""
    path: MapPath = ()
    attempt: int = 0
    v: int = 1


class CancelRequested(Struct, frozen=True, tag="cancel_requested", gc=False, omit_defaults=True):
    """Somebody asked to cancel the run."""

    at_us: int
    by: str = ""
    v: int = 1


class RunRefused(Struct, frozen=True, tag="run_refused", gc=False, omit_defaults=True):
    """The run can never go on: nothing of it is executed any more, teardowns neither.

    Attributes:
        reason: Why, in a line.
    """

    at_us: int
    reason: str
    v: int = 1


class PauseBegan(Struct, frozen=True, tag="pause_began", omit_defaults=True):
    """The body of a flow that is a function waits for a person, in its process.

    Attributes:
        task_id, path: Of the step that asks.
        request: What the person is asked.
        until_us: Until when it waits; 0 for ever.
    """

    at_us: int
    task_id: str
    path: MapPath
    request: InputRequest
    until_us: int = 0
    v: int = 1


class PauseEnded(Struct, frozen=True, tag="pause_ended", gc=False, omit_defaults=True):
    """Such a wait is over.

    Attributes:
        by: The person who answered; empty where nobody did.
    """

    at_us: int
    task_id: str
    path: MapPath
    by: str = ""
    v: int = 1


class TaskRunsCleared(Struct, frozen=True, tag="task_runs_cleared", omit_defaults=True):
    """Terminal task runs are to run again; their earlier generations are kept.

    Attributes:
        keys: Task ids, each with the indices, or the first of them, of what is meant.
        by: Who asked for it.
        alone: The same, of which what depends on them stays as it is.
    """

    at_us: int
    keys: tuple[tuple[str, MapPath], ...]
    by: str = ""
    alone: tuple[tuple[str, MapPath], ...] = ()
    v: int = 1


class Recovered(Struct, frozen=True, tag="recovered", gc=False, omit_defaults=True):
    """A coordinator took the run over; what was dispatched before is gone.

    Attributes:
        is_counted: Whether this counts as a loss of each attempt that ran.
    """

    at_us: int
    is_counted: bool = False
    v: int = 1


Input = (
    RunStarted
    | AttemptStarted
    | AttemptSucceeded
    | AttemptSkipped
    | AttemptFailed
    | AttemptLost
    | AttemptProgressed
    | AttemptRevoked
    | AttemptDeferred
    | DeferralEnded
    | PastSettled
    | TimerFired
    | CancelRequested
    | RunRefused
    | PauseBegan
    | PauseEnded
    | TaskRunsCleared
    | Recovered
)


class Expanded(Struct, frozen=True, tag="expanded", gc=False, omit_defaults=True):
    """A mapped task or group has its length: one event however wide it is."""

    at_us: int
    container_id: str
    path: MapPath
    lengths: tuple[int, ...]
    v: int = 1


class RetryScheduled(Struct, frozen=True, tag="retry_scheduled", gc=False, omit_defaults=True):
    """A failed or lost attempt will be tried again."""

    at_us: int
    task_id: str
    path: MapPath
    due_us: int
    v: int = 1


class TaskRunEnded(Struct, frozen=True, tag="task_run_ended", gc=False, omit_defaults=True):
    """A task run ended without an attempt of its own deciding it.

    Attributes:
        state: Label of the state, such as ``upstream_failed``.
    """

    at_us: int
    task_id: str
    path: MapPath
    state: str
    reason: str = ""
    v: int = 1


class StepStarted(Struct, frozen=True, tag="step_started", gc=False, omit_defaults=True):
    """A step that is executed as attempts of its own was dispatched.

    Attributes:
        path: Its place among the calls of the flow.
        attempt: Number of the attempt.
    """

    at_us: int
    task_id: str
    path: MapPath
    attempt: int
    v: int = 1


class StepEnded(Struct, frozen=True, tag="step_ended", gc=False, omit_defaults=True):
    """A step of a flow that is a function ended, and what it left is recorded.

    Attributes:
        path: Its place among the calls of the flow.
        state: Label of its state.
        summary: What went wrong, in one line; of a success, where its result was taken from.
        started_us: When its last try began.
    """

    at_us: int
    task_id: str
    path: MapPath
    state: str
    summary: str = ""
    started_us: int = 0
    v: int = 1


class RunEnded(Struct, frozen=True, tag="run_ended", gc=False, omit_defaults=True):
    """The run reached a terminal state.

    Attributes:
        state: Label of the state, such as ``succeeded``.
        reason: Why it is not ``succeeded``.
    """

    at_us: int
    state: str
    reason: str = ""
    v: int = 1


class RunStateChanged(Struct, frozen=True, tag="run_state_changed", gc=False, omit_defaults=True):
    """The run moved between states that are not terminal."""

    at_us: int
    state: str
    v: int = 1


class CodeChanged(Struct, frozen=True, tag="code_changed", gc=False, omit_defaults=True):
    """The run goes on with other code than that of its beginning; its tasks and edges are the same.

    Attributes:
        version: Of the definitions that it goes on with.
    """

    at_us: int
    version: str
    v: int = 1


class DeadlineMissed(Struct, frozen=True, tag="deadline_missed", gc=False, omit_defaults=True):
    """The run has passed its deadline and goes on.

    Attributes:
        deadline_s: Seconds that it had.
    """

    at_us: int
    deadline_s: float
    v: int = 1


Fact = (
    Expanded
    | RetryScheduled
    | TaskRunEnded
    | StepStarted
    | StepEnded
    | RunEnded
    | RunStateChanged
    | DeadlineMissed
    | CodeChanged
)
Event = Input | Fact

INPUT_TYPES = Input.__args__

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """Write an event as the log keeps it."""
    return _encoder.encode(event)


def decode_event(data: bytes) -> Event:
    """Read what ``encode_event`` wrote."""
    return _decoder.decode(data)


def subject_of(fact: Fact) -> tuple[str, str]:
    """Return the task id and path, as text, that a fact is about; empty for the run."""
    match fact:
        case Expanded(container_id=task_id, path=path):
            return task_id, format_path(path)
        case (
            RetryScheduled(task_id=task_id, path=path)
            | TaskRunEnded(task_id=task_id, path=path)
            | StepStarted(task_id=task_id, path=path)
            | StepEnded(task_id=task_id, path=path)
        ):
            return task_id, format_path(path)
        case RunEnded() | RunStateChanged() | DeadlineMissed() | CodeChanged():
            return "", ""
