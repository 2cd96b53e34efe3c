"""This module measures what ``ostinato dev`` costs while it is idle, and how soon it is ready."""

import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.result import Figure
from tests.postgres_server import postgres_server

FLOW = """
from ostinato import dag, task

@task
def greet():
    return "hello"

@dag(schedule="0 6 * * *")
def flow{number}():
    greet()

flow{number}()
"""

EACH_SECOND = """
from datetime import timedelta
from ostinato import dag, task

@task
def greet():
    return "hello"

@dag(schedule=timedelta(seconds=1))
def flow{number}():
    greet()

flow{number}()
"""

#: Flows that fire each second while others are loaded.
TICKING = 20

#: Flows of the project, as many as a laptop's has.
FLOWS = 20

#: Seconds at which its flows must have fired: those of the first are late by its start, and are
#: left out.
TICKED = 3

#: Starts of which the best counts: noise of other work only ever slows down.
STARTS = 3

#: Seconds after which it is idle, and for which it is watched then.
SETTLE_S, WATCHED_S = 5.0, 20.0

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def dev(scale: float) -> Iterator[Figure]:
    """Measure a project of 20 flows, each with a schedule, and one of 1,000 that changes."""
    yield from reload(scale)
    yield from _dev(scale, "SQLite", {})
    with postgres_server() as server:
        yield from _dev(scale, "PostgreSQL", {"OSTINATO_STORE__URL": server.uri})


def _dev(scale: float, store: str, environment: dict[str, str]) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ostinato.yaml").write_text("name: bench\n")
        (folder / "flows").mkdir()
        for number in range(FLOWS):
            (folder / "flows" / f"flow{number}.py").write_text(FLOW.format(number=number))
        # The first start makes the store and its tables.
        _end(_start(folder, environment)[1])
        readies: list[float] = []
        for _ in range(STARTS - 1):
            ready_s, process, _url = _start(folder, environment)
            readies.append(ready_s)
            _end(process)
        ready_s, process, url = _start(folder, environment)
        readies.append(ready_s)
        try:
            time.sleep(SETTLE_S)
            pids = _family(process.pid)
            memory = sum(map(_pss_mb, pids))
            before = sum(map(_ticks, pids))
            watched_s = max(WATCHED_S * scale, 2.0)
            time.sleep(watched_s)
            share = (sum(map(_ticks, pids)) - before) / _TICKS_PER_S / watched_s * 100
            with urllib.request.urlopen(f"{url}/health/ready") as answer:
                answer.read()
            after = sum(map(_pss_mb, _family(process.pid)))
        finally:
            _end(process)
    yield Figure(f"dev, {store}: ready", min(readies) * 1000, "ms", 1000)
    yield Figure(f"dev, {store}: idle memory (PSS)", memory, "MB", 120)
    yield Figure(f"dev, {store}: the same after a request by HTTP", after, "MB", 140)
    yield Figure(f"dev, {store}: idle processes", len(pids), "", 3)
    yield Figure(f"dev, {store}: idle CPU", share, "%", 0.5)


def reload(scale: float) -> Iterator[Figure]:
    """Measure a project of 1,000 files of which one is saved, again and again.

    Twenty of its flows fire each second meanwhile.
    """
    files, saves = max(int(1_000 * scale), 20), max(int(10 * scale), 2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ostinato.yaml").write_text("name: bench\n")
        (folder / "flows").mkdir()
        for number in range(files):
            text = FLOW if number >= TICKING else EACH_SECOND
            (folder / "flows" / f"flow{number}.py").write_text(text.format(number=number))
        _, process, _ = _start(folder, {})
        assert process.stdout is not None
        store = folder / ".ostinato" / "store.db"
        taken: list[float] = []
        try:
            for number in range(saves):
                time.sleep(0.7)
                with open(folder / "flows" / f"flow{files - 1}.py", "a") as file:
                    file.write(f"# {number}\n")
                saved_s = time.perf_counter()
                while "the code has changed" not in process.stdout.readline():
                    pass
                taken.append(time.perf_counter() - saved_s)
            while _seconds_fired(store) < TICKED:
                time.sleep(0.1)
        finally:
            _end(process)
        late_ms = _lateness_ms(store)
    work = f"one of {files:,} files is saved"
    yield Figure(f"{work}: in force, median", statistics.median(taken) * 1000, "ms", 1000)
    yield Figure(f"{work}: latest tick meanwhile", late_ms, "ms", 100)


def _seconds_fired(store: Path) -> int:
    with closing(sqlite3.connect(store)) as connection:
        ((count,),) = connection.execute("SELECT count(DISTINCT logical_date_us) FROM runs")
    return int(count)


def _lateness_ms(store: Path) -> float:
    """Return how late the latest run of a schedule was recorded, the first second apart."""
    with closing(sqlite3.connect(store)) as connection:
        ((late,),) = connection.execute(
            "SELECT max(created_us - logical_date_us) FROM runs WHERE logical_date_us > "
            "(SELECT min(logical_date_us) FROM runs)"
        )
    return float(late) / 1000


def _start(folder: Path, environment: dict[str, str]) -> tuple[float, "subprocess.Popen[str]", str]:
    began_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "ostinato", "dev", "--port", "0"],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("http"):
            return time.perf_counter() - began_s, process, line.split()[0]
    raise RuntimeError("ostinato dev has ended")


def _end(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGTERM)
    process.wait()


def _family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def _pss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
