"""This module is what a process says of itself in numbers, as monitoring systems read them.

Whoever counts keeps plain numbers and makes measures of them when somebody asks: counting costs
next to nothing, and nothing at all where nobody counts.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Protocol, runtime_checkable

from msgspec import Struct

#: Bounds of durations in seconds: from a commit to a day.
SECONDS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    *(30.0, 60.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0),
)

#: Bounds of numbers of things that come together, such as the rows of a commit.
COUNTS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0)

Labels = tuple[tuple[str, str], ...]


class MeasureKind(StrEnum):
    """Say how a measure goes: a counter only up, a gauge both ways."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Sample(Struct, frozen=True):
    """A number, and what it is of."""

    value: float
    labels: Labels = ()


class Spread(Struct, frozen=True):
    """How often values lay below bounds.

    Attributes:
        bounds: Upper bounds, ascending, each of them included.
        counts: Values for each bound that are above the bound before it, and above the last.
        total: Sum of all values.
        labels: What it is of.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float
    labels: Labels = ()


class Measure(Struct, frozen=True):
    """A named set of numbers.

    Attributes:
        name: In words and underscores, the unit last; without ``ostinato_`` before it.
        kind: How it goes.
        description: One sentence.
        samples: Its numbers; of a histogram its spreads.
    """

    name: str
    kind: MeasureKind
    description: str
    samples: tuple[Sample, ...] | tuple[Spread, ...]


@runtime_checkable
class Measured(Protocol):
    """Something that can be measured."""

    def measures(self) -> Iterable[Measure]:
        """Return its numbers at this moment; safe in all threads."""
        ...


class Histogram:
    """Count values by size.

    Args:
        bounds: Upper bounds, ascending.
    """

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def spread(self, labels: Labels = ()) -> Spread:
        """Return what was counted."""
        return Spread(self._bounds, tuple(self._counts), self._total, labels)


def counter(name: str, description: str, values: Mapping[Labels, float]) -> Measure:
    """Return a measure of numbers that only go up, by what they are of."""
    return _of_samples(name, MeasureKind.COUNTER, description, values)


def gauge(name: str, description: str, values: Mapping[Labels, float]) -> Measure:
    """Return a measure of numbers that go up and down, by what they are of."""
    return _of_samples(name, MeasureKind.GAUGE, description, values)


def histogram(name: str, description: str, values: Mapping[Labels, Histogram]) -> Measure:
    """Return a measure of how values are spread, by what they are of."""
    # Copied at once: another thread may count something new meanwhile.
    spreads = tuple(value.spread(labels) for labels, value in list(values.items()))
    return Measure(name, MeasureKind.HISTOGRAM, description, spreads)


def _of_samples(
    name: str, kind: MeasureKind, description: str, values: Mapping[Labels, float]
) -> Measure:
    samples = tuple(Sample(value, labels) for labels, value in list(values.items()))
    return Measure(name, kind, description, samples)
