"""This module measures workers on PostgreSQL, and what many runs at once cost a store."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.result import Figure
from ostinato.client.new_runs import SERVICE, run_to_create
from ostinato.model.manifest import decode_manifest
from ostinato.project.discovery import find_project
from ostinato.project.target import Target
from ostinato.store.opening import open_store_of
from ostinato.store.protocol import Store
from ostinato.store.records import NewRun
from tests.postgres_server import postgres_server

FLOWS = """
from ostinato import dag, task

@task
def nothing(number):
    pass

@dag
def one():
    nothing.expand(number=list(range({width})))

@dag
def two():
    nothing.expand(number=list(range({width})))

one()
two()
"""

#: Tasks of a run, and how often the runs are started.
WIDTH, REPEATS = 4_000, 3

#: Runs that are created in one commit.
MANY = 10_000

#: Seconds for which runs are waited for.
PATIENCE_S = 120.0


class Speed(NamedTuple):
    """How fast tasks are done.

    Attributes:
        rate: Tasks a second.
        cpu_s: Seconds of cores that each takes, of all processes of the machine.
    """

    rate: float
    cpu_s: float


def stores(scale: float) -> Iterator[Figure]:
    """Measure tasks of one worker and of two on PostgreSQL, and the creation of many runs."""
    with postgres_server({"fsync": "on", "full_page_writes": "on"}) as server:
        width = max(int(WIDTH * scale), 50)
        alone = tasks_speed(server.new_database(), width, [("one",)])
        title = f"fan-out of {width:,} no-ops in processes, PostgreSQL, fsynced"
        yield Figure(f"{title}, one worker", alone.rate, "tasks/s", 4_000, is_rate=True)
        both = tasks_speed(server.new_database(), width, [("one",), ("two",)])
        cores = len(os.sched_getaffinity(0))
        yield Figure(
            f"{title}, two workers on a run each",
            both.rate,
            "tasks/s",
            1.7 * alone.rate,
            is_rate=True,
            limit=cores / alone.cpu_s,
            limit_name=f"{cores} cores, at the {alone.cpu_s * 1e6:.0f} µs a task takes of one",
        )
        count = max(int(MANY * scale), 100)
        title = f"{count:,} runs with keys created in one commit"
        took_s = creation_seconds(count, server.new_database())
        yield Figure(f"{title}, PostgreSQL", took_s, "s", 0.2)
        yield Figure(f"{title}, SQLite", creation_seconds(count, ""), "s", 0.2)


def creation_seconds(count: int, url: str) -> float:
    """Return the fewest seconds that creating runs of as many flows took.

    Args:
        count: How many.
        url: Of the store; empty for a file.
    """
    with tempfile.TemporaryDirectory() as name:
        store = _open(Path(name), url)
        store.save_manifest("v", "bench", b"")
        best = PATIENCE_S
        for repeat in range(REPEATS):
            runs = [
                NewRun(
                    "bench", f"flow{number}", "v", home=SERVICE, logical_key=f"schedule:x:{repeat}"
                )
                for number in range(count)
            ]
            began_s = time.monotonic()
            store.create_runs(runs)
            best = min(best, time.monotonic() - began_s)
        store.close()
        return best


def tasks_speed(url: str, width: int, workers: Sequence[tuple[str, ...]]) -> Speed:
    """Return how fast workers get tasks done, from the request to the end of the last.

    Args:
        url: Of the store.
        width: Tasks of each run.
        workers: For each worker the flows that it drives; each flow gets a run.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = os.environ | {"OSTINATO_STORE__URL": url}
        (folder / "flows").mkdir()
        (folder / "flows" / "wide.py").write_text(FLOWS.format(width=width))
        store = _open(folder, url)
        command = [sys.executable, "-m", "ostinato", "worker", "--project", name]
        running = [
            subprocess.Popen(
                [*command, *(f"--flow={flow}" for flow in flows)],
                env=environment,
                stderr=subprocess.DEVNULL,
            )
            for flows in workers
        ]
        try:
            _until(lambda: sum(c.kind == "worker" for c in store.coordinators()) == len(workers))
            # The code of all has been loaded when each has driven a run.
            return max(_speed(store, folder, width, workers) for _ in range(REPEATS + 1))
        finally:
            for process in running:
                process.send_signal(signal.SIGTERM)
            for process in running:
                process.wait(PATIENCE_S)
            store.close()


def _speed(store: Store, folder: Path, width: int, workers: Sequence[tuple[str, ...]]) -> Speed:
    version = store.manifest_versions("bench")[-1][0]
    data = store.load_manifest(version)
    assert data is not None
    project = find_project(Target(path=folder))
    manifest = decode_manifest(data)
    wanted = {name for names in workers for name in names}
    new = [
        run_to_create(flow, version, {}, project=project, date_us=0, home=SERVICE)
        for flow in manifest.flows
        if flow.name in wanted
    ]
    busy_s, began_s = _busy_s(), time.monotonic()
    rows = store.create_runs(new)
    for row in rows:
        _until(lambda: (found := store.run(row.id)) is not None and found.state.is_terminal)  # noqa: B023 - called at once
        assert (found := store.run(row.id)) is not None
        assert found.state.label == "succeeded", found.reason
    tasks = width * len(rows)
    return Speed(tasks / (time.monotonic() - began_s), (_busy_s() - busy_s) / tasks)


def _busy_s() -> float:
    """Return the seconds that the cores of the machine were busy since it was started."""
    ticks = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle, waiting = ticks[3:5]
    return (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def _open(folder: Path, url: str) -> Store:
    store = f"store: {url}\n" if url else ""
    (folder / "ostinato.yaml").write_text(f"name: bench\n{store}")
    project = find_project(Target(path=folder))
    return open_store_of(project)


def _until(is_so: Callable[[], bool]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not is_so():
        time.sleep(0.005)
        assert time.monotonic() < until_s, "what is waited for does not come"
