"""This module decides which ready task run is dispatched next, within the limits.

Task runs that make the same demands queue in one *lane*, in the order of priority and arrival.
A lane whose head a limit does not let pass is set aside with that limit and comes back when
something is released, so a full pool costs nothing while others go on. Lanes are few (one for
each combination of demands), so the best one is found by looking at each.

Nobody waits for ever, in two ways:

- *Aging*: waiting adds to a task run's priority (Silberschatz, Galvin and Gagne, "Operating
  System Concepts", on priority scheduling). All age alike, so the order of two never changes:
  the sum of priority and age is compared by a key that is known when a task run is queued.
- *Bounded overtaking*: what asks for many slots may be overtaken by what asks for few, which
  keeps a pool busy; but only so often. Then all that it asks for is reserved for it until it
  fits, as for the first job in backfilling (Lifka, "The ANL/IBM SP scheduling system", 1995).
"""

from heapq import heappop, heappush
from typing import NamedTuple

from ostinato.engine.task_run import TaskRun
from ostinato.model.state import TaskRunState

#: Name of the pool of tasks that name none.
DEFAULT_POOL = "default_pool"

#: Microseconds of waiting that count as much as one more of priority: ten minutes.
AGE_STEP_US = 600_000_000

#: How often a lane may be set aside by a limit that somebody behind it could pass, before all
#: that it asks for is kept for it.
MAX_OVERTAKEN = 16


class Limit:
    """A number of slots that a set of task runs shares.

    Attributes:
        name: For messages.
        slots: How many there are.
        used: How many are taken.
        blocked: Lanes that wait for slots of it.
        kept_for: The lane that alone may take slots of it; None for all.
        last: Who took slots of it last, as in a lane's heap.
    """

    # Invariant: 0 <= used <= slots.
    __slots__ = ("blocked", "kept_for", "last", "name", "slots", "used")

    def __init__(self, name: str, slots: int) -> None:
        self.name = name
        self.slots = slots
        self.used = 0
        self.blocked: list[Lane] = []
        self.kept_for: Lane | None = None
        self.last: tuple[int, int, Ready] | None = None


class Lane:
    """Ready task runs that share an executor and make the same demands.

    Args:
        executor: Where they are dispatched to.
        demands: How much each of them takes of which limit.

    Attributes:
        overtaken: How often it was set aside after somebody behind it had passed.
    """

    # Invariant: is_open exactly when it stands in its queue's list of open lanes; else its
    # heap is empty or it stands with the limit that blocks it.
    __slots__ = ("demands", "executor", "heap", "is_blocked", "is_open", "overtaken")

    def __init__(self, executor: str, demands: tuple[tuple[Limit, int], ...]) -> None:
        self.executor = executor
        self.demands = demands
        self.heap: list[tuple[int, int, Ready]] = []
        self.is_open = False
        self.is_blocked = False
        self.overtaken = 0


class Ready(NamedTuple):
    """A task run that waits for slots."""

    run_id: int
    task_run: TaskRun
    lane: Lane


class ReadyQueue:
    """Hold the ready task runs of all runs of a coordinator."""

    def __init__(self) -> None:
        self._open: dict[str, list[Lane]] = {}
        self._count = 0
        #: The lane for whose head everything it asks for is kept. One at a time: two could
        #: each keep what the other one needs.
        self._favoured: Lane | None = None

    def push(self, ready: Ready, priority: int) -> None:
        """Add a task run; a higher priority goes first, then the earlier one."""
        self._count += 1
        lane = ready.lane
        key = ready.task_run.queued_us - priority * AGE_STEP_US
        heappush(lane.heap, (key, self._count, ready))
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
            full = _full_limit(lane)
            if full is not None:
                lanes.remove(lane)
                self._set_aside(lane, full)
                continue
            head = heappop(lane.heap)
            for limit, amount in lane.demands:
                limit.used += amount
                limit.last = head
            lane.overtaken = 0
            if self._favoured is lane:
                self._stop_favouring()
            self._unlist_if_empty(lane, lanes)
            return ready
        return None

    def release(self, ready: Ready) -> None:
        """Give back the slots of a task run that was popped."""
        for limit, amount in ready.lane.demands:
            limit.used -= amount
            if limit.blocked:
                self._unblock(limit)

    def _set_aside(self, lane: Lane, full: Limit) -> None:
        full.blocked.append(lane)
        lane.is_blocked = True
        lane.is_open = False
        if full.last is not None and lane.heap[0] < full.last:
            lane.overtaken += 1
            if lane.overtaken >= MAX_OVERTAKEN and self._favoured is None:
                self._favoured = lane
                for limit, _ in lane.demands:
                    limit.kept_for = lane

    def _stop_favouring(self) -> None:
        assert self._favoured is not None
        for limit, _ in self._favoured.demands:
            limit.kept_for = None
            self._unblock(limit)
        self._favoured = None

    def _unblock(self, limit: Limit) -> None:
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
            lane.overtaken = 0
            if self._favoured is lane:
                self._stop_favouring()


def _head(lane: Lane) -> tuple[int, int]:
    key, order, _ = lane.heap[0]
    return key, order


def _full_limit(lane: Lane) -> Limit | None:
    """Return the limit that does not let a lane's head pass, None if all do."""
    for limit, amount in lane.demands:
        if limit.used + amount > limit.slots:
            return limit
        if limit.kept_for is not None and limit.kept_for is not lane:
            return limit
    return None
