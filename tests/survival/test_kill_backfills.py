"""A backfill makes each of its runs once, whichever process is killed while it goes on."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ostinato.model.backfill import DateState
from ostinato.store.postgres.store import open_postgres
from ostinato.store.protocol import Store
from ostinato.store.sqlite import open_store

pytestmark = [pytest.mark.survival, pytest.mark.slow]

SOURCES = Path(__file__).resolve().parents[2] / "src"
DATES = 120
HOURLY = ("--every", "hour")
TIMEOUT_S = 60

FLOW = """
import os

from ostinato import dag, task


@task
def note(ts=None):
    file = os.open("ledger.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{ts}\\n".encode())
    os.close(file)


@dag
def etl():
    note()


etl()
"""

Begin = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty store, or empty for a file."""
    found = request.getfixturevalue("postgres_store_uri") if request.param == "postgres" else ""
    return str(found)


@pytest.fixture
def project(tmp_path: Path, url: str) -> Path:
    settings = f"name: shop\nstore: {{durability: relaxed, lease_s: 2, url: '{url}'}}\n"
    (tmp_path / "ostinato.yaml").write_text(f"{settings}storage: {{shared: true}}\n")
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "etl.py").write_text(FLOW)
    return tmp_path


@pytest.fixture
def begin(project: Path) -> Iterator[Begin]:
    """Start a command; what still runs at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, "-m", "ostinato", *arguments],
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


def counts(store: Store) -> dict[DateState, int]:
    return store.backfills.counts(1)


def opened(project: Path, url: str) -> Store:
    return open_postgres(url) if url else open_store(project / ".ostinato" / "store.db")


def test_backfill_survives_its_scheduler_and_its_worker(
    project: Path, url: str, begin: Begin
) -> None:
    worker, scheduler = begin("worker"), begin("scheduler")
    begin("backfill", "create", "etl", "--from", "2025-01-01", "--to", "2025-01-05", *HOURLY).wait()
    with closing(opened(project, url)) as store:
        wait_for(lambda: counts(store).get(DateState.SUCCEEDED, 0) >= DATES // 6)
        scheduler.send_signal(signal.SIGKILL)
        begin("scheduler")
        wait_for(lambda: counts(store).get(DateState.SUCCEEDED, 0) >= DATES // 2)
        worker.send_signal(signal.SIGKILL)
        begin("worker")

        wait_for(lambda: not store.backfills.live("shop"))

        row = store.backfills.find(1)
        assert row is not None
        assert row.state == "succeeded"
        assert counts(store) == {DateState.SUCCEEDED: DATES}
        dates = store.backfills.dates(1)
        runs = [store.run(date.run_id) for date in dates]  # type: ignore[arg-type]  # an int
        assert [run.logical_date_us for run in runs if run] == [date.date_us for date in dates]
        assert store.check_integrity() == []
    # What ran when the worker was killed may have run twice; nothing else did.
    ledger = Counter((project / "ledger.txt").read_text().split())
    assert len(ledger) == DATES
    assert sum(ledger.values()) - DATES <= 10
