"""This module tests ``ostinato debug``: a recorded task run once more."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Ostinato

pytestmark = pytest.mark.slow


def test_a_task_of_a_graph_gets_its_recorded_inputs(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl", "-p", "rows=2")
    before = ostinato("show", "etl#1", "--format", "json").out

    assert ostinato("debug", "etl#1", "load", "--debugger", "none").out == "result 2\n"
    assert ostinato("debug", "etl#1", "double[1]", "--debugger", "none").out == "result 2\n"
    assert "extracting 2" in ostinato("debug", "etl#1", "extract", "--debugger", "none").out
    assert "Skip: nothing to do" in ostinato("debug", "etl", "never", "--debugger", "none").out
    assert ostinato("show", "etl#1", "--format", "json").out == before


def test_a_failure_is_shown(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl", "-p", "bad_row=1", code=1)

    told = ostinato("debug", "etl#1", "double[1]", "--debugger", "none", code=1).out
    assert "ValueError: row 1 is bad" in told
    assert 'raise ValueError(f"row {row} is bad")' in told


def test_what_cannot_be_debugged_is_one_line(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl")

    assert "name one such as double[0]" in ostinato("debug", "etl#1", "double", code=2).err
    assert "did you mean 'load'" in ostinato("debug", "etl#1", "laod", code=2).err
    assert "no task run" in ostinato("debug", "etl#1", "double[7]", code=2).err
    told = ostinato("debug", "etl#1", "load", "--debugger", "nope", code=2).err
    assert "there is no debugger 'nope'" in told
    told = ostinato("debug", "etl#1", "load", "--debugger", "json", code=2).err
    assert "is no debugger" in told


def type_into(folder: Path, environ: dict[str, str], typed: str, *arguments: str) -> str:
    """Run a command with something typed, and return what it wrote."""
    done = subprocess.run(
        [sys.executable, "-m", "ostinato", *arguments],
        cwd=folder,
        env=environ,
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def test_the_debugger_stops_in_the_task(
    project: Path, environ: dict[str, str], ostinato: Ostinato
) -> None:
    ostinato("run", "etl", "-p", "bad_row=1", code=1)

    told = type_into(project, environ, "p row * 100\nc\n", "debug", "etl#1", "double[2]")
    assert "200" in told
    assert "result 4" in told
    told = type_into(project, environ, "c\np ('row', row)\nq\n", "debug", "etl#1", "double[1]")
    assert "('row', 1)" in told
    assert "left" in type_into(project, environ, "q\n", "debug", "etl#1", "double[1]")


FLOW = """
import asyncio

from ostinato import flow, task


@task
def step(number):
    with open("ledger.txt", "a") as ledger:
        ledger.write(f"{number}\\n")
    return number * 2


@task(cache="inputs")
def kept(number):
    return number * 5


@flow
def caching():
    return kept(1) + kept(2)


@task
async def late(number):
    await asyncio.sleep(0)
    return number * 3


@task(retries=1, retry_delay=0)
def picky(number):
    raise ValueError(f"no {number}")


@flow
def sums():
    first = step(1)
    second = step.submit(first)
    return picky(second.result())


@flow
async def loops():
    return sum(await asyncio.gather(late(1), late(2)))
"""


def test_steps_and_bodies(folder: Path, environ: dict[str, str], ostinato: Ostinato) -> None:
    (folder / "flows.py").write_text(FLOW)
    ostinato("run", "flows.py:sums", code=1)
    ostinato("run", "flows.py:loops")
    ledger = folder / "ledger.txt"
    assert ledger.read_text() == "1\n2\n"

    assert ostinato("debug", "sums", "step[1]", "--debugger", "none").out == "result 4\n"
    # Only the step that is meant has been executed again.
    assert ledger.read_text() == "1\n2\n2\n"
    told = ostinato("debug", "sums", "picky", "--debugger", "none", code=1).out
    assert "ValueError: no 4" in told
    assert (
        "ValueError: no 4" in ostinato("debug", "sums", "@body", "--debugger", "none", code=1).out
    )
    assert ostinato("debug", "loops", "@body", "--debugger", "none").out == "result 9\n"
    assert ostinato("debug", "loops", "late[1]", "--debugger", "none").out == "result 6\n"
    assert "several steps" in ostinato("debug", "loops", "late", code=2).err
    assert "no task run 'nope'" in ostinato("debug", "loops", "nope", code=2).err
    assert ledger.read_text() == "1\n2\n2\n"

    ostinato("run", "flows.py:caching")
    assert ostinato("debug", "caching", "kept[1]", "--debugger", "none").out == "result 10\n"
    assert ostinato("debug", "caching", "@body", "--debugger", "none").out == "result 15\n"

    told = type_into(folder, environ, "c\np number\nq\n", "debug", "sums", "picky")
    assert "4" in told
    told = type_into(folder, environ, "s\np 'here', number\nc\n", "debug", "loops", "late[0]")
    assert "result 3" in told


OTHER = """
import pdb


class Other(pdb.Pdb):
    pass


def runcall(*args, **kwargs):
    return Other().runcall(*args, **kwargs)


def set_trace():
    import sys

    Other().set_trace(sys._getframe(1))


def post_mortem(traceback):
    import bdb

    raise bdb.BdbQuit
"""


@pytest.mark.parametrize("debugger", ["pdb", "other"])
@pytest.mark.parametrize("task", ["step[0]", "@body", "late[1]", "picky"])
def test_the_debugger_is_left_without_a_trace(
    folder: Path, environ: dict[str, str], ostinato: Ostinato, debugger: str, task: str
) -> None:
    (folder / "flows.py").write_text(FLOW)
    (folder / "other.py").write_text(OTHER)
    run = "loops" if task == "late[1]" else "sums"
    ostinato("run", f"flows.py:{run}", code=0 if run == "loops" else 1)
    before = (folder / "ledger.txt").read_text() if (folder / "ledger.txt").exists() else ""

    told = type_into(folder, environ, "q\n", "debug", run, task, "--debugger", debugger)

    assert told.splitlines()[-1].endswith("left")
    assert "Traceback" not in told
    after = (folder / "ledger.txt").read_text() if (folder / "ledger.txt").exists() else ""
    assert after == before


def test_look_at_a_failure_ends_as_the_debugger_likes(
    project: Path, environ: dict[str, str], ostinato: Ostinato
) -> None:
    (project / "other.py").write_text(OTHER)
    ostinato("run", "etl", "-p", "bad_row=1", code=1)

    told = type_into(project, environ, "c\n", "debug", "etl#1", "double[1]", "--debugger", "other")

    assert "row 1 is bad" in told
    assert "Traceback" not in told
