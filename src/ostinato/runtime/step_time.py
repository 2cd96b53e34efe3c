"""This module is how time passes in a flow that is a function: for real, or at once."""

import asyncio
import math
import selectors
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, Protocol, TypeVar

from ostinato.authoring.futures import EndedFuture
from ostinato.clock import Clock, VirtualClock
from ostinato.errors import AttemptTimeout
from ostinato.runtime.interruption import Interruption
from ostinato.runtime.step_limits import time_limit

R = TypeVar("R")

#: Submitted steps of one flow that execute at a time.
MAX_THREADS = 64

#: Seconds of real time for which a loop waits for what it listens to before virtual time goes on.
PATIENCE_S = 5.0

NewLoop = Callable[[], asyncio.AbstractEventLoop]


class StepTime(Protocol):
    """Let time pass for the steps of one flow."""

    #: Makes the event loop of a coroutine function; None for asyncio's own.
    new_loop: NewLoop | None

    def sleep(self, seconds: float) -> None:
        """Return when so much time has passed."""
        ...

    def begin(self, call: Callable[[], R]) -> "Future[R]":
        """Call a function beside what follows, in this context, and return its future."""
        ...

    def limit(self, timeout_s: float, name: str) -> AbstractContextManager[None]:
        """Raise ``AttemptTimeout`` in the block when its time is over; 0 for no limit."""
        ...

    def limit_body(self, timeout_s: float, name: str) -> AbstractContextManager[None]:
        """Do the same for the flow as a whole, where nothing else does."""
        ...

    def close(self) -> None:
        """Wait for what was begun."""
        ...


def time_of(clock: Clock, interruption: Interruption | None = None) -> StepTime:
    """Return how time passes by a clock.

    Args:
        clock: Of the attempt.
        interruption: Says where the main thread must not be left.
    """
    return VirtualTime(clock) if isinstance(clock, VirtualClock) else RealTime(interruption)


class RealTime:
    """Time passes as it does; what is begun has threads.

    Args:
        interruption: Says where the main thread must not be left.
    """

    new_loop: NewLoop | None = None

    def __init__(self, interruption: Interruption | None = None) -> None:
        self._interruption = interruption
        self._pool: ThreadPoolExecutor | None = None

    def sleep(self, seconds: float) -> None:
        """Return when so much time has passed."""
        time.sleep(seconds)

    def begin(self, call: Callable[[], R]) -> "Future[R]":
        """Call a function in a thread, in this context, and return its future."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="step")
        return self._pool.submit(copy_context().run, call)

    def limit(self, timeout_s: float, name: str) -> AbstractContextManager[None]:
        """Raise ``AttemptTimeout`` in the block when its time is over; 0 for no limit."""
        return time_limit(timeout_s, name, self._interruption)

    @contextmanager
    def limit_body(self, timeout_s: float, name: str) -> Iterator[None]:
        """Do nothing: it is a time limit of the attempt."""
        del timeout_s, name
        yield

    def close(self) -> None:
        """Wait for what was begun."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)


class _Expired(BaseException):
    """Leave a function whose virtual time is over, whatever it catches."""

    def __init__(self, at_us: int) -> None:
        super().__init__(at_us)
        self.at_us = at_us


#: When the innermost limit is over of what executes in this context.
_end_us: ContextVar[int | None] = ContextVar("ostinato_end_us", default=None)


def pass_time(clock: VirtualClock, seconds: float) -> None:
    """Move a clock on, no further than what executes in this context may last.

    Args:
        clock: Of the flow.
        seconds: By how much.
    """
    until_us = clock.now_us() + math.ceil(seconds * 1e6)
    end_us = _end_us.get()
    if end_us is not None and until_us > end_us:
        clock.advance_to(end_us)
        raise _Expired(end_us)
    clock.advance_to(until_us)


class VirtualTime:
    """Time passes at once: nobody waits for a retry, and the order is the same every time.

    What is begun executes where it is begun, and lasts from there on by the clock; its future is
    done when the clock has come that far. So steps lie beside one another in virtual time without
    threads, which would run into each other in another order each time.

    Args:
        clock: Moved on instead of waiting.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._last_us = 0
        self.new_loop: NewLoop | None = lambda: VirtualLoop(clock)

    def sleep(self, seconds: float) -> None:
        """Move the clock on."""
        pass_time(self._clock, seconds)

    def begin(self, call: Callable[[], R]) -> "Future[R]":
        """Call a function here and now, and move the clock back to when it began."""
        clock = self._clock
        began_us = clock.now_us()
        outcome: Future[R] = Future()
        run = copy_context().run
        if asyncio._get_running_loop() is None:
            run(_settle, outcome, call)
        else:
            # A step that is a coroutine needs a loop of its own, which needs a thread here.
            thread = threading.Thread(target=run, args=(_settle, outcome, call), name="step")
            thread.start()
            thread.join()
        ended_us = clock.now_us()
        self._last_us = max(self._last_us, ended_us)
        clock.go_back_to(began_us)
        return EndedFuture(outcome, clock, ended_us)

    @contextmanager
    def limit(self, timeout_s: float, name: str) -> Iterator[None]:
        """Raise ``AttemptTimeout`` once more virtual time has passed; 0 for no limit.

        What takes so long in real time is ended too: a test that hangs says where.
        """
        with time_limit(timeout_s, name), self._limit(timeout_s, f"step {name!r}"):
            yield

    @contextmanager
    def limit_body(self, timeout_s: float, name: str) -> Iterator[None]:
        """Raise ``AttemptTimeout`` once more virtual time has passed; 0 for no limit."""
        with self._limit(timeout_s, f"task {name!r}"):
            yield

    @contextmanager
    def _limit(self, timeout_s: float, what: str) -> Iterator[None]:
        if not timeout_s:
            yield
            return
        clock = self._clock
        own_us = clock.now_us() + math.ceil(timeout_s * 1e6)
        around_us = _end_us.get()
        token = _end_us.set(own_us if around_us is None else min(own_us, around_us))
        try:
            yield
            is_late = clock.now_us() > own_us
        except _Expired as expired:
            if expired.at_us != own_us:
                raise
            is_late = True
        finally:
            _end_us.reset(token)
        if is_late:
            message = f"{what} ran longer than its timeout of {timeout_s:g} s"
            raise AttemptTimeout(message) from None

    def close(self) -> None:
        """Move the clock to where all that was begun has ended."""
        self._clock.advance_to(self._last_us)


def _settle(outcome: "Future[Any]", call: Callable[[], Any]) -> None:
    try:
        outcome.set_result(call())
    except BaseException as error:  # noqa: BLE001 - it is for whoever waits for the future
        outcome.set_exception(error)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that moves a virtual clock on where it would wait for a timer.

    Threads and sockets take their real time: while the loop waits for one, the clock stands
    still; for a socket only so long.

    Args:
        clock: What time it is.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._impatient = _Impatient(clock)
        super().__init__(self._impatient)
        # What every loop listens to, for itself.
        self._impatient.own_files = len(self._impatient.get_map())

    def time(self) -> float:
        """Return the virtual time."""
        return self._clock.monotonic_s()

    def run_in_executor(  # type: ignore[override]  # typeshed's form has variadic types
        self, executor: Any, func: Any, *args: Any
    ) -> "asyncio.Future[Any]":
        """Call a function in a thread; the clock stands still until it has returned."""
        self._impatient.in_threads += 1
        future: asyncio.Future[Any] = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._leave_thread)
        return future

    def _leave_thread(self, _: Any) -> None:
        self._impatient.in_threads -= 1


class _Impatient(selectors.DefaultSelector):
    """Move the clock on instead of waiting for a timer."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock
        self.own_files = 0
        self.in_threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0 or self.in_threads:
            return super().select(None if self.in_threads and timeout else timeout)
        found = super().select(0 if len(self.get_map()) <= self.own_files else PATIENCE_S)
        if not found:
            self._clock.advance_to(self._clock.now_us() + math.ceil(timeout * 1e6))
        return found
