"""This module lists what the engine asks its coordinator to do.

Commands come back from ``RunState.apply``. Those that touch the store join the commit of
the event that caused them; those that reach outside are carried out after that commit.
"""

from msgspec import Struct

from ostinato.engine.events import Fact
from ostinato.engine.task_run import TaskRun
from ostinato.model.identity import MapPath
from ostinato.model.notice import Moment
from ostinato.model.state import RunState as RunStateName


class Enqueue(Struct, frozen=True, gc=False):
    """Dispatch this task run as soon as limits allow."""

    task_run: TaskRun


class Dequeue(Struct, frozen=True, gc=False):
    """Forget a queued task run: it ended otherwise."""

    task_run: TaskRun


class SaveTaskRun(Struct, frozen=True, gc=False):
    """Write the task run's row."""

    task_run: TaskRun


class SaveExpansion(Struct, frozen=True, gc=False):
    """Write the length of a mapped task or group: one row however wide it is."""

    container_id: str
    path: MapPath
    lengths: tuple[int, ...]


class SaveRun(Struct, frozen=True, gc=False):
    """Write the run's row."""

    state: RunStateName
    reason: str = ""


class Record(Struct, frozen=True, gc=False):
    """Append a fact to the event log."""

    fact: Fact


class CancelAttempt(Struct, frozen=True, gc=False):
    """Stop a running attempt; it still reports how it ended."""

    task_run: TaskRun
    reason: str


class AskPast(Struct, frozen=True, gc=False):
    """Feed ``PastSettled`` back once it is known how the task ended in the run before."""

    task_run: TaskRun


class SetTimer(Struct, frozen=True, gc=False):
    """Feed ``TimerFired`` back at the given moment."""

    at_us: int
    kind: str
    task_id: str = ""
    path: MapPath = ()
    attempt: int = 0


class ArchiveAttempt(Struct, frozen=True):
    """Keep an attempt that is about to be followed by another one."""

    task_run: TaskRun
    attempt: int
    generation: int
    state: str
    started_us: int
    ended_us: int


class Notify(Struct, frozen=True, gc=False):
    """Tell those who asked for it of a moment; of the run where there is no task run."""

    moment: Moment
    task_run: TaskRun | None = None


Command = (
    Enqueue
    | Dequeue
    | SaveTaskRun
    | SaveExpansion
    | SaveRun
    | Record
    | CancelAttempt
    | AskPast
    | SetTimer
    | ArchiveAttempt
    | Notify
)
