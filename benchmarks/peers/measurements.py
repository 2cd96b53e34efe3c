"""This module takes one figure of one system: in a fresh home, several times."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.catalogue import COMMAND, Mode, System
from benchmarks.peers.processes import CommandFailed, Finished, run_limited
from benchmarks.peers.workloads import Answer, Measure, read_answer

#: The longest that one run of a workload may take.
LIMIT_S = 600.0
#: A figure is the median of this many runs, so that one disturbed run does not decide ...
RUNS = 3
#: ... but no further run is started once they took this long together.
ENOUGH_S = 60.0


@dataclass(frozen=True)
class Subject:
    """What a figure is about."""

    system: str
    measure: Measure
    mode: Mode
    tasks: int


@dataclass(frozen=True)
class Figure:
    """The runs of one subject; `values` are tasks/s or seconds."""

    subject: Subject
    version: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True)
class Failure:
    """Why a subject has no figure, in one line."""

    subject: Subject
    reason: str


def measure_workload(
    system: System, programs: Path, measure: Measure, mode: Mode, *, tasks: int
) -> Figure | Failure:
    """Measure what the system's workload reports of itself: throughput or gaps."""

    def take() -> tuple[str, float]:
        # A home each: no run is slowed down by the history of the one before.
        with _open_home(system, programs, tasks) as home:
            finished = home.run(*system.workload, measure.value, mode.name)
        answer = read_answer(finished.output)
        if answer is None:
            raise CommandFailed("the workload printed no answer")
        if len(answer.intervals) != tasks:
            raise CommandFailed(f"{len(answer.intervals)} of {tasks} tasks were recorded")
        return answer.version, _value(measure, answer)

    return _repeat(Subject(system.name, measure, mode, tasks), take)


def measure_hello(system: System, programs: Path) -> Figure | Failure:
    """Measure the whole process of a one-task run, from the shell."""
    subject = Subject(system.name, Measure.HELLO, COMMAND, 1)
    try:
        with _open_home(system, programs, tasks=1) as home:
            home.run(*system.hello)  # The first makes the database; it is not measured.
            return _repeat(subject, lambda: ("", home.run(*system.hello).seconds))
    except CommandFailed as err:
        return Failure(subject, str(err))


def _repeat(subject: Subject, take: Callable[[], tuple[str, float]]) -> Figure | Failure:
    started = time.monotonic()
    version, values = "", list[float]()
    try:
        while len(values) < RUNS and (not values or time.monotonic() - started < ENOUGH_S):
            version, value = take()
            values.append(value)
    except CommandFailed as err:
        return Failure(subject, str(err))
    return Figure(subject, version, tuple(values))


def _value(measure: Measure, answer: Answer) -> float:
    return answer.median_gap_s if measure is Measure.CHAIN else answer.tasks_per_s


@dataclass(frozen=True)
class Home:
    """A temporary folder that holds all that a system writes, and copies of its files."""

    folder: Path
    programs: Path
    environ: dict[str, str]

    def run(self, *command: str) -> Finished:
        words = [word.format(bin=self.programs) for word in command]
        return run_limited(words, folder=self.folder, environ=self.environ, limit_s=LIMIT_S)


@contextlib.contextmanager
def _open_home(system: System, programs: Path, tasks: int) -> Iterator[Home]:
    # Services may still be writing their last log line while the folder is removed.
    with tempfile.TemporaryDirectory(
        prefix="ostinato-bench-", ignore_cleanup_errors=True
    ) as temporary:
        folder = Path(temporary, "home")
        shutil.copytree(
            system.folder, folder, ignore=shutil.ignore_patterns("__pycache__", "*.txt")
        )
        home = Home(folder, programs, _environ(system, programs, folder, tasks))
        if system.prepare:
            home.run(*system.prepare)
        yield home


def _environ(system: System, programs: Path, folder: Path, tasks: int) -> dict[str, str]:
    """Give a system an environment of its own: no setting of the caller's reaches it."""
    scratch = folder.parent / "tmp"
    scratch.mkdir()
    own = {name: value.format(home=folder) for name, value in system.environ.items()}
    return {
        "PATH": os.pathsep.join((str(programs), os.environ.get("PATH", os.defpath))),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "HOME": str(folder),
        "TMPDIR": str(scratch),
        "NO_COLOR": "1",
        "DO_NOT_TRACK": "1",
        "PEER_TASKS": str(tasks),
        **own,
    }
