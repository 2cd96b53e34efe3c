"""This module measures flows that are functions: a durable step, a replay, a plain script."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import limits
from benchmarks.result import Figure

FLOW = """
import json
import os
import sys
import time

from ostinato import flow, task


@task
def nothing(number):
    return number


@flow
def steps(count: int, width: int):
    seconds = []
    for number in range(count):
        began = time.perf_counter()
        nothing(number)
        seconds.append(time.perf_counter() - began)
    seconds.sort()
    began = time.perf_counter()
    submitted = 0
    while submitted < count:
        for future in [nothing.submit(number) for number in range(width)]:
            future.result()
        submitted += width
    rate = submitted / (time.perf_counter() - began)
    return [seconds[count // 2], seconds[int(count * 0.99)], rate]


@flow
def long(count: int):
    began = time.perf_counter()
    for number in range(count):
        nothing(number)
    seconds = time.perf_counter() - began
    if not os.path.exists("again"):
        open("again", "w").close()
        os.kill(os.getppid(), 9)
        time.sleep(60)
    return seconds


if __name__ == "__main__":
    print(json.dumps(steps(int(sys.argv[1]), int(sys.argv[2]))))
"""

HELLO = """
from ostinato import flow, task

@task
def greet():
    return "hello"

@flow
def hello():
    return greet()

if __name__ == "__main__":
    hello()
"""


def steps(scale: float) -> Iterator[Figure]:
    """Measure durable steps, one at a time and 100 at a time, their replay, and a plain script."""
    count = max(int(2_000 * scale), 20)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "steps.py").write_text(FLOW)
        (folder / "hello.py").write_text(HELLO)
        environment = os.environ | {"OSTINATO_HOME": name}
        commit_ms = limits.commit_seconds(folder) * 1e3
        out = _output(folder, environment, "steps.py", str(count), "100")
        median_s, p99_s, rate = json.loads(out)
        work = "a durable step, fsynced"
        yield Figure(
            f"{work}: median", median_s * 1e3, "ms", 0.3, limit=commit_ms, limit_name="one commit"
        )
        yield Figure(f"{work}: p99", p99_s * 1e3, "ms", 3)
        yield Figure("100 submitted steps at a time", rate, "steps/s", 5_000, is_rate=True)
        replayed = max(int(10_000 * scale), 20)
        yield Figure(
            f"replay of {replayed:,} steps", _replay(folder, environment, replayed), "s", 0.5
        )
        bare = limits.command_seconds(["-c", "pass"], repeats=5) * 1e3
        script_ms = limits.command_seconds([str(folder / "hello.py")], repeats=5, env=environment)
        yield Figure(
            "a plain script, one flow of one task",
            script_ms * 1e3,
            "ms",
            250,
            limit=bare,
            limit_name="start the interpreter",
        )


def _replay(folder: Path, environment: dict[str, str], count: int) -> float:
    """Return how long a flow takes whose steps are all recorded, as it measures itself."""
    # Its process is killed when all are recorded; the next attempt replays them.
    arguments = ["run", "steps.py:long", "-p", f"count={count}", "--format", "json"]
    _output(folder, environment, "-m", "ostinato", *arguments)
    shown: Any = json.loads(
        _output(folder, environment, "-m", "ostinato", "show", "long", "@body", "--format", "json")
    )
    return float(shown["values"][0]["content"])


def _output(folder: Path, environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout
