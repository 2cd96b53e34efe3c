"""This module waits for the end of runs that others drive."""

import time
from collections.abc import Callable

from ostinato.clock import SystemClock

#: Seconds between two looks at a run that is waited for: at first, and at most.
FIRST_LOOK_S = 0.02
LOOK_EVERY_S = 1.0


def wait_for_end(name: str, has_ended: Callable[[], bool], timeout: float | None) -> None:
    """Return once a run has ended.

    Args:
        name: Of the run, for the message.
        has_ended: Tells whether it has.
        timeout: Seconds to wait at most, or None.

    Raises:
        TimeoutError: It goes on.
    """
    clock = SystemClock()
    end_s = None if timeout is None else clock.monotonic_s() + timeout
    pause_s = FIRST_LOOK_S
    while not has_ended():
        if end_s is not None and clock.monotonic_s() >= end_s:
            message = f"run {name} has not ended after {timeout:g} s"
            raise TimeoutError(message)
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LOOK_EVERY_S)
