"""This module makes ids: milliseconds (41 bits), node (10), counter (12), ordered by time."""

import threading

from ostinato.clock import Clock

NODE_BITS = 10
COUNTER_BITS = 12

#: Ids count milliseconds from 2020-01-01 UTC, so that 41 bits last until 2089.
EPOCH_MS = 1_577_836_800_000


class IdGenerator:
    """Make ids that no other node makes; safe to call from several threads.

    When the clock stands still or jumps back, ids go on from the last one.

    Args:
        node: Leased from the store; 0 to 1023.
        clock: Tells the milliseconds.
    """

    # Invariant: each id is larger than the one before.
    def __init__(self, node: int, clock: Clock) -> None:
        self._node = node << COUNTER_BITS
        self._clock = clock
        self._lock = threading.Lock()
        self._last_ms = 0
        self._counter = 0

    def next(self) -> int:
        """Return a new id."""
        with self._lock:
            now_ms = self._clock.now_us() // 1000 - EPOCH_MS
            if now_ms > self._last_ms:
                self._last_ms, self._counter = now_ms, 0
            else:
                self._counter += 1
                if self._counter >> COUNTER_BITS:
                    # The counter ran over: borrow from the next millisecond.
                    self._last_ms, self._counter = self._last_ms + 1, 0
            return self._last_ms << (NODE_BITS + COUNTER_BITS) | self._node | self._counter
