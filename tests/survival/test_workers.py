"""Workers come, go, hang and are replaced by newer ones; their runs go on where they may."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ostinato.model.state import RunState
from ostinato.project.discovery import find_project
from ostinato.project.target import Target
from ostinato.store.opening import open_store_of
from ostinato.store.protocol import RunFilter, Store
from ostinato.store.records import RunRow

pytestmark = [pytest.mark.survival, pytest.mark.slow]

#: Seconds after which what is waited for will not come.
PATIENCE_S = 60.0

#: Seconds that a lease lasts, where its end is waited for.
LEASE_S = 2.0

#: What the tasks of a run note, by version.
LINES = ["first {} begins", "waits {} begins", "waits {} ends", "last {}"]

FLOW = """
import os
import time
from pathlib import Path

from ostinato import dag, task

PLACE = Path({place!r})


def note(line):
    descriptor = os.open(PLACE / "ledger.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{{line}}\\n".encode())
    os.close(descriptor)


@task
def first():
    note("first {version} begins")


@task
def waits():
    note("waits {version} begins")
    while not (PLACE / "go").exists():
        time.sleep(0.01)
    note("waits {version} ends")


@task
def {last}():
    note("last {version}")


@dag
def work():
    first() >> waits() >> {last}()


work()
"""


class Site:
    """A project on a database, whose code lies in a folder for each of its versions.

    Args:
        folder: For all of it.
        uri: Of the database.
        closing: Ends what is started.
    """

    def __init__(self, folder: Path, uri: str, closing_: ExitStack) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "OSTINATO_STORE__URL": uri,
            "OSTINATO_STORE__LEASE_S": str(LEASE_S),
            "OSTINATO_STORAGE__SHARED": "true",
        }
        self._closing = closing_
        self.write("old", last="last")
        self.store = self._open("old")

    def write(self, version: str, *, last: str) -> None:
        """Write the code of a version."""
        root = self.folder / version
        (root / "flows").mkdir(parents=True)
        (root / "ostinato.yaml").write_text("name: shop\n")
        code = FLOW.format(place=str(self.folder), version=version, last=last)
        (root / "flows" / "work.py").write_text(code)

    def _open(self, version: str) -> Store:
        project = find_project(Target(path=self.folder / version))
        store = open_store_of(project)
        self._closing.callback(store.close)
        return store

    def worker(self, version: str) -> "subprocess.Popen[bytes]":
        """Start a worker that has the code of a version, and return once it has registered."""
        before = set(self.workers())
        log = self._closing.enter_context((self.folder / f"worker-{version}.log").open("ab"))
        command = [sys.executable, "-m", "ostinato", "worker", "--name", version]
        process = subprocess.Popen(
            command, cwd=self.folder / version, env=self.environment, stdout=log, stderr=log
        )
        self._closing.callback(process.wait)
        self._closing.callback(process.kill)
        self.until(lambda: not before.issuperset(self.workers()))
        return process

    def workers(self) -> list[int]:
        """Return the workers that live."""
        found = self.store.coordinators()
        return [each.id for each in found if each.kind == "worker" and each.is_alive]

    def trigger(self, version: str) -> RunRow:
        """Ask for a run by the code of a version."""
        subprocess.run(
            [sys.executable, "-m", "ostinato", "trigger", "work"],
            cwd=self.folder / version,
            env=self.environment,
            check=True,
            capture_output=True,
        )
        rows, _ = self.store.runs(RunFilter(), limit=1)
        return rows[0]

    def ledger(self) -> list[str]:
        """Return what tasks have noted."""
        file = self.folder / "ledger.txt"
        return file.read_text().splitlines() if file.exists() else []

    def state(self, row: RunRow) -> RunState:
        """Return the state of a run."""
        found = self.store.run(row.id)
        assert found is not None
        return found.state

    def until(self, holds: Callable[[], bool]) -> None:
        """Return once something holds."""
        until_s = time.monotonic() + PATIENCE_S
        while not holds():
            logs = "".join(each.read_text() for each in self.folder.glob("*.log"))
            assert time.monotonic() < until_s, f"{self.ledger()}\n{logs}"
            time.sleep(0.02)

    def go(self) -> None:
        """Let the tasks that wait end."""
        (self.folder / "go").touch()


@pytest.fixture
def site(
    tmp_path: Path, postgres_store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    monkeypatch.setenv("OSTINATO_STORE__URL", postgres_store_uri)
    monkeypatch.setenv("OSTINATO_STORE__LEASE_S", str(LEASE_S))
    monkeypatch.setenv("OSTINATO_STORAGE__SHARED", "true")
    with ExitStack() as closing_:
        yield Site(tmp_path, postgres_store_uri, closing_)


def test_an_older_worker_finishes_its_runs_while_a_newer_one_starts_newer_runs(site: Site) -> None:
    older = site.worker("old")
    old = site.trigger("old")
    site.until(lambda: "waits old begins" in site.ledger())

    site.write("new", last="final")
    site.worker("new")
    new = site.trigger("new")
    site.until(lambda: "waits new begins" in site.ledger())
    site.go()
    site.until(lambda: site.state(old).is_terminal and site.state(new).is_terminal)
    older.send_signal(signal.SIGTERM)

    assert (site.state(old), site.state(new)) == (RunState.SUCCEEDED, RunState.SUCCEEDED)
    lines = [line.format(version) for line in LINES for version in ("old", "new")]
    assert sorted(site.ledger()) == sorted(lines)
    assert older.wait(PATIENCE_S) == 0


def test_runs_of_a_killed_worker_go_on_at_another(site: Site) -> None:
    first = site.worker("old")
    row = site.trigger("old")
    site.until(lambda: "waits old begins" in site.ledger())

    first.kill()
    site.go()
    site.worker("old")
    site.until(lambda: site.state(row).is_terminal)

    assert site.state(row) is RunState.SUCCEEDED
    assert site.ledger().count("first old begins") == 1
    assert site.ledger().count("last old") == 1


def test_a_worker_that_was_stopped_too_long_changes_nothing_any_more(site: Site) -> None:
    stopped = site.worker("old")
    row = site.trigger("old")
    site.until(lambda: "waits old begins" in site.ledger())

    stopped.send_signal(signal.SIGSTOP)
    site.worker("old")
    site.until(lambda: site.ledger().count("waits old begins") == 2)
    # Its child has ended before the attempt was given to another one.
    site.go()
    site.until(lambda: site.state(row).is_terminal)
    stopped.send_signal(signal.SIGCONT)
    again = site.trigger("old")
    site.until(lambda: site.state(again).is_terminal and len(site.workers()) == 2)

    assert (site.state(row), site.state(again)) == (RunState.SUCCEEDED, RunState.SUCCEEDED)
    assert site.ledger().count("first old begins") == 2
    assert site.ledger().count("waits old ends") == 2
