"""This module waits for the end of runs that others drive."""

import time
from collections.abc import Callable

#: Seconds between two looks at a run that is waited for: at first, and at most.
FIRST_LOOK_S = 0.02
LOOK_EVERY_S = 1.0


def wait_for_end(
    name: str,
    has_ended: Callable[[float | None], bool],
    timeout: float | None,
    now_s: Callable[[], float],
) -> None:
    """Return once a run has ended.

    Args:
        name: Of the run, for the message.
        has_ended: Tells whether it has, after so many seconds at most.
        timeout: Seconds to wait at most, or None.
        now_s: The time.

    Raises:
        TimeoutError: It goes on.
    """
    end_s = None if timeout is None else now_s() + timeout
    pause_s = FIRST_LOOK_S
    while not has_ended(None if end_s is None else max(end_s - now_s(), 0.0)):
        if end_s is not None and now_s() >= end_s:
            message = f"run {name} has not ended after {timeout:g} s"
            raise TimeoutError(message)
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LOOK_EVERY_S)
