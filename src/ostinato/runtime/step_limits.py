"""This module ends a step that runs longer than it may, whichever thread it executes in."""

import _thread
import ctypes
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from ostinato.clock import SystemClock
from ostinato.errors import AttemptTimeout
from ostinato.runtime.interruption import Interruption

R = TypeVar("R")

#: Seconds after which it is tried again to leave code that cannot be left.
HELD_S = 0.005

#: Seconds between two moments at which a limited thread that waits can be left.
LEAVE_S = 0.02


class _Limited(threading.local):
    """How many limits a thread is under that is not the main one."""

    count = 0


_limited = _Limited()


class _Expired(BaseException):
    """Leave the step's function, whatever it catches."""


@contextmanager
def time_limit(
    timeout_s: float, name: str, interruption: Interruption | None = None
) -> Iterator[None]:
    """Raise ``AttemptTimeout`` in the block when its time is over.

    In the main thread even a blocking call is interrupted; in another one, code is left when it
    comes back to Python.

    Args:
        timeout_s: Seconds that it may take; 0 for no limit.
        name: Of the step, for the message.
        interruption: Says where the main thread must not be left.
    """
    if not timeout_s:
        yield
        return
    is_main = threading.current_thread() is threading.main_thread()
    try:
        with _by_signal(timeout_s, interruption) if is_main else _by_thread(timeout_s):
            yield
    except _Expired:
        message = f"step {name!r} ran longer than its timeout of {timeout_s:g} s"
        raise AttemptTimeout(message) from None


@contextmanager
def _by_signal(timeout_s: float, interruption: Interruption | None) -> Iterator[None]:
    is_inside = True

    def expire(_signal: int, _frame: FrameType | None) -> None:
        if is_inside and interruption is not None and interruption.is_held:
            signal.setitimer(signal.ITIMER_REAL, HELD_S)
        elif is_inside:
            raise _Expired

    left_s, _ = signal.getitimer(signal.ITIMER_REAL)
    if 0 < left_s <= timeout_s:
        # What is around it ends earlier.
        yield
        return
    clock = SystemClock()
    began_s = clock.monotonic_s()
    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        yield
    finally:
        is_inside = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left_s:
            passed_s = clock.monotonic_s() - began_s
            signal.setitimer(signal.ITIMER_REAL, max(left_s - passed_s, 0.001))


@contextmanager
def _by_thread(timeout_s: float) -> Iterator[None]:
    thread = ctypes.c_ulong(threading.get_ident())
    lock = threading.Lock()
    is_inside = True

    def expire() -> None:
        with lock:
            if is_inside:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(_Expired))

    watch = threading.Timer(timeout_s, expire)
    watch.daemon = True
    watch.start()
    _limited.count += 1
    try:
        yield
    finally:
        _limited.count -= 1
        with lock:
            is_inside = False
            # What was set and not raised yet came too late.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, None)
        watch.cancel()


def is_in_limited_thread() -> bool:
    """Whether this thread may be left between any two instructions, and is not the main one."""
    return _limited.count > 0


def call_beside(call: Callable[[], R]) -> R:
    """Call something in a thread of its own, and wait for it where this thread can be left.

    What a limit tears in this thread are bytecodes of ours alone: a future or a queue that it
    shares with others would stay locked.

    Args:
        call: What is called; it goes on to its end if this thread is left.
    """
    outcome: list[R] = []
    errors: list[BaseException] = []
    has_ended = _thread.allocate_lock()
    has_ended.acquire()

    def execute() -> None:
        try:
            outcome.append(call())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            errors.append(error)
        finally:
            has_ended.release()

    _thread.start_new_thread(execute, ())
    while not has_ended.acquire(timeout=LEAVE_S):
        continue
    if errors:
        raise errors[0]
    return outcome[0]
