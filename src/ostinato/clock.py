"""This module is the only place that reads the time and draws chance."""

import random
import time
from typing import Protocol


class Clock(Protocol):
    """Tell the time to whoever must not read it by itself."""

    def now_us(self) -> int:
        """Return microseconds since the Unix epoch, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds of a clock that never jumps."""
        ...


class SystemClock:
    """Read the machine's clocks."""

    def now_us(self) -> int:
        """Return microseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        """Return seconds of a clock that never jumps."""
        return time.monotonic()


class VirtualClock:
    """Stand still until told to move: a week passes in no time.

    Args:
        start_us: Microseconds since the epoch that the clock shows at first.
    """

    def __init__(self, start_us: int) -> None:
        self._now_us = start_us
        self._start_us = start_us

    def now_us(self) -> int:
        """Return the virtual microseconds since the epoch."""
        return self._now_us

    def monotonic_s(self) -> float:
        """Return the virtual seconds since the clock was made."""
        return (self._now_us - self._start_us) / 1e6

    def advance_to(self, at_us: int) -> None:
        """Move to ``at_us``; a moment in the past changes nothing.

        Args:
            at_us: Microseconds since the epoch.
        """
        self._now_us = max(self._now_us, at_us)

    def go_back_to(self, at_us: int) -> None:
        """Move back to a moment at which something begins beside what has passed since.

        Args:
            at_us: Microseconds since the epoch.
        """
        self._now_us = min(self._now_us, at_us)


def draw_chance() -> float:
    """Return a number from 0 to 1, by chance."""
    return random.random()
