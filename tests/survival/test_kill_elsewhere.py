"""Flows whose steps are attempts of their own lose body, child or coordinator at any moment."""

import os
import random
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ostinato.store.protocol import RunFilter
from ostinato.store.records import RunRow
from ostinato.store.sqlite import open_store
from tests.survival.test_kill_anything import descendants, ledger_lines, ostinato, wait_until

pytestmark = pytest.mark.survival

#: Flows that are killed in a normal test run and in a soak, and kills of each.
FLOWS, SOAK_FLOWS, KILLS = 2, 25, 5

FLOW = """
import os
import time
from pathlib import Path

from ostinato import flow, task

HERE = Path(__file__).parent
LEDGER = HERE / "ledger.txt"


def note(line, file=LEDGER):
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{line}\\n".encode())
    os.close(descriptor)


def wait_for(name):
    while not (HERE / name).exists():
        time.sleep(0.005)


@task(executor="process", lost_attempts=20)
def apart(number):
    note(f"apart {number}")
    return number


@task(isolation="fork", lost_attempts=20, pool="narrow")
def forked(number):
    note(f"forked {number}")
    return number


@task(executor="process", retries=1, lost_attempts=20)
def flaky(number):
    broken = HERE / f"broken-{number}"
    if not broken.exists():
        broken.touch()
        raise OSError("again")
    note(f"flaky {number}")
    return number


@task
def plain(number):
    note(f"plain {number}")
    return number


@task(executor="process", lost_attempts=20)
def around(number):
    return plain(number) + apart(number + 1)


@flow(lost_attempts=20)
def many():
    note(f"body {os.getpid()}", HERE / "bodies.txt")
    total = sum(apart(number) for number in range(30))
    total += sum(apart.map(list(range(100, 140))).result())
    total += sum(plain(number) for number in range(200, 230))
    futures = [flaky.submit(300 + number) for number in range(10)]
    total += sum(future.result() for future in futures)
    total += sum(around(400 + 2 * number) for number in range(10))
    total += sum(around.map([500 + 2 * number for number in range(10)]).result())
    total += sum(forked.map(list(range(600, 610))).result())
    return total


@task(executor="process")
def waits(number):
    note(f"waits {number} {os.getpid()}")
    wait_for("go")
    return number


@flow
def patient():
    note(f"body {os.getpid()}", HERE / "bodies.txt")
    before = apart(1)
    futures = [waits.submit(number) for number in (10, 20)]
    note("asked", HERE / "asked.txt")
    return before + sum(future.result() for future in futures)
"""

EXPECTED = (
    sum(range(30))
    + sum(range(100, 140))
    + sum(range(200, 230))
    + sum(range(300, 310))
    + sum(range(400, 420))
    + sum(range(500, 520))
    + sum(range(600, 610))
)
LINES = 30 + 40 + 30 + 10 + 20 + 20 + 10
TASKS = ("apart", "forked", "flaky", "plain")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with the flows."""
    return project(tmp_path)


def project(folder: Path) -> Path:
    settings = "name: survival\nflows: [many.py]\nmax_children: 2\npools: {narrow: 2}\n"
    (folder / "ostinato.yaml").write_text(settings)
    (folder / "many.py").write_text(FLOW)
    return folder


def begin(folder: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        ostinato(folder, *arguments),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def processes(folder: Path, name: str) -> list[int]:
    """Return the processes that have noted themselves in a file."""
    file = folder / name
    lines = file.read_text().splitlines() if file.exists() else []
    return [int(line.rpartition(" ")[2]) for line in lines if line.startswith(("body", "waits"))]


def recorded(folder: Path) -> tuple[RunRow, set[str]]:
    """Return the newest run, and every step with a recorded result as its ledger line."""
    store = open_store(folder / ".ostinato" / "store.db")
    try:
        assert store.check_integrity() == []
        (run, *_), _ = store.runs(RunFilter())
        found: set[str] = set()
        for row, _ in store.steps(run.id, limit=10_000)[0]:
            if row.state == 5 and row.task_id in TASKS:
                number = msgspec.json.decode(row.inputs or "{}")["number"]
                found.add(f"{row.task_id} {number}")
        return run, found
    finally:
        store.close()


def result_of(folder: Path, run: RunRow) -> object:
    store = open_store(folder / ".ostinato" / "store.db")
    try:
        value = store.values(run.id, "@body", path="")[0][1]
    finally:
        store.close()
    return msgspec.json.decode(value.data or b"")


def test_steps_go_on_while_the_body_that_called_them_is_killed(folder: Path) -> None:
    process = begin(folder, "run", "patient")
    wait_until(lambda: len(processes(folder, "ledger.txt")) == 2, process)

    os.kill(processes(folder, "bodies.txt")[0], signal.SIGKILL)
    wait_until(lambda: (folder / "asked.txt").read_text().count("asked") == 2, process)
    (folder / "go").touch()

    assert process.wait(timeout=60) == 0
    names = [re.sub(r" \d+$", "", line) for line in ledger_lines(folder) if "waits" in line]
    assert sorted(names) == ["waits 10", "waits 20"]
    assert ledger_lines(folder).count("apart 1") == 1
    assert result_of(folder, recorded(folder)[0]) == 31


def test_result_of_a_step_that_ended_without_its_body_is_not_lost(folder: Path) -> None:
    process = begin(folder, "run", "patient")
    wait_until(lambda: len(processes(folder, "ledger.txt")) == 2, process)
    body = processes(folder, "bodies.txt")[0]

    os.kill(body, signal.SIGSTOP)
    (folder / "go").touch()
    wait_until(lambda: ended(folder, "waits") == 2, process)
    os.kill(body, signal.SIGKILL)

    assert process.wait(timeout=60) == 0
    assert len([line for line in ledger_lines(folder) if "waits" in line]) == 2
    assert result_of(folder, recorded(folder)[0]) == 31


def ended(folder: Path, task_id: str) -> int:
    store = open_store(folder / ".ostinato" / "store.db")
    try:
        (run, *_), _ = store.runs(RunFilter())
        rows, _ = store.steps(run.id, limit=100)
        return sum(1 for row, _ in rows if row.task_id == task_id and row.state == 5)
    finally:
        store.close()


def test_step_whose_child_is_killed_is_executed_again_alone(folder: Path) -> None:
    process = begin(folder, "run", "patient")
    wait_until(lambda: len(processes(folder, "ledger.txt")) == 2, process)

    os.kill(processes(folder, "ledger.txt")[0], signal.SIGKILL)
    wait_until(lambda: len(processes(folder, "ledger.txt")) == 3, process)
    (folder / "go").touch()

    assert process.wait(timeout=60) == 0
    assert len(processes(folder, "bodies.txt")) == 1
    assert result_of(folder, recorded(folder)[0]) == 31


def test_steps_of_a_killed_coordinator_are_executed_again(folder: Path) -> None:
    process = begin(folder, "run", "patient")
    wait_until(lambda: len(processes(folder, "ledger.txt")) == 2, process)

    process.kill()
    process.wait(timeout=60)
    (folder / "go").touch()
    command = ostinato(folder, "resume", "patient")
    again = subprocess.run(command, cwd=folder, capture_output=True, timeout=60, text=True)

    assert again.returncode == 0, again.stderr
    assert len(processes(folder, "ledger.txt")) == 4
    assert ledger_lines(folder).count("apart 1") == 1
    assert result_of(folder, recorded(folder)[0]) == 31


def kill_somebody(folder: Path, chance: random.Random, *arguments: str) -> str:
    """Start a command, kill one of its processes at a random step, and say which."""
    process = begin(folder, *arguments)
    goal = len(ledger_lines(folder)) + chance.randrange(1, LINES // 2)
    wait_until(lambda: len(ledger_lines(folder)) >= goal, process)
    victims = {"coordinator": process.pid}
    victims |= {f"process {n}": pid for n, pid in enumerate(descendants(process.pid))}
    name = chance.choice(sorted(victims))
    try:
        os.kill(victims[name], signal.SIGKILL)
    except ProcessLookupError:
        name += " (had ended)"
    process.wait(timeout=120)
    return f"{name} at {goal}"


@pytest.mark.parametrize("seed", range(FLOWS))
def test_killed_flow_finishes_and_repeats_no_recorded_step(
    seed: int, tmp_path: Path, scale: Callable[[int, int], int]
) -> None:
    for number in range(scale(1, SOAK_FLOWS // FLOWS)):
        folder = tmp_path / str(number)
        folder.mkdir()
        project(folder)
        chance = random.Random(seed * 1_000 + number)
        story = [f"seed {seed}.{number}", kill_somebody(folder, chance, "run", "many")]
        for attempt in range(KILLS + 1):
            before = Counter(ledger_lines(folder))
            run, done = recorded(folder)
            if run.state.is_terminal:
                break
            if attempt < KILLS:
                story.append(kill_somebody(folder, chance, "resume", "many"))
            else:
                command = ostinato(folder, "resume", "many")
                ended = subprocess.run(
                    command, cwd=folder, capture_output=True, timeout=120, text=True
                )
                assert ended.returncode == 0, f"{story}: {ended.stdout}{ended.stderr}"
            again = Counter(ledger_lines(folder)) - before
            assert not done & set(again), f"{story}: {sorted(done & set(again))[:3]}"

        run, done = recorded(folder)
        assert run.state.label == "succeeded", story
        assert len(done) == LINES, story
        assert result_of(folder, run) == EXPECTED, story
        # Two children for steps, and what a body has begun itself: no more is under way at a time.
        surplus = len(ledger_lines(folder)) - LINES
        assert surplus <= 4 * len(story), f"{story}: {surplus} were executed again"
