"""This module tests by which files processes see each other live."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ostinato.errors import StoreError
from ostinato.store.locks import Locks

HOLDER = """
import os, sys
from pathlib import Path
from ostinato.store.locks import Locks

locks = Locks(Path(sys.argv[1]))
assert locks.acquire("coordinators/1.lock")
if "fork" in sys.argv and os.fork() > 0:
    sys.stdin.read()
# The fork says so where there is one: only then has it let the lock go.
print("held", flush=True)
os.close(1)
sys.stdin.read()
"""


@pytest.fixture(params=["files", "memory"])
def locks(request: pytest.FixtureRequest, tmp_path: Path) -> Locks:
    return Locks(tmp_path if request.param == "files" else None)


def test_name_is_held_from_acquire_to_release(locks: Locks) -> None:
    assert not locks.is_held("a/1.lock")

    assert locks.acquire("a/1.lock")
    assert locks.is_held("a/1.lock")

    locks.release("a/1.lock")
    assert not locks.is_held("a/1.lock")


def test_held_name_is_not_acquired_again(locks: Locks) -> None:
    locks.acquire("a")

    assert not locks.acquire("a")


def test_releasing_what_is_not_held_changes_nothing(locks: Locks) -> None:
    locks.release("a")

    assert locks.acquire("a")


def test_closing_gives_all_names_back(locks: Locks) -> None:
    locks.acquire("a")
    locks.acquire("b")

    locks.close()

    assert not locks.is_held("a")
    assert not locks.is_held("b")


def test_name_that_another_holds_is_seen_and_refused(tmp_path: Path) -> None:
    mine, other = Locks(tmp_path), Locks(tmp_path)
    other.acquire("a")

    assert mine.is_held("a")
    assert not mine.acquire("a")

    other.release("a")
    assert not mine.is_held("a")
    assert mine.acquire("a")


def test_released_name_leaves_no_file(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    locks.acquire("a/1.lock")

    locks.release("a/1.lock")

    assert list(tmp_path.rglob("*.lock")) == []


def test_look_at_a_name_does_not_hold_it(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    looking = os.open(tmp_path / "a", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)

    held = Locks(tmp_path).is_held("a")

    os.close(looking)
    assert not held


def test_sweep_removes_only_what_nobody_holds(tmp_path: Path) -> None:
    mine, other = Locks(tmp_path), Locks(tmp_path)
    mine.acquire("a/1.lock")
    other.acquire("a/2.lock")
    (tmp_path / "a" / "3.lock").touch()
    (tmp_path / "b.lock").touch()

    mine.sweep("a/*.lock")

    assert sorted(path.name for path in tmp_path.rglob("*.lock")) == ["1.lock", "2.lock", "b.lock"]


def test_sweep_of_names_in_memory_does_nothing() -> None:
    locks = Locks(None)
    locks.acquire("a")

    locks.sweep("*")

    assert locks.is_held("a")


def test_file_that_is_removed_while_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    flock, calls = fcntl.flock, []

    def slow_flock(file: int, operation: int) -> None:
        # Its holder gives it back between our open and our lock, as a closing process may; the
        # second time somebody else has made the file anew.
        calls.append(operation)
        if len(calls) == 1:
            path.unlink()
        if len(calls) == 2:
            path.unlink()
            path.touch()
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", slow_flock)
    locks = Locks(tmp_path)

    assert locks.acquire("a")
    assert len(calls) == 3
    monkeypatch.undo()
    assert not Locks(tmp_path).acquire("a")
    locks.close()


def test_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match=r"cannot be used: .+check its path"):
        Locks(tmp_path / "file").acquire("nodes/1.lock")


@pytest.mark.survival
@pytest.mark.parametrize("options", [[], ["fork"]], ids=["alone", "with a fork that lives on"])
def test_lock_ends_with_its_process_however_that_ends(tmp_path: Path, options: list[str]) -> None:
    # The end of the socket that a fork keeps reading is closed when the test ends.
    ours, theirs = socket.socketpair()
    with ours, theirs:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path), *options],
            stdin=theirs.fileno(),
            stdout=subprocess.PIPE,
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        before = Locks(tmp_path).is_held("coordinators/1.lock")

        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()

        assert before
        assert not Locks(tmp_path).is_held("coordinators/1.lock")
