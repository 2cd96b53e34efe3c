"""This module makes ids: milliseconds (41 bits), node (10), counter (12), ordered by time."""

import threading

from ostinato.clock import Clock
from ostinato.errors import StoreFull
from ostinato.store.locks import Locks

NODE_BITS = 10
COUNTER_BITS = 12

#: Ids count milliseconds from 2020-01-01 UTC, so that 41 bits last until 2089.
EPOCH_MS = 1_577_836_800_000


class IdGenerator:
    """Make ids that no other node makes; safe to call from several threads.

    Where the clock stands still, jumps back or is older than the epoch, and where the counter
    of a millisecond is used up, ids go on from the last one: waiting for the clock could
    last for ever.

    Args:
        node: Leased from the store; 0 to 1023.
        clock: Tells the milliseconds.
        after: The largest id that is known: an earlier holder of the node, or one whose clock
            was ahead, may have made it.
    """

    # Invariant: each id is larger than the one before, and than each ``after``.
    def __init__(self, node: int, clock: Clock, *, after: int = 0) -> None:
        self._node = node << COUNTER_BITS
        self._clock = clock
        self._lock = threading.Lock()
        # Milliseconds and counter as one number, which carries over by itself. The first id lies
        # in a later millisecond: it must not meet another holder's counter.
        self._last = _after_millisecond(after) - 1

    def next(self, *, after: int = 0) -> int:
        """Return a new id.

        Args:
            after: An id that the new one must be larger than.
        """
        return self.take(1, after=after)[0]

    def take(self, count: int, *, after: int = 0) -> list[int]:
        """Return new ids, each larger than the one before.

        Args:
            count: How many.
            after: An id that they must be larger than.
        """
        with self._lock:
            now_ms = self._clock.now_us() // 1000 - EPOCH_MS
            first = max(self._last + 1, now_ms << COUNTER_BITS)
            if self._id(first) <= after:
                first = _after_millisecond(after)
            self._last = first + count - 1
            return [self._id(position) for position in range(first, first + count)]

    def _id(self, position: int) -> int:
        counter = position & (1 << COUNTER_BITS) - 1
        return position >> COUNTER_BITS << NODE_BITS + COUNTER_BITS | self._node | counter


def _after_millisecond(made: int) -> int:
    """Return the first position in the millisecond after that of an id."""
    return (made >> NODE_BITS + COUNTER_BITS) + 1 << COUNTER_BITS


def lease_node(locks: Locks, path: str) -> int:
    """Take a node that nobody alive has; it is given back with the locks.

    Args:
        locks: Of the store object that makes ids.
        path: Of the store, for messages.

    Raises:
        StoreFull: As many processes use the store as there are nodes.
    """
    for node in range(1 << NODE_BITS):
        if locks.acquire(f"nodes/{node}.lock"):
            return node
    message = f"the store {path} is used by {1 << NODE_BITS} processes at once"
    raise StoreFull(message, hint="end some of them")
