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
from types import FrameType
from typing import Protocol

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

        Returns at once; safe in signal handlers and threads, before ``serve`` and twice.
        """
        ...

    def stop(self) -> None:
        """Have ``serve`` return soon, whatever is unfinished.

        Returns at once; safe in signal handlers and threads, before ``serve`` and twice.
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
            came. It is called in signal handlers.
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
        self._timer: threading.Timer | None = None
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
        if self._failures:
            raise self._failures[0]

    def drain(self) -> None:
        """End the service as the first signal does; safe in all threads."""
        self._drain("")

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
        alarm = signal.signal(signal.SIGALRM, lambda *_: self.stop())
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, alarm)
            for number, handler in before:
                signal.signal(number, handler)
            if self._timer is not None:
                self._timer.cancel()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._is_draining:
            self.stop()
            return
        # A thread cannot be started in a signal handler; the kernel's timer can.
        signal.setitimer(signal.ITIMER_REAL, max(self._drain_timeout_s, 0.001))
        self._drain(signal.Signals(number).name)

    def _drain(self, by: str) -> None:
        if self._is_draining:
            return
        self._is_draining = True
        if self._on_drain is not None:
            self._on_drain(by)
        if not by:
            self._timer = threading.Timer(self._drain_timeout_s, self.stop)
            self._timer.daemon = True
            self._timer.start()
        for part in self._parts:
            part.drain()
