"""This module gets a coordinator its share of the limits that several coordinators have."""

import math
from contextlib import suppress

from ostinato.clock import Clock
from ostinato.coordinator.limits import Limits, SharedLimit
from ostinato.coordinator.patience import PASSING
from ostinato.engine.queueing import ReadyQueue, waiting_for
from ostinato.errors import StoreError
from ostinato.store.protocol import Store
from ostinato.store.records import BudgetAsk, CoordinatorLease

#: Seconds between two looks at what is due, while something is held or wanted.
LOOK_S = 1.0

#: Seconds between two looks that something calls for.
SOON_S = 0.05

#: Seconds for which what is taken stays taken though it is another's due: so that two that take
#: turns at one slot do not pass it on with every task.
TURN_S = 1.0

#: Seconds for which what nobody uses is kept: runs that follow each other ask once.
IDLE_S = 2.0


class Budgets:
    """The shares that a coordinator has of the limits that it has in common with others.

    A share is asked for when something waits for it, and is then all that the others leave; so
    a coordinator that is alone asks once. While it holds some of a budget it looks each second,
    or when another one wakes it, whether it has more than its due, and gives that back as soon
    as it is free. What nothing uses goes back after a while.

    Args:
        store: Where shares are granted.
        lease: Of the coordinator.
        limits: Some of which are shared.
        queue: What waits for them.
        clock: Of the loop.
    """

    def __init__(
        self,
        store: Store,
        lease: CoordinatorLease,
        limits: Limits,
        queue: ReadyQueue,
        clock: Clock,
    ) -> None:
        self._store = store
        self._lease = lease
        self._limits = limits
        self._shared = limits.shared
        self._queue = queue
        self._clock = clock
        #: Monotonic seconds of the last look and of the next one that is due by itself.
        self._looked_s = -math.inf
        self._next_s = math.inf
        #: Before it nothing is asked: the store could not be written.
        self._not_before_s = -math.inf
        self._is_called = False
        self._refreshed_s = clock.monotonic_s()
        #: Since when nothing is used of a share.
        self._idle_s: dict[SharedLimit, float] = {}
        #: When more of it was granted the last time.
        self._served_s: dict[SharedLimit, float] = {}

    def call(self) -> None:
        """Have the next turn look: another coordinator has changed something."""
        if any(limit.asked for limit in self._shared):
            self._is_called = True

    def next_look_s(self) -> float | None:
        """Return in how many seconds a look is due; None if none is."""
        if self._is_called or any(map(_is_out_of_due, self._shared)):
            soon_s = max(self._looked_s + SOON_S, self._not_before_s)
            return max(soon_s - self._clock.monotonic_s(), 0.0)
        if self._next_s == math.inf:
            return None
        return max(self._next_s - self._clock.monotonic_s(), 0.0)

    def look(self) -> bool:
        """Take what is due of what is wanted, if it is time to; whether there is more by that.

        Raises:
            StoreError: It is gone; one that is full or locked for a moment is asked again.
            OwnershipLost: The coordinator was shut out.
        """
        if not self._shared or not self._is_due():
            return False
        now_s = self._clock.monotonic_s()
        if now_s - self._refreshed_s >= LOOK_S:
            self._limits.refresh()
            self._refreshed_s = now_s
        self._looked_s = now_s
        self._is_called = False
        asks = {limit: _ask(limit) for limit in self._shared if limit.asked or _is_wanted(limit)}
        try:
            return self._settle(asks, now_s)
        except PASSING:
            # Nothing was written, and nothing starts that was not granted.
            self._next_s = self._not_before_s = now_s + LOOK_S
            return False

    def _settle(self, asks: dict[SharedLimit, BudgetAsk], now_s: float) -> bool:
        self._give_back_idle(asks, now_s)
        self._next_s = now_s + LOOK_S if asks else math.inf
        return bool(asks) and self._rebalance(asks)

    def close(self) -> None:
        """Give everything back, once nothing executes any more."""
        held = [limit.budget for limit in self._shared if limit.asked]
        for limit in self._shared:
            limit.granted = limit.slots = limit.asked = 0
        if held:
            # What cannot be written is free once it is seen that this coordinator is gone.
            with suppress(StoreError):
                self._store.budgets.release(self._lease, held)

    def _is_due(self) -> bool:
        now_s = self._clock.monotonic_s()
        if now_s < self._not_before_s:
            return False
        if now_s >= self._next_s or any(map(_is_new, self._shared)):
            return True
        if not self._is_called and not any(map(_is_out_of_due, self._shared)):
            return False
        return now_s - self._looked_s >= SOON_S

    def _give_back_idle(self, asks: dict[SharedLimit, BudgetAsk], now_s: float) -> None:
        given: list[SharedLimit] = []
        for limit in list(asks):
            if limit.used or _is_wanted(limit):
                self._idle_s.pop(limit, None)
            elif not limit.granted or now_s - self._idle_s.setdefault(limit, now_s) >= IDLE_S:
                del asks[limit]
                self._idle_s.pop(limit, None)
                limit.slots = 0
                given.append(limit)
        if given:
            self._store.budgets.release(self._lease, [limit.budget for limit in given])
            for limit in given:
                limit.granted = limit.asked = 0

    def _rebalance(self, asks: dict[SharedLimit, BudgetAsk]) -> bool:
        has_more = False
        before = [limit.slots for limit in asks]
        for limit in asks:
            # Should it not become known what was written, no more starts than surely may.
            limit.slots = min(limit.slots, limit.used)
        shares = self._store.budgets.rebalance(self._lease, list(asks.values()))
        for (limit, ask), slots, share in zip(asks.items(), before, shares, strict=True):
            now_s = self._clock.monotonic_s()
            if share.granted > limit.granted:
                self._served_s[limit] = now_s
            limit.granted = share.granted
            limit.asked = max(ask.wanted, 1)
            is_its_turn = now_s - self._served_s.get(limit, -math.inf) < TURN_S
            after = min(share.granted, limit.total if is_its_turn else share.due)
            has_more |= after > slots
            self._queue.resize(limit, after)
        return has_more


def _is_new(limit: SharedLimit) -> bool:
    """Whether something waits for a limit that was never asked for."""
    return not limit.asked and _is_wanted(limit)


def _is_out_of_due(limit: SharedLimit) -> bool:
    """Whether something of it is others' due, or twice as much waits for it as was asked."""
    if limit.granted > limit.slots and limit.used < limit.granted:
        return True
    if not limit.blocked or limit.slots >= limit.total:
        return False
    return _ask(limit).wanted >= 2 * limit.asked


def _is_wanted(limit: SharedLimit) -> bool:
    return bool(limit.blocked) and waiting_for(limit, 1)[0] > 0


def _ask(limit: SharedLimit) -> BudgetAsk:
    waiting, least = waiting_for(limit, limit.total)
    if least and limit.slots - limit.used >= least:
        # What waits could start: there is something else that it waits for.
        waiting = least
    wanted = max(min(limit.used + waiting, limit.total), limit.used)
    return BudgetAsk(limit.budget, limit.total, limit.used, wanted, least)
