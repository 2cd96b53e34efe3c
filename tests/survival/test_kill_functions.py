"""A flow that is a function is killed at random steps; what was recorded is not repeated."""

import os
import random
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
from tests.survival.test_kill_anything import (
    descendants,
    ledger_lines,
    ostinato,
    wait_until,
)

pytestmark = pytest.mark.survival

#: Flows that are killed in a normal test run and in a soak, and kills of each.
FLOWS, SOAK_FLOWS, KILLS = 2, 25, 4

FLOW = """
import os
from pathlib import Path

from ostinato import flow, task

LEDGER = Path(__file__).with_name("ledger.txt")
BROKEN = Path(__file__).with_name("broken.txt")


def note(file, line):
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{line}\\n".encode())
    os.close(descriptor)


@task
def plain(number):
    note(LEDGER, f"plain {number}")
    return number


@task(retries=1)
def flaky(number):
    broken = BROKEN.read_text().split() if BROKEN.exists() else []
    if str(number) not in broken:
        note(BROKEN, str(number))
        raise OSError("again")
    note(LEDGER, f"flaky {number}")
    return number


@task
def nested(number):
    return plain(number) + plain(number + 1)


@flow
def inner(start):
    return sum(plain(start + number) for number in range(10))


@flow
def many():
    total = sum(plain(number) for number in range(150))
    total += sum(plain.map(list(range(1_000, 1_150))).result())
    futures = [flaky.submit(2_000 + number) for number in range(30)]
    total += sum(future.result() for future in futures)
    for number in range(20):
        total += nested(3_000 + 2 * number)
    for number in range(5):
        total += inner(4_000 + 10 * number)
    total += sum(plain(5_000 + number) for number in range(60))
    return total
"""

EXPECTED = (
    sum(range(150))
    + sum(range(1_000, 1_150))
    + sum(range(2_000, 2_030))
    + sum(range(3_000, 3_040))
    + sum(range(4_000, 4_050))
    + sum(range(5_000, 5_060))
)
LINES = 150 + 150 + 30 + 40 + 50 + 60


def recorded(folder: Path) -> tuple[list[RunRow], set[str]]:
    """Return all runs, newest first, and every step with a recorded result as its ledger line."""
    store = open_store(folder / ".ostinato" / "store.db")
    try:
        assert store.check_integrity() == []
        runs, _ = store.runs(RunFilter())
        found: set[str] = set()
        for run in runs:
            for row, _ in store.steps(run.id, limit=10_000)[0]:
                if row.state == 5 and row.task_id in ("plain", "flaky"):
                    number = msgspec.json.decode(row.inputs or "{}")["number"]
                    found.add(f"{row.task_id} {number}")
        return runs, found
    finally:
        store.close()


def kill_somebody(folder: Path, chance: random.Random, *arguments: str) -> str:
    """Start a command, kill one of its processes at a random step, and say which."""
    process = subprocess.Popen(
        ostinato(folder, *arguments),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    goal = len(ledger_lines(folder)) + chance.randrange(1, LINES // 2)
    wait_until(lambda: len(ledger_lines(folder)) >= goal, process)
    below = list(descendants(process.pid))
    victims = {"coordinator": process.pid} | {f"process {n}": pid for n, pid in enumerate(below)}
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
        (folder / "ostinato.yaml").write_text("name: survival\nflows: [many.py]\n")
        (folder / "many.py").write_text(FLOW)
        chance = random.Random(seed * 1_000 + number)
        story = [f"seed {seed}.{number}", kill_somebody(folder, chance, "run", "many")]
        for _ in range(KILLS):
            before = Counter(ledger_lines(folder))
            runs, done = recorded(folder)
            if runs[-1].state.is_terminal:
                break
            story.append(kill_somebody(folder, chance, "resume", "many"))
            again = Counter(ledger_lines(folder)) - before
            assert not done & set(again), f"{story}: {sorted(done & set(again))[:3]}"
        runs, done = recorded(folder)
        if not runs[-1].state.is_terminal:
            before = Counter(ledger_lines(folder))
            command = ostinato(folder, "resume", "many")
            ended = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, text=True)
            assert ended.returncode == 0, f"{story}: {ended.stdout}{ended.stderr}"
            again = Counter(ledger_lines(folder)) - before
            assert not done & set(again), f"{story}: {sorted(done & set(again))[:3]}"

        check_end(folder, story)


def check_end(folder: Path, story: list[str]) -> None:
    runs, done = recorded(folder)
    assert {run.state.label for run in runs} == {"succeeded"}, story
    assert Counter(run.flow for run in runs) == {"many": 1, "inner": 5}, story
    assert len(done) == LINES, story
    store = open_store(folder / ".ostinato" / "store.db")
    try:
        value = store.values(runs[-1].id, "@body", path="")[0][1]
    finally:
        store.close()
    assert msgspec.json.decode(value.data or b"") == EXPECTED, story
