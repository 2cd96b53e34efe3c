"""This module measures how soon a worker has driven runs that are asked for all at once."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.result import Figure
from tests.postgres_server import postgres_server

FLOW = """
from ostinato import dag, task

@task
def greet():
    return "hello"

@dag
def hello():
    greet()

hello()
"""

#: Runs that are asked for at once, and how often.
RUNS, REPEATS = 200, 5

#: Seconds for which a worker is waited for.
PATIENCE_S = 60.0


def service(scale: float) -> Iterator[Figure]:
    """Measure 200 runs of one task, from the request to the end of the last, on both stores."""
    count = max(int(RUNS * scale), 5)
    yield _figure(count, "SQLite, fsynced", 500, "")
    with postgres_server() as server:
        yield _figure(count, "PostgreSQL", 300, server.new_database())


def _figure(count: int, store: str, goal: float, url: str) -> Figure:
    title = f"{count} runs of one task at once, one worker, {store}"
    return Figure(title, runs_rate(count, url), "runs/s", goal, is_rate=True)


def runs_rate(count: int, url: str, *, workers: int = 1) -> float:
    """Return how many runs a second are driven, from the request to the end of the last.

    Args:
        count: Runs that are asked for at once.
        url: Of the store; empty for a file.
        workers: Processes that drive them.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ostinato.yaml").write_text("name: bench\n")
        (folder / "flows").mkdir()
        (folder / "flows" / "hello.py").write_text(FLOW)
        environment = os.environ | ({"OSTINATO_STORE__URL": url} if url else {})
        os.environ.update(environment)
        command = [sys.executable, "-m", "ostinato", "worker", "--project", name]
        running = [
            subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
            for _ in range(workers)
        ]
        try:
            return _measure(folder, count, workers)
        finally:
            os.environ.pop("OSTINATO_STORE__URL", None)
            for each in running:
                each.send_signal(signal.SIGTERM)
            for each in running:
                each.wait(PATIENCE_S)


def _measure(folder: Path, count: int, workers: int) -> float:
    from ostinato.client.new_runs import SERVICE, run_to_create
    from ostinato.model.manifest import decode_manifest
    from ostinato.project.discovery import find_project
    from ostinato.project.target import Target
    from ostinato.store.opening import open_store_of

    project = find_project(Target(path=folder))
    until_s = time.monotonic() + PATIENCE_S
    while not project.data_dir.exists():
        _pause(until_s)
    store = open_store_of(project)
    try:
        while sum(each.kind == "worker" for each in store.coordinators()) < workers:
            _pause(until_s)
        version = store.manifest_versions("bench")[-1][0]
        data = store.load_manifest(version)
        assert data is not None
        flow = decode_manifest(data).flows[0]
        new = run_to_create(flow, version, {}, project=project, date_us=0, home=SERVICE)
        best = 0.0
        for repeat in range(REPEATS + 1):
            began_s = time.monotonic()
            rows = store.create_runs([new] * (1 if not repeat else count))
            for row in reversed(rows):
                while (found := store.run(row.id)) is None or not found.state.is_terminal:
                    time.sleep(0.001)
                    assert time.monotonic() < until_s, "the runs do not end"
            best = max(best, len(rows) / (time.monotonic() - began_s))
        return best
    finally:
        store.close()


def _pause(until_s: float) -> None:
    time.sleep(0.01)
    assert time.monotonic() < until_s, "no worker comes up"
