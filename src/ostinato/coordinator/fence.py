"""This module tells code hosts until when what a worker has started may run.

A worker that does not commit any more, because it hangs, was stopped, or has lost its store, is
dead to others once its lease has run out. They start its attempts again, so those must have ended
by then, whether it can see to that or not: the code hosts end them when they are not told of a
later moment.
"""

import math
from collections.abc import Callable, Iterable

from ostinato.clock import Clock
from ostinato.errors import OwnershipLost
from ostinato.executors.code_host import CodeHost
from ostinato.store.protocol import Store
from ostinato.store.records import CoordinatorLease

#: How often a lease is told of in what is left of it.
BEATS = 8

#: Seconds between two beats, at most.
MAX_PAUSE_S = 1.0


class Fence:
    """Tell code hosts how long the lease lasts; a turn of a loop.

    Args:
        store: Knows it.
        lease: Of the worker.
        clock: Measures.
        hosts: Returns those in which something may run.
    """

    def __init__(
        self,
        store: Store,
        lease: CoordinatorLease,
        clock: Clock,
        hosts: Callable[[], Iterable[CodeHost]],
    ) -> None:
        self._store = store
        self._lease = lease
        self._clock = clock
        self._hosts = hosts
        self._next_s = 0.0

    def beat(self) -> None:
        """Have the next turn tell: there is another host."""
        if self._next_s != math.inf:
            self._next_s = 0.0

    def next_turn_s(self) -> float | None:
        """Return in how many seconds the hosts are to be told."""
        if self._next_s == math.inf:
            return None
        return max(self._next_s - self._clock.monotonic_s(), 0.0)

    def take_turn(self) -> None:
        """Tell the hosts, if it is time to.

        Raises:
            OwnershipLost: The lease has run out.
        """
        now_s = self._clock.monotonic_s()
        if now_s < self._next_s:
            return
        until_s = self._store.fence_until_s(self._lease)
        if until_s is None:
            # It lasts as long as this process, and code hosts end with that.
            self._next_s = math.inf
            return
        if until_s <= now_s:
            raise OwnershipLost(
                "the lease of this worker has run out",
                hint="it could not reach the store in time, or was stopped",
            )
        self._next_s = now_s + min((until_s - now_s) / BEATS, MAX_PAUSE_S)
        for host in self._hosts():
            host.beat(until_s)
