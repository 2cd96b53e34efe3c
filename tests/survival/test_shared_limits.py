"""Processes of one project never pass a limit together, whatever becomes of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.survival.chaos_ledger import NOTES, POOL_SLOTS, Line, read_ledger

pytestmark = [pytest.mark.survival, pytest.mark.slow]

SOURCES = Path(__file__).resolve().parents[2] / "src"

FLOW = (
    NOTES.replace("WORK_S", "0.3")
    + """

@dag(default_args={"lost_attempts": 10})
def wide():
    @task(pool="narrow")
    def load(number):
        with one_of("narrow", POOL_SLOTS, "over"):
            note("ran", number)
            work()

    load.expand(number=list(range(40)))


wide()
"""
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "ostinato.yaml").write_text(
        f"name: limits\nmax_children: 4\npools: {{narrow: {POOL_SLOTS}}}\n"
    )
    (tmp_path / "locks").mkdir()
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "wide.py").write_text(FLOW)
    return tmp_path


def run(project: Path) -> "subprocess.Popen[bytes]":
    """Begin a run in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "ostinato", "run", "wide"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for(condition: Callable[[], bool]) -> None:
    """Poll until something holds."""
    until_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.005)


def ledger(project: Path) -> list[Line]:
    """Return what the tasks wrote."""
    return read_ledger(project / "ledger.txt")


def runs_seen(project: Path) -> set[str]:
    """Return the runs that have executed something."""
    return {line.run for line in ledger(project)}


def test_runs_of_two_processes_share_a_pool(project: Path) -> None:
    first, second = run(project), run(project)

    codes = [first.wait(60), second.wait(60)]

    assert codes == [0, 0]
    assert len(runs_seen(project)) == 2
    assert [line for line in ledger(project) if line.word == "over"] == []


def test_slots_of_a_killed_process_come_back_once_its_children_are_gone(project: Path) -> None:
    first = run(project)
    wait_for(lambda: len(ledger(project)) >= POOL_SLOTS)
    second = run(project)
    # It is shut out of the pool, or has a part of it.
    wait_for(lambda: len(ledger(project)) >= 2 * POOL_SLOTS)
    first.send_signal(signal.SIGKILL)

    code = second.wait(60)

    first.wait(30)
    last = max(runs_seen(project))
    assert code == 0
    assert len({line.place for line in ledger(project) if line.run == last}) == 40
    assert [line for line in ledger(project) if line.word == "over"] == []
