"""``ostinato dev`` is a whole service: it drives runs, follows files, and outlives what breaks."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import Ostinato

PATIENCE_S = 30.0

FLOW = """
from ostinato import dag, task

@task
def work():
    print("it is {word}")
    return "{word}"

@dag
def etl():
    work()

etl()
"""

POOLED = "@task(pool='nope')"

WAITING = """
import time
from pathlib import Path
from ostinato import dag, task

@task
def work():
    folder = Path(__file__).parent.parent
    (folder / "begun").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)

@task
def after():
    print("it is {word}")

@dag
def slow():
    work() >> after()

slow()
"""


class Dev:
    """A process of ``ostinato dev``, whose lines are read as they come."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.seen: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip())
        self._lines.put(None)

    def line(self, pattern: str) -> str:
        """Return the next line in which a pattern is found."""
        while True:
            line = self._lines.get(timeout=PATIENCE_S)
            if line is None:
                raise AssertionError(f"no line with {pattern!r} in {self.seen}")
            self.seen.append(line)
            if re.search(pattern, line):
                return line

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        # The processes that it has forked write to the same pipe, and end after it.
        self._thread.join(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def shop(folder: Path) -> Path:
    (folder / "ostinato.yaml").write_text("name: shop\n")
    (folder / "flows").mkdir()
    write(folder, "etl", FLOW.format(word="one"))
    return folder


def write(folder: Path, name: str, text: str) -> None:
    (folder / "flows" / f"{name}.py").write_text(text)


@contextmanager
def dev(folder: Path, environ: dict[str, str], *arguments: str) -> Iterator[Dev]:
    process = subprocess.Popen(
        [sys.executable, "-m", "ostinato", "dev", "--port", "0", *arguments],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    )
    running = Dev(process)
    try:
        running.line("^http://127.0.0.1")
        yield running
    finally:
        running.close()


@pytest.mark.slow
def test_runs_that_are_triggered_are_driven(
    shop: Path, environ: dict[str, str], ostinato: Ostinato
) -> None:
    write(shop, "pooled", FLOW.format(word="x").replace("etl", "pooled").replace("@task", POOLED))
    with dev(shop, environ) as running:
        assert "shop: 2 flows, followed as files change" in running.seen
        assert "asks for the pool 'nope'" in running.line("^error: flows/pooled.py:")

        ostinato("trigger", "etl", "--wait", cwd=shop)

        running.line(r"etl#1 started \(")
        running.line(r"etl#1 succeeded in ")
        assert running.end() == 0


@pytest.mark.slow
def test_code_that_changes_is_used_at_once(
    shop: Path, environ: dict[str, str], ostinato: Ostinato
) -> None:
    with dev(shop, environ) as running:
        write(shop, "etl", FLOW.format(word="two"))
        write(shop, "other", FLOW.format(word="two").replace("etl", "other"))
        assert "new other" in running.line("the code has changed")

        ostinato("trigger", "etl", "--wait", cwd=shop)

        assert "it is two" in ostinato("logs", "etl#1", cwd=shop).out


@pytest.mark.slow
def test_a_broken_file_is_told_and_its_flow_goes_on_as_before(
    shop: Path, environ: dict[str, str], ostinato: Ostinato
) -> None:
    with dev(shop, environ) as running:
        write(shop, "etl", "def broken(:\n")
        assert running.line("error: ").startswith("error: flows/etl.py:1: SyntaxError")

        ostinato("trigger", "etl", "--wait", cwd=shop)

        assert "it is one" in ostinato("logs", "etl#1", cwd=shop).out
        write(shop, "etl", FLOW.format(word="three"))
        running.line("all files are sound again")


@pytest.mark.slow
def test_a_run_keeps_the_code_that_it_began_with(
    shop: Path, environ: dict[str, str], ostinato: Ostinato
) -> None:
    write(shop, "slow", WAITING.format(word="old"))
    with dev(shop, environ) as running:
        ostinato("trigger", "slow", cwd=shop)
        running.line("slow#1 started")
        wait_for(shop / "begun", running)
        write(shop, "slow", WAITING.format(word="new"))
        running.line("the code has changed")
        (shop / "go").touch()

        running.line("slow#1 succeeded")

        assert "it is old" in ostinato("logs", "slow#1", cwd=shop).out


@pytest.mark.slow
def test_a_run_whose_code_was_killed_waits_until_its_file_is_mended(
    shop: Path, environ: dict[str, str], ostinato: Ostinato
) -> None:
    write(shop, "slow", WAITING.format(word="mended"))
    with dev(shop, environ) as running:
        ostinato("trigger", "slow", cwd=shop)
        wait_for(shop / "begun", running)
        (nursery,) = below(running.process.pid)
        (host,) = below(nursery)
        write(shop, "slow", "def broken(:\n")
        running.line("as before, being broken: slow")
        os.kill(host, signal.SIGKILL)
        running.line("gone slow")

        (shop / "go").touch()
        write(shop, "slow", WAITING.format(word="mended"))

        running.line("slow#1 goes on")
        running.line("slow#1 succeeded")


@pytest.mark.slow
def test_a_second_one_is_refused(shop: Path, environ: dict[str, str], ostinato: Ostinato) -> None:
    with dev(shop, environ) as running:
        refused = ostinato("dev", "--port", "0", cwd=shop, code=2)

        assert refused.err.startswith(
            f"error: ostinato dev runs in this project already: process {running.process.pid} at "
            "http://127.0.0.1:"
        )


@pytest.mark.slow
def test_ctrl_c_lets_what_runs_finish(
    shop: Path, environ: dict[str, str], ostinato: Ostinato
) -> None:
    write(shop, "slow", WAITING.format(word="done"))
    with dev(shop, environ) as running:
        ostinato("trigger", "slow", cwd=shop)
        wait_for(shop / "begun", running)
        running.process.send_signal(signal.SIGINT)
        running.line("Ctrl-C again")
        (shop / "go").touch()

        assert running.process.wait(PATIENCE_S) == 0

        assert "succeeded" in ostinato("show", "slow#1", cwd=shop).out


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(
    shop: Path, environ: dict[str, str], ostinato: Ostinato
) -> None:
    write(shop, "slow", WAITING.format(word="done"))
    with dev(shop, environ) as running:
        ostinato("trigger", "slow", cwd=shop)
        wait_for(shop / "begun", running)
        running.process.send_signal(signal.SIGINT)
        running.line("Ctrl-C again")

        assert running.end(signal.SIGINT) == 0


def test_outside_of_a_project_it_is_refused(folder: Path, ostinato: Ostinato) -> None:
    refused = ostinato("dev", code=2)

    assert "there is no ostinato.yaml" in refused.err


def wait_for(file: Path, running: Dev) -> None:
    while not file.exists():
        assert running.process.poll() is None
        os.sched_yield()


def below(pid: int) -> list[int]:
    """Return the children of a process, which any of its threads may have."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]
