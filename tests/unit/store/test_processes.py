"""This module tests one store in the hands of several processes, some of which are killed."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from ostinato.engine import events as ev
from ostinato.errors import RunOwned
from ostinato.model.identity import RunId
from ostinato.store.sql_store import SqlStore
from ostinato.store.sqlite import SqliteStore, open_store

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.survival


class Process:
    """A process that writes to a store; see ``writer.py``."""

    def __init__(self, path: Path | str, durability: str = "relaxed") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.store.writer", str(path), durability],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        assert self.answer() == "open"

    def tell(self, command: str) -> None:
        """Give a command without waiting for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Return the next answer."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def ask(self, command: str) -> Any:
        """Return the answer to a command."""
        self.tell(command)
        return self.answer()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, wherever it is."""
        self._process.kill()
        self.end()

    def end(self) -> None:
        """Wait until it has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # Nobody reads a command that was still on its way.
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def start(path: Path) -> Iterator[Callable[[], Process]]:
    started: list[Process] = []

    def start() -> Process:
        started.append(Process(path))
        return started[-1]

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = open_store(path, durability="relaxed")
    yield store
    store.close()


Start = Callable[[], Process]


def steps_of(store: SqlStore, run_id: RunId) -> tuple[list[int], list[int], list[int]]:
    """Return the numbers of the steps that have a task run, an event, a value."""
    task_runs = [int(row.path) for row in store.all_task_runs(run_id)]
    events = [
        event.event.path[0]
        for event in store.events(run_id=run_id, limit=1_000_000)
        if isinstance(event.event, ev.AttemptStarted)
    ]
    values = [int(path) for path, _ in store.values(run_id, "step")]
    return task_runs, events, values


@pytest.mark.slow
@pytest.mark.parametrize("width", [1, 7, 100])
def test_process_that_is_killed_between_commits_leaves_whole_batches_and_all_it_told_of(
    path: Path, width: int, scale: Callable[[int, int], int]
) -> None:
    chance = random.Random(width)
    for number in range(scale(4, 100)):
        store_path = path.with_name(f"{number}.db")
        victim = Process(store_path)
        _, run_id = victim.ask("register")
        victim.tell(f"commits 100000 {width}")
        told = 0
        for _ in range(chance.randrange(1, 60)):
            told = victim.answer() + 1
        victim.kill()

        with closing(open_store(store_path, durability="relaxed")) as store:
            task_runs, events, values = steps_of(store, run_id)
            problems = store.check_integrity()

        assert problems == []
        assert task_runs == events == values == list(range(len(task_runs)))
        assert len(task_runs) >= told * width
        assert len(task_runs) % width == 0


def test_two_processes_write_one_store_and_nothing_is_lost(start: Start, path: Path) -> None:
    writers = [start(), start(), start()]
    runs = [writer.ask("register")[1] for writer in writers]
    for writer in writers:
        writer.tell("commits 50 3")

    for writer in writers:
        assert [writer.answer() for _ in range(51)] == [*range(50), "done"]

    with closing(open_store(path)) as store:
        for run_id in runs:
            assert steps_of(store, run_id) == (list(range(150)),) * 3
        assert len(set(runs)) == 3
        assert store.check_integrity() == []


def test_reader_misses_nothing_of_processes_that_write(start: Start, store: SqliteStore) -> None:
    writers = [start(), start()]
    runs = [writer.ask("register")[1] for writer in writers]
    for writer in writers:
        writer.tell("commits 100 2")

    seen: dict[int, list[int]] = {run_id: [] for run_id in runs}
    cursor = ""
    while sum(map(len, seen.values())) < 400:
        for event in store.events(after=cursor, limit=13):
            assert isinstance(event.event, ev.AttemptStarted)
            seen[event.run_id].append(event.event.path[0])
            cursor = event.cursor

    assert seen == {run_id: list(range(200)) for run_id in runs}
    assert store.events(after=cursor) == []


def test_run_of_a_killed_process_is_taken_over(start: Start, store: SqliteStore) -> None:
    victim = start()
    coordinator_id, run_id = victim.ask("register")
    victim.ask("commit 0")
    victim.kill()
    lease = store.register_coordinator()

    seen = store.coordinator(coordinator_id)
    taken = store.take_run(run_id, lease)

    assert seen is not None
    assert not seen.is_alive
    assert taken.owner == lease.id
    assert steps_of(store, run_id) == ([0], [0], [0])


def test_run_of_a_living_process_is_refused_with_its_pid(start: Start, store: SqliteStore) -> None:
    owner = start()
    _, run_id = owner.ask("register")
    lease = store.register_coordinator()

    with pytest.raises(RunOwned, match=rf"driven by process {owner.pid} on "):
        store.take_run(run_id, lease)


def test_process_that_stands_still_keeps_its_run_and_goes_on(
    start: Start, store: SqliteStore
) -> None:
    owner = start()
    _, run_id = owner.ask("register")
    owner.signal(signal.SIGSTOP)
    lease = store.register_coordinator()

    with pytest.raises(RunOwned):
        store.take_run(run_id, lease)

    owner.signal(signal.SIGCONT)
    assert owner.ask("commit 1") == 1


def test_process_that_lost_its_run_is_refused_and_writes_nothing(
    start: Start, store: SqliteStore
) -> None:
    loser = start()
    _, run_id = loser.ask("register")
    loser.ask("commit 0")
    loser.ask("abandon")
    lease = store.register_coordinator()
    store.take_run(run_id, lease)

    name, message = loser.ask("commit 1")

    assert name == "OwnershipLost"
    assert "another coordinator has taken over" in message
    assert steps_of(store, run_id) == ([0], [0], [0])


def test_two_processes_that_take_a_dead_ones_run_at_once_do_not_both_get_it(
    start: Start, store: SqliteStore
) -> None:
    victim, takers = start(), [start(), start()]
    _, run_id = victim.ask("register")
    leases = [taker.ask("register")[0] for taker in takers]
    victim.kill()

    for taker in takers:
        taker.tell(f"take {run_id}")
    answers = [taker.answer() for taker in takers]

    winners = [answer for answer in answers if isinstance(answer, int)]
    losers = [answer for answer in answers if not isinstance(answer, int)]
    assert len(winners) == 1
    assert winners[0] in leases
    assert losers[0][0] == "RunOwned"


def test_node_of_a_killed_process_is_leased_again(start: Start, store: SqliteStore) -> None:
    victim = start()
    coordinator_id, run_id = victim.ask("register")
    victim.kill()

    made = [store.new_id() for _ in range(100)]

    node = (coordinator_id >> 12) & 1023
    assert {(each >> 12) & 1023 for each in made} == {node}
    assert min(made) > max(coordinator_id, run_id)


def test_process_that_closes_its_store_leaves_nothing_behind(
    start: Start, store: SqliteStore, path: Path
) -> None:
    owner = start()
    coordinator_id, run_id = owner.ask("register")

    owner.ask("close")

    assert store.coordinator(coordinator_id) is None
    run = store.run(run_id)
    assert run is not None
    assert run.owner == 0
    assert [name for _, _, names in os.walk(path.parent) for name in names if ".lock" in name] == []
