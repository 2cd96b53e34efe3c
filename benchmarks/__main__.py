"""This module runs the benchmarks and prints them beside the machine's limits: ``make bench``."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import (
    dev,
    files,
    large,
    limits,
    schedules,
    service,
    steps,
    stores,
    suspended,
    waiting,
)
from benchmarks.result import Figure, format_table

ROOT = Path(__file__).resolve().parent.parent

HELLO = """
from ostinato import dag, task

@dag
def hello():
    @task
    def greet():
        return "hello"
    greet()

hello()
"""


def workload(name: str, *arguments: Any) -> Any:
    """Run one of ``workloads`` in a fresh process and return what it measured."""
    command = [sys.executable, "-m", "benchmarks.workloads", name, *map(json.dumps, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    return json.loads(done.stdout.decode().strip().splitlines()[-1])


def best_rate(name: str, *arguments: Any, repeats: int = 3) -> float:
    """Return the best of several rates: noise of other work only ever slows down."""
    return max(float(workload(name, *arguments)) for _ in range(repeats))


def fan_out(scale: float) -> Iterator[Figure]:
    """Measure fan-outs of no-ops, inline and in warm processes."""
    for width in (1_000, 10_000):
        width = max(int(width * scale), 10)
        with tempfile.TemporaryDirectory() as folder:
            bare = limits.commit_rate(Path(folder), width)
        for executor, goal in (("inline", 20_000), ("process", 8_000)):
            yield Figure(
                f"fan-out of {width:,} no-ops, {executor}, fsynced",
                best_rate("fan_out_rate", width, executor),
                "tasks/s",
                goal,
                is_rate=True,
                limit=bare,
                limit_name=f"commit the rows by {limits.BATCH_ROWS}",
            )


def fresh_fork(scale: float) -> Iterator[Figure]:
    """Measure a process forked for each task."""
    yield Figure(
        "a fresh fork for each task",
        best_rate("fresh_fork_rate", max(int(1_000 * scale), 10)),
        "tasks/s",
        500,
        is_rate=True,
        limit=limits.fork_rate(),
        limit_name="fork one by one",
    )


def chain(scale: float) -> Iterator[Figure]:
    """Measure the gap between the tasks of a chain."""
    length = max(int(500 * scale), 5)
    with tempfile.TemporaryDirectory() as folder:
        commit = limits.commit_seconds(Path(folder))
    bare = {"inline": commit, "process": commit + limits.round_trip_seconds()}
    names = {"inline": "a commit", "process": "a commit and a message there and back"}
    for executor, goal in (("inline", 0.3), ("process", 0.5)):
        gaps = [workload("chain_gaps", length, executor) for _ in range(3)]
        median, p99 = min(gaps)
        label = f"gap in a chain of {length}, {executor}"
        yield Figure(
            f"{label}: median",
            median * 1e3,
            "ms",
            goal,
            limit=bare[executor] * 1e3,
            limit_name=names[executor],
        )
        yield Figure(f"{label}: 99th percentile", p99 * 1e3, "ms", 3.0)


def start_up(scale: float) -> Iterator[Figure]:
    """Measure whole processes from start to end."""
    repeats = max(int(15 * scale), 2)
    bare = limits.command_seconds(["-c", "pass"], repeats=repeats) * 1e3
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "hello.py"
        file.write_text(HELLO)
        environment = os.environ | {"OSTINATO_HOME": folder}
        for label, arguments, goal in (
            ("import ostinato", ["-c", "import ostinato"], 50),
            ("ostinato --version", ["-m", "ostinato", "--version"], 60),
            ("ostinato run, a file with one task", ["-m", "ostinato", "run", str(file)], 200),
        ):
            yield Figure(
                label,
                limits.command_seconds(arguments, repeats=repeats, env=environment) * 1e3,
                "ms",
                goal,
                limit=bare,
                limit_name="start the interpreter",
            )


def build(scale: float) -> Iterator[Figure]:
    """Measure building, validating and serialising a graph."""
    for tasks, goal in ((10_000, 0.3), (100_000, 3.0)):
        tasks = max(int(tasks * scale), 10)
        seconds, peak_mb = min(workload("build_graph", tasks) for _ in range(3))
        yield Figure(f"build a graph of {tasks:,}", seconds, "s", goal)
        yield Figure(f"build a graph of {tasks:,}: memory", peak_mb, "MB", 500)


def compute(scale: float) -> Iterator[Figure]:
    """Measure what a task costs that computes."""
    large = 33 if scale >= 1 else 15
    ratios = [workload("fib_ratio", large) for _ in range(3)]
    seconds, bare = min(ratios, key=lambda pair: pair[0] / pair[1])
    yield Figure(
        f"40 x fib(10), 10 x fib({large}) in a process",
        seconds / bare,
        "x",
        1.03,
        limit=1.0,
        limit_name=f"the loop, {bare:.2f} s",
    )


def scaling(scale: float) -> Iterator[Figure]:
    """Measure whether a task of a large run costs more than one of a small run."""
    small, large = max(int(1_000 * scale), 10), max(int(100_000 * scale), 100)
    rate = best_rate("fan_out_rate", small, "inline", repeats=5)
    yield Figure(
        f"cost of a task among {large:,}, against {small:,}",
        rate / best_rate("fan_out_rate", large, "inline"),
        "x",
        1.2,
    )


def templates(scale: float) -> Iterator[Figure]:
    """Measure rendering fields, each in an attempt of its own."""
    fields = max(int(50_000 * scale), 100)
    rate, bare = max(workload("template_rates", fields) for _ in range(3))
    yield Figure(
        "render a template field of three names",
        rate,
        "fields/s",
        20_000,
        is_rate=True,
        limit=bare,
        limit_name="Jinja with all names at hand",
    )


GROUPS: dict[str, Callable[[float], Iterator[Figure]]] = {
    "fan-out": fan_out,
    "fork": fresh_fork,
    "chain": chain,
    "start-up": start_up,
    "build": build,
    "compute": compute,
    "scaling": scaling,
    "templates": templates,
    "waiting": waiting.waiting,
    "pool": waiting.pool,
    "steps": steps.steps,
    "suspended": suspended.suspended,
    "files": files.files,
    "dev": dev.dev,
    "schedules": schedules.schedules,
    "service": service.service,
    "stores": stores.stores,
}

#: Measured only when it is named: it takes many minutes and gigabytes.
LARGE = "large"


def main() -> None:
    """Run the chosen benchmarks and print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "large", nargs="?", choices=[LARGE], help="a store with a million runs, and nothing else"
    )
    parser.add_argument("--only", default="", help=f"of {', '.join(GROUPS)}; commas between")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    groups = GROUPS | {LARGE: large.large}
    named = [name for name in options.only.split(",") if name] or list(GROUPS)
    chosen = [LARGE] if options.large else named
    figures: list[Figure] = []
    for name in chosen:
        print(f"measuring {name} ...", file=sys.stderr)
        figures.extend(groups[name](options.scale))
    print(format_table(figures))
    if options.json:
        rows = [vars(figure) | {"share": figure.share} for figure in figures]
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
