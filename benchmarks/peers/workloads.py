"""This module holds what is measured: the measures, the layouts and what a workload answers."""

from __future__ import annotations

import enum
import json
import statistics
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

#: How many tasks one run fans out to; small enough for the slowest peer to end in minutes.
FAN_OUT_TASKS = 200
#: The larger fan-out, of Ostinato only: most peers would need tens of minutes.
LARGE_FAN_OUT_TASKS = 1_000
#: The length of the chain: 49 gaps make a steady median.
CHAIN_TASKS = 50


class Measure(enum.Enum):
    """What is measured; the value is the word on the command line of a workload."""

    FAN_OUT = "fan_out"
    CHAIN = "chain"
    HELLO = "hello"


class Layout(enum.Enum):
    """Where tasks execute; a peer is compared with Ostinato in the same layout."""

    EMBEDDED = "in the process of the run"
    PROCESSES = "in other processes"
    SHELL = "a command, from its start to its exit"


@dataclass(frozen=True)
class Answer:
    """The one JSON line that a workload prints.

    Args:
        version: The release that was measured.
        wall_s: From the call that starts the run to its end.
        intervals: Start and end of each task as the peer recorded them, in epoch seconds.
    """

    version: str
    wall_s: float
    intervals: list[tuple[float, float]]

    @property
    def tasks_per_s(self) -> float:
        return len(self.intervals) / self.wall_s

    @property
    def median_gap_s(self) -> float:
        """The median time between the end of a task and the start of the next."""
        ordered = sorted(self.intervals)
        return statistics.median(start - end for (_, end), (start, _) in pairwise(ordered))


def read_answer(output: str) -> Answer | None:
    """Find the answer in what a workload printed: the last line that is a JSON object with it."""
    for line in reversed(output.splitlines()):
        fields = _parse_object(line)
        if {"version", "wall_s", "intervals"} <= fields.keys():
            intervals = [(float(start), float(end)) for start, end in fields["intervals"]]
            return Answer(str(fields["version"]), float(fields["wall_s"]), intervals)
    return None


def _parse_object(line: str) -> dict[str, Any]:  # Any: foreign JSON
    try:
        fields = json.loads(line)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
