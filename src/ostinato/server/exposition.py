"""This module writes measures as Prometheus reads them.

The text format, version 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate

from ostinato.model.measure import Labels, Measure, MeasureKind, Sample, Spread

#: Of the answer.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Begins the name of each measure.
PREFIX = "ostinato_"

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


def exposition(measures: Iterable[Measure]) -> str:
    """Return measures as text; those of one name stand together, whoever they come from."""
    by_name: dict[str, list[Measure]] = {}
    for measure in measures:
        by_name.setdefault(measure.name, []).append(measure)
    return "".join(line for same in by_name.values() for line in _lines(same))


def _lines(same: list[Measure]) -> Iterator[str]:
    first = same[0]
    name = f"{PREFIX}{first.name}"
    if first.kind is MeasureKind.COUNTER:
        name = f"{name}_total"
    yield f"# HELP {name} {first.description.translate(_HELP_ESCAPES)}\n"
    yield f"# TYPE {name} {first.kind}\n"
    for measure in same:
        for sample in measure.samples:
            match sample:
                case Sample(value, labels):
                    yield _line(name, labels, value)
                case Spread():
                    yield from _spread(name, sample)


def _spread(name: str, spread: Spread) -> Iterator[str]:
    bounds = [*map(_number, spread.bounds), "+Inf"]
    counts = list(accumulate(spread.counts))
    for bound, count in zip(bounds, counts, strict=True):
        yield _line(f"{name}_bucket", (*spread.labels, ("le", bound)), count)
    yield _line(f"{name}_sum", spread.labels, spread.total)
    yield _line(f"{name}_count", spread.labels, counts[-1])


def _line(name: str, labels: Labels, value: float) -> str:
    pairs = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels)
    return f"{name}{{{pairs}}} {_number(value)}\n" if pairs else f"{name} {_number(value)}\n"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
