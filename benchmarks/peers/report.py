"""This module shows the results: a table for people, JSON for programs."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from typing import Any, assert_never

from benchmarks.peers.catalogue import OURS
from benchmarks.peers.measurements import RUNS, Failure, Figure, Subject
from benchmarks.peers.workloads import Measure

HEADINGS = ("measure", "system", "mode", "figure", "range", "ours", "ours / theirs")
NOTES = f"""
Medians of up to {RUNS} runs. tasks/s: more is better; s: less is better.
A peer stands beside ours in the same layout: tasks embedded, or in other processes."""


def table(results: Sequence[Figure | Failure]) -> str:
    """Draw the figures as a table; failures follow, a line each."""
    figures = [result for result in results if isinstance(result, Figure)]
    rows = [HEADINGS, *(_row(figure, figures) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    rows.insert(1, tuple("-" * width for width in widths))
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    failures = [progress(result) for result in results if isinstance(result, Failure)]
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores."
    return "\n".join([*lines, *failures, NOTES, machine])


def document(results: Sequence[Figure | Failure]) -> dict[str, Any]:  # Any: JSON
    """Arrange the results as JSON."""
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "figures": [
            {
                **_fields(result.subject),
                "version": result.version,
                "unit": _unit(result.subject.measure),
                "median": result.median,
                "values": list(result.values),
            }
            for result in results
            if isinstance(result, Figure)
        ],
        "failures": [
            {**_fields(result.subject), "reason": result.reason}
            for result in results
            if isinstance(result, Failure)
        ],
    }


def progress(result: Figure | Failure) -> str:
    """Say in one line what came of one subject."""
    subject = result.subject
    what = f"{_title(subject)}, {subject.system} ({subject.mode.name})"
    if isinstance(result, Failure):
        return f"{what}: failed: {result.reason}"
    return f"{what}: {_amount(result)}"


def _row(figure: Figure, figures: Sequence[Figure]) -> tuple[str, ...]:
    subject = figure.subject
    row = (
        _title(subject),
        f"{subject.system} {figure.version}".strip(),
        subject.mode.name,
        _amount(figure),
        _spread(figure.values),
    )
    if subject.system == OURS.name:
        return (*row, "", "")
    ours = _counterpart(subject, figures)
    if ours is None:
        return (*row, "-", "-")
    return (*row, f"{_amount(ours)} ({ours.subject.mode.name})", _ratio(ours, figure))


def _counterpart(subject: Subject, figures: Sequence[Figure]) -> Figure | None:
    """Find our figure of the same measure in the same layout."""
    for figure in figures:
        ours = figure.subject
        if (ours.system, ours.measure, ours.mode.layout, ours.tasks) == (
            OURS.name,
            subject.measure,
            subject.mode.layout,
            subject.tasks,
        ):
            return figure
    return None


def _ratio(ours: Figure, theirs: Figure) -> str:
    # A clock of milliseconds may record a gap of nothing, or less.
    return _number(ours.median / theirs.median) if theirs.median > 0 else "-"


def _title(subject: Subject) -> str:
    match subject.measure:
        case Measure.FAN_OUT:
            return f"fan-out of {subject.tasks:,}"
        case Measure.CHAIN:
            return f"gap in a chain of {subject.tasks}"
        case Measure.HELLO:
            return "hello run"
        case never:
            assert_never(never)


def _unit(measure: Measure) -> str:
    return "tasks/s" if measure is Measure.FAN_OUT else "s"


def _amount(figure: Figure) -> str:
    return f"{_number(figure.median)} {_unit(figure.subject.measure)}"


def _spread(values: Sequence[float]) -> str:
    if len(values) == 1:
        return "one run"
    return f"{_number(min(values))} to {_number(max(values))}"


def _number(value: float) -> str:
    """Write three digits, and no exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.5f}"


def _fields(subject: Subject) -> dict[str, Any]:  # Any: JSON
    return {
        "system": subject.system,
        "measure": subject.measure.value,
        "mode": subject.mode.name,
        "layout": subject.mode.layout.name.lower(),
        "tasks": subject.tasks,
    }
