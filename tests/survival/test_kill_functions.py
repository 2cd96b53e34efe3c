"""A flow that is a function is killed at random steps; what was recorded is not repeated."""

import contextlib
import json
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from ostinato.model.identity import TaskRunKey, parse_path
from ostinato.model.state import TaskRunState
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

#: Kills of one flow in a normal test run and in a soak, and lines of its ledger between two.
MANY_KILLS, SOAK_MANY_KILLS, LINES_BETWEEN = 5, 100, 2

FLOW = """
import asyncio
import os
from pathlib import Path

from ostinato import as_completed, flow, task
from ostinato.cache_policies import INPUTS

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


@task
async def waiting(number):
    await asyncio.sleep(0)
    note(LEDGER, f"waiting {number}")
    return number


@task(retries=1)
def flaky(number):
    broken = BROKEN.read_text().split() if BROKEN.exists() else []
    if str(number) not in broken:
        note(BROKEN, str(number))
        raise OSError("again")
    note(LEDGER, f"flaky {number}")
    return number


@task(cache=INPUTS)
def kept(number):
    note(LEDGER, f"kept {number}")
    return number


@task
def nested(number):
    return plain(number) + plain(number + 1)


@flow
def inner(start):
    return sum(plain(start + number) for number in range(10))


@flow
async def beside(start):
    return sum(await asyncio.gather(*(waiting(start + number) for number in range(20))))


@flow
def many():
    total = sum(plain(number) for number in range(120))
    total += sum(plain.map(list(range(1_000, 1_120))).result())
    futures = [flaky.submit(2_000 + number) for number in range(30)]
    total += sum(future.result() for future in as_completed(futures))
    for number in range(20):
        total += nested(3_000 + 2 * number)
    for number in range(5):
        total += inner(4_000 + 10 * number)
    # Each is asked for twice, and executed once.
    for number in range(20):
        total += kept(5_000 + number % 10)
    total += sum(kept.map([6_000 + number % 10 for number in range(20)]).result())
    total += asyncio.run(beside(7_000))
    total += sum(plain(8_000 + number) for number in range(60))
    return total
"""

#: What the tasks write down when each is executed once.
LEDGER = Counter(
    f"{task_id} {number}"
    for task_id, numbers in (
        ("plain", range(120)),
        ("plain", range(1_000, 1_120)),
        ("flaky", range(2_000, 2_030)),
        ("plain", range(3_000, 3_040)),
        ("plain", range(4_000, 4_050)),
        ("kept", range(5_000, 5_010)),
        ("kept", range(6_000, 6_010)),
        ("waiting", range(7_000, 7_020)),
        ("plain", range(8_000, 8_060)),
    )
    for number in numbers
)


class Result(NamedTuple):
    """What a run and its subflows have recorded of one step."""

    state: TaskRunState
    line: str
    value: bytes | None


def recorded(folder: Path) -> tuple[list[RunRow], dict[tuple[str, str], Result]]:
    """Return all runs, newest first, and what is recorded of each step, by run and place."""
    store = open_store(folder / ".ostinato" / "store.db")
    try:
        assert store.check_integrity() == []
        runs, _ = store.runs(RunFilter())
        found: dict[tuple[str, str], Result] = {}
        for run in runs:
            for row, value in store.steps(run.id, limit=10_000)[0]:
                number = json.loads(row.inputs or "{}").get("number")
                key = TaskRunKey(row.task_id, parse_path(row.path))
                found[f"{run.flow} {run.params!r}", str(key)] = Result(
                    TaskRunState(row.state),
                    f"{row.task_id} {number}",
                    value.data if value is not None else None,
                )
        return runs, found
    finally:
        store.close()


def lines_of(found: dict[tuple[str, str], Result]) -> set[str]:
    """Return the lines that steps with a recorded result have written into the ledger."""
    return {each.line for each in found.values() if each.state is TaskRunState.SUCCEEDED}


def write_project(folder: Path) -> Path:
    """Write the project into a new folder."""
    folder.mkdir()
    (folder / "ostinato.yaml").write_text("name: survival\nflows: [many.py]\n")
    (folder / "many.py").write_text(FLOW)
    return folder


class Killed:
    """A run whose processes are killed, one after the other.

    Args:
        folder: Of its project.
        seed: Decides who is killed, and when.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = write_project(folder)
        self._chance = random.Random(seed)
        self._process: subprocess.Popen[bytes] | None = None
        self.story = [f"seed {seed}"]
        self.kills = 0

    def kill(self, *, within: int) -> bool:
        """Kill one of its processes; return whether there was one.

        Args:
            within: Lines of the ledger until then, at most.
        """
        done, before = self._look()
        process = self._going_on()
        goal = before.total() + self._chance.randint(1, within)
        wait_until(lambda: len(ledger_lines(self._folder)) >= goal, process)
        if process.poll() is not None:
            # One that gave up is started again by the next kill.
            return not recorded(self._folder)[0][-1].state.is_terminal
        victims = {"coordinator": process.pid}
        victims |= {f"process {n}": pid for n, pid in enumerate(descendants(process.pid))}
        name = self._chance.choice(sorted(victims))
        with contextlib.suppress(ProcessLookupError):
            os.kill(victims[name], signal.SIGKILL)
        if name == "coordinator":
            process.wait()
        self.story.append(f"{name} at {goal}")
        self.kills += 1
        self._compare(done, before)
        return True

    def finish(self) -> None:
        """Let the run come to its end."""
        if self._process is not None and recorded(self._folder)[0][-1].state.is_terminal:
            # It was killed when it had written the end.
            return
        done, before = self._look()
        assert self._going_on().wait(timeout=120) == 0, f"{self.story}: {self._output()}"
        self._compare(done, before)

    def check(self, undisturbed: dict[tuple[str, str], Result]) -> None:
        """Compare what is recorded in the end with a run that nobody killed."""
        runs, found = recorded(self._folder)
        assert {run.state.label for run in runs} == {"succeeded"}, self.story
        assert found == undisturbed, self.story
        assert Counter(ledger_lines(self._folder)).keys() == LEDGER.keys(), self.story

    def _going_on(self) -> "subprocess.Popen[bytes]":
        """Return the process that drives the run, started again if it is no more."""
        # A coordinator gives up, too, when its code host is killed while that starts again.
        if self._process is None or self._process.returncode:
            arguments = ("run", "many") if self._process is None else ("resume", "many")
            with open(self._folder / "output.txt", "ab") as output:
                self._process = subprocess.Popen(
                    ostinato(self._folder, *arguments),
                    cwd=self._folder,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        return self._process

    def _look(self) -> tuple[set[str], Counter[str]]:
        """Return which lines belong to recorded steps, and all lines of the ledger after that."""
        done = set() if self._process is None else lines_of(recorded(self._folder)[1])
        return done, Counter(ledger_lines(self._folder))

    def _compare(self, done: set[str], before: Counter[str]) -> None:
        """Assert that nothing has been executed that was recorded before."""
        again = done & (Counter(ledger_lines(self._folder)) - before).keys()
        assert not again, f"{self.story}: {sorted(again)[:3]}"

    def _output(self) -> str:
        return (self._folder / "output.txt").read_text()[-2000:]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Result]:
    """What a run records that nobody kills."""
    folder = write_project(tmp_path_factory.mktemp("undisturbed") / "project")
    command = ostinato(folder, "run", "many")
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
    runs, found = recorded(folder)
    assert Counter(run.flow for run in runs) == {"many": 1, "inner": 5, "beside": 1}
    assert Counter(ledger_lines(folder)) == LEDGER
    assert len(found) >= 500
    return found


@pytest.mark.parametrize("seed", range(FLOWS))
def test_killed_flow_finishes_and_repeats_no_recorded_step(
    seed: int,
    tmp_path: Path,
    undisturbed: dict[tuple[str, str], Result],
    scale: Callable[[int, int], int],
) -> None:
    for number in range(scale(1, SOAK_FLOWS // FLOWS)):
        run = Killed(tmp_path / str(number), seed * 1_000 + number)
        while run.kills < KILLS and run.kill(within=LEDGER.total() // 3):
            pass

        run.finish()

        run.check(undisturbed)


def test_flow_that_is_killed_all_the_time_finishes(
    tmp_path: Path, undisturbed: dict[tuple[str, str], Result], scale: Callable[[int, int], int]
) -> None:
    run = Killed(tmp_path / "project", 7)
    kills = scale(MANY_KILLS, SOAK_MANY_KILLS)

    while run.kills < kills and run.kill(within=LINES_BETWEEN):
        pass
    run.finish()

    # A process that is stopped for long gets far from one kill to the next.
    assert run.kills > kills // 2
    run.check(undisturbed)


CALLER = """
import time
from pathlib import Path
from ostinato import flow

@flow
def deepest():
    Path("called").touch()
    time.sleep(60)

@flow
def deeper():
    deepest()

@flow
def caller():
    if not Path("called").exists():
        deeper()
"""


@pytest.mark.parametrize("who", ["all", "child"])
def test_subflow_that_is_not_called_again_ends_with_its_caller(tmp_path: Path, who: str) -> None:
    (tmp_path / "ostinato.yaml").write_text("name: survival\nflows: [caller.py]\n")
    (tmp_path / "caller.py").write_text(CALLER)
    first = subprocess.Popen(ostinato(tmp_path, "run", "caller"), cwd=tmp_path)
    wait_until((tmp_path / "called").exists, first)
    *others, child = descendants(first.pid)
    for pid in (first.pid, *others, child) if who == "all" else (child,):
        os.kill(pid, signal.SIGKILL)

    if first.wait(timeout=60):
        subprocess.run(ostinato(tmp_path, "resume", "caller"), cwd=tmp_path, check=True)

    assert {run.flow: run.state.label for run in recorded(tmp_path)[0]} == {
        "caller": "succeeded",
        "deeper": "cancelled",
        "deepest": "cancelled",
    }
