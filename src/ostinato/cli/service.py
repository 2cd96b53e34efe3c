"""This module is the frame of a process that goes on: its parts, its signals, its end.

A *part* is one thing that such a process does: drive runs, fire schedules, serve HTTP. Each part
runs in a thread of its own, one of them in the main thread. The first SIGTERM or SIGINT drains
the parts, a second one, or the end of the time-out, stops them.
"""

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Protocol

from ostinato.clock import SystemClock
from ostinato.model.health import PartHealth

logger = logging.getLogger(__name__)

#: Seconds that draining may take.
DRAIN_TIMEOUT_S = 30.0

#: Signals that ask a service to end.
_ENDING = (signal.SIGTERM, signal.SIGINT)


class Part(Protocol):
    """One thing that a service does."""

    @property
    def name(self) -> str:
        """Names it in logs and in health."""
        ...

    def serve(self) -> None:
        """Do its work; returns once it was drained or stopped."""
        ...

    def drain(self) -> None:
        """Have it finish what it has begun and take on nothing new, then have ``serve`` return.

        Returns at once; safe in all threads, before ``serve`` and twice.
        """
        ...

    def stop(self) -> None:
        """Have ``serve`` return soon, whatever is unfinished.

        Returns at once; safe in all threads, before ``serve`` and twice.
        """
        ...

    def health(self) -> PartHealth:
        """Return how it is; safe in all threads."""
        ...


class Service:
    """A process that goes on until it is told to end.

    Args:
        parts: What it does. When one of them ends the others are drained; when one fails they
            are stopped.
        main: The one of them that runs in the main thread; None if none has to.
        attendants: Parts that show how the others are: they go on while those are drained, and
            are stopped in the end.
        drain_timeout_s: Seconds that draining may take.
        on_drain: Called when draining begins, with the signal's name; empty where no signal
            came.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        main: Part | None = None,
        attendants: Sequence[Part] = (),
        drain_timeout_s: float = DRAIN_TIMEOUT_S,
        on_drain: Callable[[str], None] | None = None,
    ) -> None:
        self._parts = tuple(parts)
        self._main = main
        self._attendants = tuple(attendants)
        self._drain_timeout_s = drain_timeout_s
        self._on_drain = on_drain
        self._failures: list[BaseException] = []
        self._is_draining = False
        self._is_stopped = False
        #: What it is told, by signal handlers too: ``put`` alone is safe in them. A handler may
        #: interrupt the main thread anywhere, also within a lock that a part would take.
        self._words: SimpleQueue[_Word | signal.Signals] = SimpleQueue()
        #: How many parts have not ended, attendants apart.
        self._left = len(self._parts)
        self._lock = threading.Lock()
        self._ended = threading.Event()

    @property
    def is_draining(self) -> bool:
        """Whether it has been told to end."""
        return self._is_draining

    def health(self) -> dict[str, PartHealth]:
        """Return how its parts are, by name."""
        return {part.name: part.health() for part in (*self._parts, *self._attendants)}

    def run(self) -> None:
        """Run all parts until they have ended; call this in the main thread.

        Raises:
            BaseException: What a part failed with; the others have ended by then.
        """
        keeper = threading.Thread(target=self._keep, name="signals", daemon=True)
        keeper.start()
        others = [part for part in self._parts if part is not self._main]
        attending = [self._thread(part, self._serve_attendant) for part in self._attendants]
        with self._signals():
            threads = [self._thread(part, self._serve) for part in others]
            if self._main is not None:
                self._serve(self._main)
            # Waits in a way that lets signals in.
            self._ended.wait()
            for thread in threads:
                thread.join()
            for part in self._attendants:
                part.stop()
            for thread in attending:
                thread.join()
        self._words.put(_Word.OVER)
        keeper.join()
        if self._failures:
            raise self._failures[0]

    def drain(self) -> None:
        """End the service as the first signal does; safe in all threads."""
        self._words.put(_Word.DRAIN)

    def stop(self) -> None:
        """End the service as the second signal does; safe in all threads."""
        self._is_draining = self._is_stopped = True
        for part in self._parts:
            part.stop()

    def _thread(self, part: Part, serve: Callable[[Part], None]) -> threading.Thread:
        thread = threading.Thread(target=serve, args=(part,), name=part.name, daemon=True)
        thread.start()
        return thread

    def _serve(self, part: Part) -> None:
        try:
            part.serve()
        except BaseException as error:  # noqa: BLE001 - kept for the main thread, which raises it
            self._fail(part, error)
        finally:
            with self._lock:
                self._left -= 1
                is_last = not self._left
            if is_last:
                self._ended.set()
            elif not self._is_draining:
                self.drain()

    def _serve_attendant(self, part: Part) -> None:
        try:
            part.serve()
        except BaseException as error:  # noqa: BLE001 - kept for the main thread, which raises it
            self._fail(part, error)

    def _fail(self, part: Part, error: BaseException) -> None:
        self._failures.append(error)
        logger.error("%s has failed: %s", part.name, error)
        self.stop()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        before = [(each, signal.signal(each, self._handle)) for each in _ENDING]
        try:
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._words.put(signal.Signals(number))

    def _keep(self) -> None:
        """Do what it is told, in a thread of its own, until it is over."""
        clock = SystemClock()
        end_s: float | None = None
        while True:
            left_s = None if end_s is None else max(end_s - clock.monotonic_s(), 0.0)
            try:
                word = self._words.get(timeout=left_s)
            except Empty:
                end_s = None
                self.stop()
                continue
            if word is _Word.OVER:
                return
            if not self._is_draining:
                end_s = clock.monotonic_s() + self._drain_timeout_s
                self._drain(word.name if isinstance(word, signal.Signals) else "")
            elif isinstance(word, signal.Signals):
                self.stop()

    def _drain(self, by: str) -> None:
        self._is_draining = True
        if self._on_drain is not None:
            self._on_drain(by)
        for part in self._parts:
            part.drain()


class _Word(Enum):
    DRAIN = "drain"
    OVER = "over"
