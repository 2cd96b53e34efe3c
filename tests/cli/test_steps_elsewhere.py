"""This module tests steps in other processes from the command line: limits, deadlocks, cancels."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ostinato.model.state import TaskRunState
from ostinato.store.protocol import RunFilter
from ostinato.store.sqlite import open_store
from tests.cli.conftest import Ostinato
from tests.cli.test_functions import Begin

pytestmark = pytest.mark.slow

PATIENCE_S = 30.0

FLOWS = """
import os
import time
from pathlib import Path

from ostinato import flow, task


@task(executor="process")
def deep(number):
    return 1 + deep(number - 1) if number else 0


@task(pool="one")
def takes_the_slot(number):
    busy = Path("busy")
    was_free = not busy.exists()
    busy.touch()
    busy.unlink()
    return was_free


@flow
def inner():
    return deep(2)


@flow(pool="one")
def nested():
    mapped = takes_the_slot.map([1, 2, 3]).result()
    assert [deep(4), inner(), *mapped] == [4, 2, True, True, True]


@task(pool="one", priority=1)
def late(name):
    note(name)


@task(pool="one", priority=9)
def early(name):
    note(name)


@task(pool="one")
def first():
    Path("begun").touch()
    while not Path("go").exists():
        time.sleep(0.005)


def note(name):
    with open("order.txt", "a") as order:
        order.write(name)


@flow
def ordered():
    running = first.submit()
    while not Path("begun").exists():
        time.sleep(0.005)
    names = [(late, "l"), (late, "l"), (early, "e"), (early, "e")]
    waiting = [each.submit(name) for each, name in names]
    running.result()
    return [one.result() for one in waiting]


@task(executor="process")
def endless(number):
    Path("child.txt").write_text(str(os.getpid()))
    Path("begun").touch()
    time.sleep(3600)


@flow
def stuck():
    return endless.map([1, 2, 3]).result()
"""


@pytest.fixture
def project(folder: Path) -> Path:
    """A project with one child for tasks, one for steps, and a pool of one slot."""
    settings = "name: elsewhere\nflows: [flows.py]\nmax_children: 1\npools: {one: 1}\n"
    (folder / "ostinato.yaml").write_text(settings)
    (folder / "flows.py").write_text(FLOWS)
    return folder


def wait_until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.005)


def states(project: Path) -> list[str]:
    """Return where the steps of the newest run stand."""
    store = open_store(project / ".ostinato" / "store.db")
    try:
        (run, *_), _ = store.runs(RunFilter())
        rows, _ = store.steps(run.id, limit=100)
        return [TaskRunState(row.state).label for row, _ in rows]
    finally:
        store.close()


def test_steps_wait_neither_for_children_nor_for_slots_of_who_waits_for_them(
    ostinato: Ostinato, project: Path
) -> None:
    ostinato("run", "nested")

    assert set(states(project)) == {"succeeded"}


def test_steps_begin_in_the_order_of_their_priority(begin: Begin, project: Path) -> None:
    process = begin("run", "ordered")
    wait_until((project / "begun").exists)
    wait_until(lambda: states(project).count("queued") == 4)

    (project / "go").touch()

    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert (project / "order.txt").read_text() == "eell"


def test_cancelled_run_ends_the_processes_of_its_steps(
    ostinato: Ostinato, begin: Begin, project: Path
) -> None:
    process = begin("run", "stuck")
    wait_until((project / "begun").exists)

    ostinato("cancel", "stuck")

    process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0
    assert not Path(f"/proc/{(project / 'child.txt').read_text()}").exists()
    assert set(states(project)) == {"cancelled"}
