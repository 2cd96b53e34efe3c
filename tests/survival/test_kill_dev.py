"""Processes of ``ostinato dev`` are killed while runs go on and files change; nothing is lost."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.survival.test_kill_anything import descendants

if TYPE_CHECKING:
    from ostinato.store.protocol import Store

pytestmark = pytest.mark.survival

PATIENCE_S = 60.0

#: Faults in a normal test run, and in a soak.
FAULTS, SOAK_FAULTS = 6, 500

FLOW = '''
import os
from datetime import timedelta
from pathlib import Path

from ostinato import dag, get_current_context, task

LEDGER = Path(__file__).parents[1] / "ledger.txt"


def note():
    """Append a line that no other process can tear: the record outside of the store."""
    context = get_current_context()
    path = ".".join(map(str, context.map_path))
    line = f"{context.run_id} {context.task_id} {path or '-'} {context.attempt}\\n"
    file = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)


@dag(default_args={"lost_attempts": 100})
def asked():
    @task
    def numbers():
        note()
        return list(range(10))

    @task
    def double(number):
        note()
        return number * 2

    @task
    def step(doubled):
        note()
        return doubled

    value = double.expand(number=numbers())
    for _ in range(10):
        value = step(value)


@dag(schedule=timedelta(seconds=1), default_args={"lost_attempts": 100})
def ticking():
    @task
    def tick():
        note()

    tick()


asked()
ticking()
'''

TASK_RUNS_ASKED = 1 + 10 + 10


class Dev:
    """``ostinato dev`` in a folder, started again whenever it has ended."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self._folder = folder
        self._environ = environ
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        with open(self._folder / "output.txt", "ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "ostinato", "dev", "--port", "0"],
                cwd=self._folder,
                env=self._environ,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def keep(self) -> None:
        """Start it again if it has ended."""
        if self.process.poll() is not None:
            self.process = self._start()

    def kill_one(self, chance: random.Random) -> str:
        """Kill one of its processes by chance, and say which."""
        below = list(descendants(self.process.pid))
        pid = chance.choice([self.process.pid, *below])
        name = "main" if pid == self.process.pid else f"process {below.index(pid)} below"
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            name += " (had ended)"
        if pid == self.process.pid:
            self.process.wait(PATIENCE_S)
        return name

    def end(self) -> None:
        """End it as Ctrl-C does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            # It may be about to begin, so how it ends says nothing.
            self.process.wait(PATIENCE_S)


@contextmanager
def dev(folder: Path, environ: dict[str, str]) -> Iterator[Dev]:
    running = Dev(folder, environ)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            os.killpg(running.process.pid, signal.SIGKILL)
            running.process.wait()


def trigger(folder: Path, environ: dict[str, str], key: str) -> None:
    """Ask for a run; what is accepted must end."""
    subprocess.run(
        [sys.executable, "-m", "ostinato", "trigger", "asked", "--key", key],
        cwd=folder,
        env=environ,
        check=True,
        capture_output=True,
        timeout=PATIENCE_S,
    )


@contextmanager
def store_of(folder: Path, url: str) -> Iterator["Store"]:
    from ostinato.store.postgres.store import open_postgres
    from ostinato.store.sqlite import open_store

    store = open_postgres(url) if url else open_store(folder / ".ostinato" / "store.db")
    try:
        yield store
    finally:
        store.close()


def check(folder: Path, url: str, accepted: int, story: str) -> None:
    """Compare the store with the ledger that the tasks wrote themselves."""
    from ostinato.model.state import TaskRunState
    from ostinato.store.protocol import RunFilter

    with store_of(folder, url) as store:
        assert store.check_integrity() == [], story
        runs, _ = store.runs(RunFilter(), limit=10_000)
        rows = {run.id: list(store.all_task_runs(run.id)) for run in runs}
    asked = [run for run in runs if run.flow == "asked"]
    ticks = [run for run in runs if run.flow == "ticking"]
    assert [run.state.label for run in asked] == ["succeeded"] * accepted, story
    assert all(len(rows[run.id]) == TASK_RUNS_ASKED for run in asked), story
    moments = Counter(run.logical_date_us for run in ticks)
    assert max(moments.values()) == 1, f"{story}: a tick fired twice"
    executions = Counter((folder / "ledger.txt").read_text().splitlines())
    twice = {line: count for line, count in executions.items() if count > 1}
    assert not twice, f"{story}: an attempt number ran twice: {twice}"
    final = {
        (str(run_id), row.task_id, row.path or "-"): row.attempt
        for run_id, found in rows.items()
        for row in found
        if TaskRunState(row.state).is_terminal
    }
    for line in executions:
        run_id, task_id, path, attempt = line.split()
        last = final.get((run_id, task_id, path))
        assert last is None or int(attempt) <= last, (
            f"{story}: {line} ran after its result was recorded"
        )


def are_all_over(store: "Store") -> bool:
    from ostinato.model.state import RunState
    from ostinato.store.protocol import RunFilter

    live = tuple(state for state in RunState if not state.is_terminal)
    return not store.runs(RunFilter(flow="asked", states=live), limit=1)[0]


@pytest.mark.slow
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_whatever_is_killed_goes_on(
    store: str,
    tmp_path: Path,
    scale: Callable[[int, int], int],
    request: pytest.FixtureRequest,
) -> None:
    url = request.getfixturevalue("postgres_store_uri") if store == "postgres" else ""
    environ = os.environ | {"OSTINATO_STORE__URL": url}
    chance = random.Random(7)
    (tmp_path / "ostinato.yaml").write_text("name: survival\n")
    (tmp_path / "flows").mkdir()
    file = tmp_path / "flows" / "ledger.py"
    file.write_text(FLOW)
    faults: list[str] = []
    with dev(tmp_path, environ) as running:
        for number in range(scale(FAULTS, SOAK_FAULTS)):
            trigger(tmp_path, environ, str(number))
            if number % 3 == 1:
                file.write_text(f"{FLOW}\n# {number}\n")
            time.sleep(chance.uniform(0.0, 0.8))
            faults.append(running.kill_one(chance))
            running.keep()
        deadline = time.monotonic() + PATIENCE_S
        with store_of(tmp_path, url) as opened:
            while not are_all_over(opened):
                story = f"{faults}\n{(tmp_path / 'output.txt').read_text()[-3000:]}"
                assert time.monotonic() < deadline, f"runs do not end after {story}"
                running.keep()
                time.sleep(0.1)
        running.end()

    check(tmp_path, url, len(faults), str(faults))
