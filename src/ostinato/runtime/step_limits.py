"""This module ends a step that runs longer than it may, whichever thread it executes in."""

import ctypes
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ostinato.clock import SystemClock
from ostinato.errors import AttemptTimeout


class _Expired(BaseException):
    """Leave the step's function, whatever it catches."""


@contextmanager
def time_limit(timeout_s: float, name: str) -> Iterator[None]:
    """Raise ``AttemptTimeout`` in the block when its time is over.

    In the main thread even a blocking call is interrupted; in another one, code is left when it
    comes back to Python.

    Args:
        timeout_s: Seconds that it may take; 0 for no limit.
        name: Of the step, for the message.
    """
    if not timeout_s:
        yield
        return
    is_main = threading.current_thread() is threading.main_thread()
    try:
        with _by_signal(timeout_s) if is_main else _by_thread(timeout_s):
            yield
    except _Expired:
        message = f"step {name!r} ran longer than its timeout of {timeout_s:g} s"
        raise AttemptTimeout(message) from None


@contextmanager
def _by_signal(timeout_s: float) -> Iterator[None]:
    is_inside = True

    def expire(_signal: int, _frame: FrameType | None) -> None:
        if is_inside:
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
    try:
        yield
    finally:
        with lock:
            is_inside = False
            # What was set and not raised yet came too late.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, None)
        watch.cancel()
