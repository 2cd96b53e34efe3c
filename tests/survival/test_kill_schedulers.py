"""Each moment of a schedule has one run, whichever scheduler is killed, stopped or ended when."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ostinato.store.protocol import RunFilter
from ostinato.store.sqlite import SqliteStore, open_store

pytestmark = [pytest.mark.survival, pytest.mark.slow]

SOURCES = Path(__file__).resolve().parents[2] / "src"
TIMEOUT_S = 60
EVERY_US = 250_000
FLOWS = 10

CODE = """
from datetime import timedelta
from ostinato import DAG, BashOperator

for number in range(10):
    with DAG(f"each_{number}", schedule=timedelta(seconds=0.25), catchup=number > 0):
        BashOperator(task_id="work", bash_command="true")
"""

Begin = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "ostinato.yaml").write_text("name: shop\nstore: {durability: relaxed}\n")
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "each.py").write_text(CODE)
    return tmp_path


@pytest.fixture
def begin(project: Path) -> Iterator[Begin]:
    """Start a scheduler; what still runs at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, "-m", "ostinato", "scheduler"],
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], bool]) -> None:
    """Poll until something holds."""
    until_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def dates_of(store: SqliteStore, flow: str) -> list[int]:
    """Return the logical dates of all runs of a flow, in their order."""
    found, cursor = [], ""
    while True:
        page, cursor = store.runs(RunFilter(flow=flow), cursor=cursor, limit=1000)
        found += [run.logical_date_us for run in page]
        if not cursor:
            return sorted(found)


def holder_of(store: SqliteStore) -> int:
    """Return the process that fires, 0 if none does."""
    holder = store.role_holder("scheduler:shop")
    return holder.pid if holder is not None else 0


def test_each_moment_fires_once_whichever_scheduler_is_killed(
    project: Path, begin: Begin, scale: Callable[[int, int], int]
) -> None:
    chance = random.Random(7)
    schedulers = {process.pid: process for process in (begin(), begin())}
    with closing(open_store(project / ".ostinato" / "store.db")) as store:
        for _ in range(scale(4, 40)):
            before = len(dates_of(store, "each_1"))
            wait_for(lambda known=before: len(dates_of(store, "each_1")) > known + 2)  # type: ignore[misc]  # bound now
            wait_for(lambda: holder_of(store) in schedulers)
            victim = holder_of(store)
            ending = chance.choice([signal.SIGKILL, signal.SIGTERM])
            schedulers.pop(victim).send_signal(ending)
            successor = begin()
            schedulers[successor.pid] = successor
        before = len(dates_of(store, "each_1"))
        wait_for(lambda: len(dates_of(store, "each_1")) > before)

        for process in schedulers.values():
            process.send_signal(signal.SIGTERM)
        for process in schedulers.values():
            # One that has only begun does not handle it yet.
            assert process.wait(TIMEOUT_S) in (0, -signal.SIGTERM)

        # With catch-up every moment has its run, without it none has two.
        for number in range(1, FLOWS):
            dates = dates_of(store, f"each_{number}")
            assert dates == list(range(dates[0], dates[-1] + 1, EVERY_US))
        dates = dates_of(store, "each_0")
        assert len(set(dates)) == len(dates)
        assert store.check_integrity() == []
        assert store.role_holder("scheduler:shop") is None
