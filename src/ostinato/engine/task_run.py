"""This module is a task run as the engine holds it in memory."""

from typing import NamedTuple

from ostinato.model.deferral import Deferral, Resumption
from ostinato.model.identity import MapPath, TaskRunKey
from ostinato.model.state import TaskRunState


class TaskRun:
    """One task in one run; changed in place by the engine alone.

    Attributes:
        position: Of its task in the plan.
        task_id: Of its task.
        path: Its indices; empty where nothing is mapped.
        state: Where it stands.
        attempt: Number of the last attempt; each dispatch counts.
        generation: How often it was cleared.
        failures: Attempts that failed in this generation.
        losses: Attempts that were lost in this generation.
        flags: Outcomes seen upstream, as bits of ``trigger_rules``.
        waiting: Upstream tasks that are not settled.
        queued_us, started_us, ended_us: Moments of the last attempt, 0 while they have not come.
        first_started_us: When the first attempt of this generation started.
        due_us: When a retry or a deferral ends, else 0.
        deferral: What it waits for beside that moment, or None.
        resumption: What its next attempt goes on with after a wait, or None.
        length: Number of items of its result, where a mapping needs it.
        chosen: What a branch chose, else None.
        stop: Whether a short circuit stopped what is downstream.
        is_expanding: Whether it stands for a mapped task whose length is not known.
        cancel_reason: Why its running attempt was told to stop, else empty.
    """

    __slots__ = (
        "attempt",
        "cancel_reason",
        "chosen",
        "deferral",
        "due_us",
        "ended_us",
        "failures",
        "first_started_us",
        "flags",
        "generation",
        "is_expanding",
        "length",
        "losses",
        "path",
        "position",
        "queued_us",
        "resumption",
        "started_us",
        "state",
        "stop",
        "task_id",
        "waiting",
    )

    def __init__(
        self, position: int, task_id: str, path: MapPath, flags: int, waiting: int
    ) -> None:
        self.position = position
        self.task_id = task_id
        self.path = path
        self.state = TaskRunState.PENDING
        self.attempt = 0
        self.generation = 0
        self.failures = 0
        self.losses = 0
        self.flags = flags
        self.waiting = waiting
        self.queued_us = 0
        self.first_started_us = 0
        self.started_us = 0
        self.ended_us = 0
        self.due_us = 0
        self.deferral: Deferral | None = None
        self.resumption: Resumption | None = None
        self.length: int | None = None
        self.chosen: tuple[str, ...] | None = None
        self.stop = False
        self.is_expanding = False
        self.cancel_reason = ""

    @property
    def awaits_past(self) -> bool:
        """Whether it waits for earlier runs of its flow."""
        return self.state is TaskRunState.DEFERRED and self.deferral is None and not self.due_us

    @property
    def key(self) -> TaskRunKey:
        """Its name inside the run."""
        return TaskRunKey(self.task_id, self.path)

    def __repr__(self) -> str:
        return f"<TaskRun {self.key} {self.state.label} attempt={self.attempt}>"


class TaskRunRecord(NamedTuple):
    """A task run as it was kept, for restoring a machine; fields as in ``TaskRun``."""

    task_id: str
    path: MapPath
    state: TaskRunState
    attempt: int = 0
    generation: int = 0
    failures: int = 0
    losses: int = 0
    queued_us: int = 0
    first_started_us: int = 0
    started_us: int = 0
    ended_us: int = 0
    due_us: int = 0
    length: int | None = None
    chosen: tuple[str, ...] | None = None
    stop: bool = False
    deferral: Deferral | None = None
    resumption: Resumption | None = None
