"""This module measures what waiting costs: deferred sensors, and how soon they go on."""

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.result import Figure

#: Seconds over which the processor time of waiting is counted; files are looked at twice then.
WINDOW_S = 60.0

#: Seconds beside the window before the moment that many sensors wait for: to start up, to count.
LEAD_S = 5.0

#: Sensors that are surely deferred in a second; all must wait before the window begins.
SLOWEST_RATE = 500

#: Seconds that the sensors may take until all of them wait, at full scale.
PATIENCE_S = 300.0

FLOW = """
import os
from datetime import UTC, datetime

from ostinato import DAG, DateTimeSensor, FileSensor

count, released = int(os.environ["SENSORS"]), int(os.environ["RELEASED"])
# The moment is set when all of them wait.
moment = os.environ["MOMENT"]

with DAG("waiting") as waiting:
    FileSensor.partial(task_id="files", poke_interval=30).expand(
        filepath=[f"inbox/{number}.csv" for number in range(count - released)]
    )
    DateTimeSensor.partial(task_id="moments").expand(target_time=[moment] * released)
"""

POOL_SETTINGS = """
name: pool
max_children: 16
pools:
  narrow: 16
"""

POOL_FLOW = """
import os
import time

from ostinato import dag, task


@dag
def pool():
    @task(pool="narrow")
    def wait(number):
        time.sleep(0.01)

    wait.expand(number=list(range(int(os.environ["WIDTH"]))))


pool()
"""


def waiting(scale: float) -> Iterator[Figure]:
    """Measure 10,000 deferred sensors, and the release of 1,000 of them at once."""
    count, released = max(int(10_000 * scale), 20), max(int(1_000 * scale), 10)
    window_s = max(WINDOW_S * scale, 2.0)
    moment_s = time.time() + count / SLOWEST_RATE + window_s + LEAD_S
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "waiting.py"
        file.write_text(FLOW)
        environment = os.environ | {
            "OSTINATO_HOME": folder,
            "SENSORS": str(count),
            "RELEASED": str(released),
            "MOMENT": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(moment_s)),
        }
        with _running(file, environment) as process:
            store = Path(folder) / "store.db"
            _wait_until_deferred(store, count)
            before_s = _processor_s(process.pid)
            time.sleep(window_s)
            used_s = _processor_s(process.pid) - before_s
            memory_mb = _memory_mb(process.pid)
            ended_s = _wait_until_ended(store, released)
    yield Figure(f"{count:,} deferred sensors: memory of all processes", memory_mb, "MB", 200)
    yield Figure(f"{count:,} deferred sensors: share of a core", used_s / window_s * 100, "%", 5)
    late_s = ended_s - int(moment_s)
    yield Figure(f"{released:,} of them released at once have run after", late_s, "s", 1.0)


def pool(scale: float) -> Iterator[Figure]:
    """Measure how busy the slots of a pool are kept by tasks that last 10 ms."""
    width = max(int(10_000 * scale), 50)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ostinato.yaml").write_text(POOL_SETTINGS)
        (Path(folder) / "flows").mkdir()
        file = Path(folder) / "flows" / "pool.py"
        file.write_text(POOL_FLOW)
        environment = os.environ | {"WIDTH": str(width)}
        with _running(file, environment) as process:
            process.wait()
        with closing(sqlite3.connect(Path(folder) / ".ostinato" / "store.db")) as connection:
            query = """
                SELECT sum(ended_us - started_us), max(ended_us) - min(started_us)
                FROM task_runs WHERE state = 5
            """
            busy_us, whole_us = connection.execute(query).fetchone()
    share = busy_us / whole_us / 16 * 100
    yield Figure(
        f"{width:,} tasks of 10 ms over a pool of 16 slots: execute", share, "%", 95, is_rate=True
    )


@contextmanager
def _running(file: Path, environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "ostinato", "run", str(file), "--format", "json"]
    process = subprocess.Popen(
        command, env=environment, cwd=file.parent, stdout=subprocess.DEVNULL, stderr=sys.stderr
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _wait_until_deferred(store: Path, count: int) -> None:
    _wait(lambda: _count(store, "state = 4") >= count)


def _wait_until_ended(store: Path, count: int) -> float:
    """Return when the last one has ended, in seconds since the epoch."""
    _wait(lambda: _count(store, "state = 5") >= count)
    with closing(sqlite3.connect(store)) as connection:
        query = "SELECT max(ended_us) FROM task_runs WHERE state = 5"
        return float(connection.execute(query).fetchone()[0]) / 1e6


def _wait(look: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not look():
        if time.monotonic() > end_s:
            message = "the sensors neither waited nor went on"
            raise TimeoutError(message)
        time.sleep(0.2)


def _count(store: Path, condition: str) -> int:
    if not store.exists():
        return 0
    with closing(sqlite3.connect(store)) as connection:
        try:
            query = f"SELECT count(*) FROM task_runs WHERE {condition}"
            return int(connection.execute(query).fetchone()[0])
        except sqlite3.OperationalError:  # the tables are not there yet
            return 0


def _tree(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += _tree(int(child))
    return found


def _processor_s(pid: int) -> float:
    """Return the processor time of a process and all that descend from it."""
    ticks = 0
    for each in _tree(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        # Its own time and that of children it has waited for: user, system, both of each.
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _memory_mb(pid: int) -> float:
    """Return the memory of a process and its descendants, shared pages counted once."""
    kilobytes = 0
    for each in _tree(pid):
        for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                kilobytes += int(line.split()[1])
    return kilobytes / 1024
