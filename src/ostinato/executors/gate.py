"""This module lets one thread at a time into a coordinator."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """A lock that a thread takes as often as it likes, and gives back as a whole for a while.

    The loop holds it but for when it waits. Attempts that execute in the loop's thread do so
    outside: their threads may come in meanwhile, and ask.
    """

    __slots__ = ("_depth", "_lock", "_thread")

    # Invariant: _thread and _depth are those of the thread that holds the lock.
    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._thread = self._depth = 0

    def __enter__(self) -> None:
        self._lock.acquire()
        self._thread = threading.get_ident()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._thread = 0
        self._lock.release()

    def enter_nowait(self) -> bool:
        """Come in if nobody else is inside; return whether it did. It is left as from a block."""
        if not self._lock.acquire(blocking=False):
            return False
        self._thread = threading.get_ident()
        self._depth += 1
        return True

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Let others in during a block of a thread that may be inside."""
        depth = self._depth if self._thread == threading.get_ident() else 0
        if depth:
            self._thread = self._depth = 0
        for _ in range(depth):
            self._lock.release()
        try:
            yield
        finally:
            for _ in range(depth):
                self._lock.acquire()
            if depth:
                self._thread, self._depth = threading.get_ident(), depth
