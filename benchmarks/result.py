"""This module is a measured figure and how it is printed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        work: What was done.
        value: What was measured.
        unit: Of the value, such as ``tasks/s`` or ``ms``.
        goal: What it should reach.
        is_rate: Whether more is better.
        limit: What the machine allows for the bare minimum of the work, in the same unit.
        limit_name: What that minimum is.
    """

    work: str
    value: float
    unit: str
    goal: float
    is_rate: bool = False
    limit: float | None = None
    limit_name: str = ""

    @property
    def is_reached(self) -> bool:
        """Whether the goal is met."""
        return self.value >= self.goal if self.is_rate else self.value <= self.goal

    @property
    def share(self) -> float | None:
        """Share of the machine's limit that is reached: 1 is as fast as the bare work."""
        if not self.limit or not self.value:
            return None
        return self.value / self.limit if self.is_rate else self.limit / self.value


def format_table(figures: list[Figure]) -> str:
    """Lay figures out as a table for people."""
    rows = [("work", "measured", "goal", "", "limit of the machine", "share")]
    for figure in figures:
        share = "" if figure.share is None else f"{figure.share:.0%}"
        limit = "" if figure.limit is None else f"{_number(figure.limit)} {figure.unit}: "
        rows.append(
            (
                figure.work,
                f"{_number(figure.value)} {figure.unit}",
                f"{_number(figure.goal)} {figure.unit}",
                "yes" if figure.is_reached else "NO",
                limit + figure.limit_name,
                share,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(lines)


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
