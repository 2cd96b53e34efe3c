"""This module decides which ready task run is dispatched next, within the limits.

Task runs that make the same demands queue in one *lane*, in the order of priority and arrival.
A lane whose head a limit does not let pass waits at that limit. What is released lets in one
lane of those that wait, each that starts lets in the next one, so a full pool costs nothing
while others go on, however many wait for it.

Nobody waits for ever, in three ways:

- *Aging*: waiting adds to a task run's priority (Silberschatz, Galvin and Gagne, "Operating
  System Concepts", on priority scheduling). All age alike, so the order of two never changes:
  the sum of priority and age is compared by a key that is known when a task run is queued.
- *Fair shares*: flows take turns, each with its own order inside; a flow with a thousand task
  runs ready does not keep one with a single task run waiting. Who comes back after a pause
  begins where the others are (``fair_order``).
- *Bounded overtaking*: what asks for many slots may be overtaken by what asks for few, which
  keeps a pool busy; but only so often. Then all that it asks for is reserved for it until it
  fits, as for the first job in backfilling (Lifka, "The ANL/IBM SP scheduling system", 1995).
"""

from heapq import heappop, heappush
from typing import NamedTuple

from ostinato.engine.fair_order import FairOrder, Turns
from ostinato.engine.task_run import TaskRun
from ostinato.model.state import TaskRunState

#: Name of the pool of tasks that name none.
DEFAULT_POOL = "default_pool"

#: Microseconds of waiting that count as much as one more of priority: ten minutes.
AGE_STEP_US = 600_000_000

#: How often somebody behind a lane may pass it at a limit before all that it asks for is kept
#: for it.
MAX_OVERTAKEN = 16


class Limit:
    """A number of slots that a set of task runs shares.

    Attributes:
        name: For messages.
        slots: How many there are.
        used: How many are taken.
        blocked: Lanes that wait for slots of it, by executor and by how many they ask for.
        kept_for: The lane that alone may take slots of it; None for all.
        last: Who took slots of it last, as in a lane's heap.
    """

    # Invariant: 0 <= used; no more is taken while used >= slots.
    __slots__ = ("blocked", "kept_for", "last", "name", "slots", "used")

    def __init__(self, name: str, slots: int) -> None:
        self.name = name
        self.slots = slots
        self.used = 0
        self.blocked: dict[str, dict[int, FairOrder[Lane]]] = {}
        self.kept_for: Lane | None = None
        self.last: tuple[int, int, Ready] | None = None


class Lane:
    """Ready task runs that share an executor, a flow, and make the same demands.

    Args:
        executor: Where they are dispatched to.
        demands: How much each of them takes of which limit.
        flow: With whose other lanes it shares its turns.
        priority: Of the flow: each level doubles its share.

    Attributes:
        overtaken: How often somebody behind it has passed it.
    """

    # Invariant: it stands in exactly one order, the open one of its executor or one of those
    # of the limit that blocks it, or its heap is empty and it stands in none.
    __slots__ = (
        "blocked_by",
        "cost",
        "demands",
        "entry",
        "executor",
        "flow",
        "heap",
        "order",
        "overtaken",
        "turns",
    )

    def __init__(
        self,
        executor: str,
        demands: tuple[tuple[Limit, int], ...],
        flow: str = "",
        priority: int = 0,
    ) -> None:
        self.executor = executor
        self.demands = demands
        self.flow = flow
        #: What one dispatch adds to the turns of its flow.
        self.cost = 2.0**-priority
        self.heap: list[tuple[int, int, Ready]] = []
        self.order: FairOrder[Lane] | None = None
        self.entry: object = None
        self.turns: Turns | None = None
        self.blocked_by: Limit | None = None
        self.overtaken = 0


class Ready(NamedTuple):
    """A task run that waits for slots."""

    run_id: int
    task_run: TaskRun
    lane: Lane


class ReadyQueue:
    """Hold the ready task runs of all runs of a coordinator."""

    # Invariant: where a limit has room for the first of those that wait for it, by executor,
    # one of its lanes is open: whoever starts, ends or is set aside lets in the next one.
    def __init__(self) -> None:
        self._open: dict[str, FairOrder[Lane]] = {}
        self._turns: dict[tuple[str, str], Turns] = {}
        #: By executor: the turns that those served lately have had.
        self._served: dict[str, float] = {}
        self._count = 0
        #: The lane for whose head everything it asks for is kept. One at a time: two could
        #: each keep what the other one needs.
        self._favoured: Lane | None = None

    def push(self, ready: Ready, priority: int) -> None:
        """Add a task run; in its flow a higher priority goes first, then the earlier one."""
        self._count += 1
        lane = ready.lane
        key = ready.task_run.queued_us - priority * AGE_STEP_US
        heappush(lane.heap, (key, self._count, ready))
        if lane.order is None:
            self._join(lane)
            self._stand(lane, self._open_order(lane.executor))
        elif lane.heap[0][1] == self._count:
            self._stand(lane, lane.order)

    def pop(self, executor: str) -> Ready | None:
        """Take the next task run for an executor and its slots, or return None."""
        order = self._open.get(executor)
        while order is not None and (lane := order.first()) is not None:
            head = lane.heap[0]
            ready = head[2]
            if ready.task_run.state is not TaskRunState.QUEUED:
                # It ended while it waited.
                heappop(lane.heap)
                self._move_on(lane, order)
                continue
            full = _full_limit(lane)
            if full is not None:
                self._set_aside(lane, full)
                continue
            heappop(lane.heap)
            turns = lane.turns
            assert turns is not None
            if turns.value > self._served[executor]:
                self._served[executor] = turns.value
            turns.value += lane.cost
            for limit, amount in lane.demands:
                limit.used += amount
                limit.last = head
                if limit.blocked:
                    self._note_overtaken(limit, amount, head)
            lane.overtaken = 0
            if self._favoured is lane:
                self._stop_favouring()
            self._move_on(lane, order)
            return ready
        return None

    def release(self, ready: Ready) -> None:
        """Give back the slots of a task run that was popped."""
        for limit, amount in ready.lane.demands:
            limit.used -= amount
            if limit.blocked:
                self._let_in(limit)

    def resize(self, limit: Limit, slots: int) -> None:
        """Change how many slots a limit has; what is taken beyond them stays taken.

        Args:
            limit: Which.
            slots: How many it has from now on.
        """
        limit.slots = slots
        if limit.blocked:
            self._let_in(limit)

    # Where lanes stand

    def _join(self, lane: Lane) -> None:
        """Let a lane that has something again take turns, from where the others are."""
        turns = lane.turns
        if turns is None:
            key = (lane.executor, lane.flow)
            turns = lane.turns = self._turns.setdefault(key, Turns())
        if not turns.lanes:
            turns.value = max(turns.value, self._served.setdefault(lane.executor, 0.0))
        turns.lanes += 1

    def _open_order(self, executor: str) -> FairOrder[Lane]:
        order = self._open.get(executor)
        if order is None:
            order = self._open[executor] = FairOrder()
        return order

    def _stand(self, lane: Lane, order: FairOrder[Lane]) -> None:
        key, count, _ = lane.heap[0]
        assert lane.turns is not None
        lane.order = order
        lane.entry = order.add(lane, lane.turns, (key, count))

    def _move_on(self, lane: Lane, order: FairOrder[Lane]) -> None:
        """Put a lane that was served where its next task run belongs."""
        assert lane.turns is not None
        if lane.heap:
            key, count, _ = lane.heap[0]
            lane.entry = order.replace(lane, lane.turns, (key, count))
        else:
            lane.order = lane.entry = None
            lane.turns.lanes -= 1
            lane.overtaken = 0
            if self._favoured is lane:
                self._stop_favouring()
        for limit, _ in lane.demands:
            if limit.blocked:
                self._let_one_in(limit, lane.executor)

    def _set_aside(self, lane: Lane, full: Limit) -> None:
        amount = next(amount for limit, amount in lane.demands if limit is full)
        by_amount = full.blocked.setdefault(lane.executor, {})
        order = by_amount.get(amount)
        if order is None:
            order = by_amount[amount] = FairOrder()
        self._stand(lane, order)
        lane.blocked_by = full
        if len(lane.demands) > 1 and full.last is not None and lane.heap[0] < full.last:
            # It may lack one limit each time that it has got the other.
            self._overtake(lane)
        for limit, _ in lane.demands:
            if limit.blocked:
                self._let_one_in(limit, lane.executor)

    def _let_in(self, limit: Limit) -> None:
        for executor in [*limit.blocked]:
            self._let_one_in(limit, executor)

    def _let_one_in(self, limit: Limit, executor: str) -> None:
        """Open the first of the lanes of an executor that wait for a limit and fit into it."""
        by_amount = limit.blocked.get(executor)
        if by_amount is None:
            return
        kept_for = limit.kept_for
        free = limit.slots - limit.used
        best: Lane | None = None
        for amount, order in [*by_amount.items()]:
            if amount > free and kept_for is None:
                continue
            lane = order.first()
            if lane is None:
                del by_amount[amount]
                if not by_amount:
                    del limit.blocked[executor]
            elif kept_for is None and (best is None or _rank(lane) < _rank(best)):
                best = lane
        if kept_for is not None:
            fits = kept_for.blocked_by is limit and _full_limit(kept_for) is not limit
            best = kept_for if fits and kept_for.executor == executor else None
        if best is not None:
            best.blocked_by = None
            self._stand(best, self._open_order(executor))

    # Who is overtaken

    def _note_overtaken(self, limit: Limit, amount: int, head: tuple[int, int, Ready]) -> None:
        """Take note of who asks for more of a limit, came first, and does not fit."""
        for by_amount in [*limit.blocked.values()]:
            for asked, order in [*by_amount.items()]:
                if asked > amount:
                    lane = order.first()
                    if lane is not None and lane.heap[0] < head:
                        self._overtake(lane)

    def _overtake(self, lane: Lane) -> None:
        lane.overtaken += 1
        if lane.overtaken >= MAX_OVERTAKEN and self._favoured is None:
            self._favoured = lane
            for limit, _ in lane.demands:
                limit.kept_for = lane

    def _stop_favouring(self) -> None:
        assert self._favoured is not None
        demands = self._favoured.demands
        self._favoured = None
        for limit, _ in demands:
            limit.kept_for = None
        for limit, _ in demands:
            self._let_in(limit)


def waiting_for(limit: Limit, at_most: int) -> tuple[int, int]:
    """Return how many slots those ask for that wait for a limit, and how many the next one.

    Args:
        limit: Which.
        at_most: Slots above which it does not matter how many they are.
    """
    waiting = least = 0
    for by_amount in limit.blocked.values():
        for amount, order in by_amount.items():
            for lane in order.lanes():
                waiting += amount * len(lane.heap)
                least = min(least, amount) if least else amount
                if waiting >= at_most:
                    break
    kept_for = limit.kept_for
    if kept_for is not None and kept_for.blocked_by is limit:
        least = next(amount for each, amount in kept_for.demands if each is limit)
    return waiting, least


def _rank(lane: Lane) -> tuple[float, int, int]:
    assert lane.turns is not None
    key, count, _ = lane.heap[0]
    return lane.turns.value, key, count


def _full_limit(lane: Lane) -> Limit | None:
    """Return the limit that does not let a lane's head pass, None if all do."""
    for limit, amount in lane.demands:
        if limit.used + amount > limit.slots:
            return limit
        if limit.kept_for is not None and limit.kept_for is not lane:
            return limit
    return None
