"""Callbacks of runs of the command line: in processes of their own, done after kills too."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ostinato

FLOW = """\
import os
import time
from pathlib import Path

from ostinato import dag, task

FOLDER = Path(__file__).parent


def note(text):
    with open(FOLDER / "ledger.txt", "a") as ledger:
        ledger.write(f"{os.getpid()} {text}\\n")


def tell(context):
    print("telling of", context["task_id"])
    note(context["moment"])


def broken(context):
    raise ValueError("nobody listens")


def hang(context):
    note("hang")
    if (FOLDER / "hangs").exists():
        time.sleep(60)


def leave(context):
    note("leave")
    os._exit(3)


@dag(on_failure=[broken, hang])
def etl():
    @task(on_start=tell, on_failure=tell)
    def load():
        note("load")
        raise ValueError("row 3 is bad")

    load()


@dag(on_success=leave)
def leaving():
    @task
    def load():
        return 1

    load()


etl()
leaving()
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def project(folder: Path) -> Path:
    (folder / "ostinato.yaml").write_text("name: shop\nflows: [etl.py]\n")
    (folder / "etl.py").write_text(FLOW)
    return folder


def ledger(folder: Path) -> list[str]:
    lines = (folder / "ledger.txt").read_text().splitlines()
    return [line.partition(" ")[2] for line in lines]


def test_callbacks_run_beside_tasks_and_are_shown(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl", code=1)

    shown = ostinato("show", "etl").out
    assert sorted(ledger(project)) == ["failure", "hang", "load", "start"]
    assert "callbacks and alerts" in shown
    assert "etl.py:21: ValueError: nobody listens" in shown
    assert "ValueError: row 3 is bad" in ostinato("show", "etl", "load").out
    as_json = ostinato("show", "etl", "--format", "json").json
    assert {each["state"] for each in as_json["notices"]} == {"done", "failed"}
    logs = sorted((project / ".ostinato" / "logs").glob("*/+notices/*.jsonl"))
    assert sum("telling of load" in log.read_text() for log in logs) == 2
    assert "telling of" not in ostinato("logs", "etl").out


def test_a_callback_whose_process_dies_is_tried_again_and_given_up(
    project: Path, ostinato: Ostinato
) -> None:
    ostinato("run", "leaving")

    (notice,) = ostinato("show", "leaving", "--format", "json").json["notices"]
    assert ledger(project) == ["leave"] * 3
    assert notice["state"] == "failed"
    assert notice["failure"]["kind"] == "lost"


def test_what_a_killed_process_left_is_told_by_the_next(
    project: Path, ostinato: Ostinato, begin: Callable[..., "subprocess.Popen[str]"]
) -> None:
    (project / "hangs").touch()
    process = begin("run", "etl")
    while not (project / "ledger.txt").exists() or "hang" not in ledger(project):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (project / "hangs").unlink()
    shown = ostinato("show", "etl", "--format", "json").json
    assert shown["state"] == "failed"
    assert [each["state"] for each in shown["notices"]].count("pending") >= 1

    ostinato("resume", "etl", code=1)

    shown = ostinato("show", "etl", "--format", "json").json
    assert ledger(project).count("hang") == 2
    assert ledger(project).count("load") == 1
    assert {each["state"] for each in shown["notices"]} == {"done", "failed"}
    assert "has ended" in ostinato("resume", "etl", code=2).err


@pytest.mark.slow
def test_who_waits_for_a_callback_is_told_so_and_may_leave(
    project: Path, ostinato: Ostinato, begin: Callable[..., "subprocess.Popen[str]"]
) -> None:
    (project / "hangs").touch()
    process = begin("run", "etl")
    assert process.stderr is not None

    said = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()

    assert said.startswith("waiting for callbacks and alerts")
    assert process.returncode == 1
    assert "etl#1 failed" in out
    shown = ostinato("show", "etl", "--format", "json").json
    assert "pending" in {each["state"] for each in shown["notices"]}
