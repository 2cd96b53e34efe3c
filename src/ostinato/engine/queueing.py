"""This module decides which ready task run is dispatched next, within the limits.

Task runs that share all their limits queue in one *lane*, ordered by priority and then by
arrival. A lane whose limit is used up is set aside with that limit and comes back when
something is released, so a full pool costs nothing while others go on. Lanes are few (one for
each combination of pool and limited task), so the best one is found by looking at each.
"""

from heapq import heappop, heappush
from typing import NamedTuple

from ostinato.engine.task_run import TaskRun
from ostinato.model.state import TaskRunState

#: Name of the pool of tasks that name none.
DEFAULT_POOL = "default_pool"


class Limit:
    """A number of slots that a set of task runs shares.

    Attributes:
        name: For messages.
        slots: How many there are.
        used: How many are taken.
        is_pool: Whether a task run takes as many as it asks for; else each takes one.
    """

    # Invariant: used lies between 0 and slots.
    __slots__ = ("blocked", "is_pool", "name", "slots", "used")

    def __init__(self, name: str, slots: int, *, is_pool: bool = True) -> None:
        self.name = name
        self.slots = slots
        self.is_pool = is_pool
        self.used = 0
        self.blocked: list[Lane] = []


class Lane:
    """Ready task runs that share an executor and all limits."""

    # Invariant: is_open exactly when it stands in its queue's list of open lanes; else its
    # heap is empty or it stands with the limit that blocks it.
    __slots__ = ("executor", "heap", "is_blocked", "is_open", "limits")

    def __init__(self, executor: str, limits: tuple[Limit, ...]) -> None:
        self.executor = executor
        self.limits = limits
        self.heap: list[tuple[int, int, Ready]] = []
        self.is_open = False
        self.is_blocked = False


class Ready(NamedTuple):
    """A task run that waits for slots."""

    run_id: int
    task_run: TaskRun
    lane: Lane
    #: What it takes of a pool.
    slots: int


class ReadyQueue:
    """Hold the ready task runs of all runs of a coordinator."""

    def __init__(self) -> None:
        self._open: dict[str, list[Lane]] = {}
        self._count = 0

    def push(self, ready: Ready, priority: int) -> None:
        """Add a task run; a higher priority goes first, then the earlier one."""
        self._count += 1
        lane = ready.lane
        heappush(lane.heap, (-priority, self._count, ready))
        if not lane.is_open and not lane.is_blocked:
            self._list(lane)

    def pop(self, executor: str) -> Ready | None:
        """Take the next task run for an executor and its slots, or return None."""
        lanes = self._open.get(executor)
        while lanes:
            lane = lanes[0] if len(lanes) == 1 else min(lanes, key=_head)
            ready = lane.heap[0][2]
            if ready.task_run.state is not TaskRunState.QUEUED:
                # It ended while it waited.
                heappop(lane.heap)
                self._unlist_if_empty(lane, lanes)
                continue
            full = _full_limit(lane, ready.slots)
            if full is not None:
                full.blocked.append(lane)
                lane.is_blocked = True
                lane.is_open = False
                lanes.remove(lane)
                continue
            heappop(lane.heap)
            for limit in lane.limits:
                limit.used += ready.slots if limit.is_pool else 1
            self._unlist_if_empty(lane, lanes)
            return ready
        return None

    def release(self, ready: Ready) -> None:
        """Give back the slots of a task run that was popped."""
        for limit in ready.lane.limits:
            limit.used -= ready.slots if limit.is_pool else 1
            if limit.blocked:
                for lane in limit.blocked:
                    lane.is_blocked = False
                    self._list(lane)
                limit.blocked.clear()

    def _list(self, lane: Lane) -> None:
        lane.is_open = True
        self._open.setdefault(lane.executor, []).append(lane)

    def _unlist_if_empty(self, lane: Lane, lanes: list[Lane]) -> None:
        if not lane.heap:
            lane.is_open = False
            lanes.remove(lane)


def _head(lane: Lane) -> tuple[int, int]:
    priority, order, _ = lane.heap[0]
    return priority, order


def _full_limit(lane: Lane, slots: int) -> Limit | None:
    for limit in lane.limits:
        if limit.used + (slots if limit.is_pool else 1) > limit.slots:
            return limit
    return None
