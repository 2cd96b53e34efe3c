"""This module computes the ticks of plain intervals and of listed moments."""

from bisect import bisect_right
from collections.abc import Sequence


class IntervalTicks:
    """Ticks that are equally far from each other.

    Args:
        every_us: How far, in microseconds.
        anchor_us: One of them.
    """

    def __init__(self, every_us: int, anchor_us: int = 0) -> None:
        self._every_us = every_us
        self._anchor_us = anchor_us

    def next_us(self, after_us: int) -> int | None:
        """Return the first tick after a moment."""
        return self._nth(1, after_us)

    def latest_us(self, at_us: int) -> int | None:
        """Return the latest tick at or before a moment."""
        return self._nth(0, at_us)

    def _nth(self, number: int, at_us: int) -> int:
        passed = (at_us - self._anchor_us) // self._every_us
        return self._anchor_us + (passed + number) * self._every_us


class ListedTicks:
    """Ticks that are listed.

    Args:
        moments_us: In ascending order.
    """

    def __init__(self, moments_us: Sequence[int]) -> None:
        self._moments_us = moments_us

    def next_us(self, after_us: int) -> int | None:
        """Return the first tick after a moment."""
        place = bisect_right(self._moments_us, after_us)
        return self._moments_us[place] if place < len(self._moments_us) else None

    def latest_us(self, at_us: int) -> int | None:
        """Return the latest tick at or before a moment."""
        place = bisect_right(self._moments_us, at_us)
        return self._moments_us[place - 1] if place else None
