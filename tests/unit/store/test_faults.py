"""This module tests that whatever SQLite raises becomes an error that users can act on."""

import errno
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ostinato.errors import (
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    UsageError,
)
from ostinato.model.identity import RunId
from ostinato.store.faults import fault
from ostinato.store.records import Batch, CoordinatorLease
from ostinato.store.sqlite import SqliteStore, open_store
from tests.contract.samples import VERSION, new_run, started, step, task_run

#: Somebody who owns nothing here.
NOBODY = 65534

#: Fill a store up to the limit on the size of files, then lift the limit and go on.
FILL = """
import json, resource, sys
from ostinato.errors import StoreFull
from ostinato.store.sqlite import open_store
from tests.contract.samples import VERSION, new_run, step

path = sys.argv[1]
store = open_store(path)
store.save_manifest(VERSION, "shop", b"")
lease = store.register_coordinator()
run = store.create_runs([new_run()], owner=lease)[0].id
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (900_000, hard))
number, message, refusals = 0, "", 0
while refusals < 3:
    try:
        store.commit(step(run, number), lease)
        number += 1
    except StoreFull as error:
        message = str(error)
        refusals += 1
in_the_way = store.task_runs(run, limit=9999)[0]
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
store.commit(step(run, number), lease)
print(json.dumps({
    "number": number,
    "kept": len(in_the_way),
    "message": message,
    "problems": store.check_integrity(),
    "events": len(store.events(limit=9999)),
}))
store.close()
"""

#: Open a store that belongs to somebody else.
OPEN_AS_NOBODY = """
import os, sys
from ostinato.errors import StoreError
from ostinato.store.protocol import RunFilter
from ostinato.store.sqlite import open_store

# What is imported late is loaded while it may be read.
open_store(":memory:").close()
if os.geteuid() == 0:
    os.setuid(int(sys.argv[2]))
try:
    store = open_store(sys.argv[1])
    store.runs(RunFilter())
    store.save_manifest("v2", "shop", b"")
except StoreError as error:
    print(type(error).__name__, error)
"""


class House:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.store: SqliteStore = open_store(path, busy_timeout_s=0.0)
        self.store.save_manifest(VERSION, "shop", b"")
        self.lease: CoordinatorLease = self.store.register_coordinator()
        self.run: RunId = self.store.create_runs([new_run()], owner=self.lease)[0].id

    @property
    def writer(self) -> sqlite3.Connection:
        return self.store._database.writer


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "store.db")
    yield made
    made.store.close()


def test_store_that_another_process_writes_for_too_long_is_locked(house: House) -> None:
    with closing(sqlite3.connect(house.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreLocked, match=r"store\.db is locked by another process \(wait"):
            house.store.commit(step(house.run, 0), house.lease)

        other.execute("ROLLBACK")
    house.store.commit(step(house.run, 0), house.lease)
    assert len(house.store.events()) == 1


def test_write_waits_some_seconds_for_others_unless_it_is_told_otherwise(
    house: House, tmp_path: Path
) -> None:
    patient = open_store(tmp_path / "store.db")

    waits_ms = [
        store._database.writer.execute("PRAGMA busy_timeout").fetchone()[0]
        for store in (patient, house.store)
    ]

    patient.close()
    assert waits_ms == [5000, 0]


def test_readers_do_not_wait_for_the_writer(house: House) -> None:
    with closing(sqlite3.connect(house.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE runs SET reason = 'later'")

        found = house.store.run(house.run)

        other.execute("ROLLBACK")
    assert found is not None
    assert found.reason == ""


def test_store_that_may_not_be_written_is_read_only(house: House) -> None:
    house.writer.execute("PRAGMA query_only = ON")

    with pytest.raises(StoreReadOnly, match=r"may not be written \(check the permissions"):
        house.store.commit(step(house.run, 0), house.lease)

    house.writer.execute("PRAGMA query_only = OFF")
    assert house.store.run(house.run) is not None


@pytest.mark.parametrize("mode", [0o555, 0o755])
def test_folder_of_somebody_else_is_read_only(mode: int) -> None:
    # Below /tmp itself: tests' own folders cannot be entered by others.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = Path(folder) / "store.db"
        open_store(path).close()
        os.chmod(path, 0o444)
        os.chmod(folder, mode if os.geteuid() == 0 else 0o555)

        said = subprocess.check_output(
            [sys.executable, "-c", OPEN_AS_NOBODY, str(path), str(NOBODY)], text=True
        )

        os.chmod(folder, 0o755)
    assert said.startswith("StoreReadOnly the store")
    assert said.count("\n") == 1


def test_full_store_keeps_nothing_of_the_batch_and_goes_on_later(house: House) -> None:
    house.store.commit(step(house.run, 0), house.lease)
    pages = house.writer.execute("PRAGMA page_count").fetchone()[0]
    house.writer.execute(f"PRAGMA max_page_count = {pages + 2}")
    batch = Batch()
    for number in range(1, 2000):
        batch.task_runs.append(task_run(house.run, "step", str(number)))
        batch.events.append(started(house.run, "step", str(number)))

    for _ in range(2):
        with pytest.raises(StoreFull, match=r"has no room left \(free some space"):
            house.store.commit(batch, house.lease)

    assert len(house.store.events()) == 1
    assert len(house.store.task_runs(house.run)[0]) == 1
    house.writer.execute("PRAGMA max_page_count = 1000000")
    house.store.commit(batch, house.lease)
    assert len(house.store.events(limit=9999)) == 2000
    assert house.store.check_integrity() == []


@pytest.mark.slow
def test_disk_that_takes_no_more_loses_nothing_and_store_goes_on_later(tmp_path: Path) -> None:
    said = subprocess.check_output([sys.executable, "-c", FILL, str(tmp_path / "store.db")])

    told = json.loads(said)
    assert told["number"] > 10
    assert told["kept"] == told["number"]
    assert told["events"] == told["number"] + 1
    assert told["problems"] == []
    assert "store.db cannot be written to disk (check that the disk has space" in told["message"]


def test_file_that_holds_something_else_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("milk, eggs, " * 200)

    with pytest.raises(StoreCorrupt, match=r"notes\.txt is not a store.+name another path"):
        open_store(path)

    assert path.read_text() == "milk, eggs, " * 200


def test_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreReadOnly, match=r"cannot be opened \(check that its path is no folder"):
        open_store(tmp_path)


def test_path_below_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match=r"file/store\.db cannot be used: .+ \(check its path"):
        open_store(tmp_path / "file" / "store.db")


def test_damaged_store_is_corrupt(house: House) -> None:
    for number in range(200):
        house.store.commit(step(house.run, number), house.lease)
    house.store.close()
    size = house.path.stat().st_size
    with open(house.path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 8192))

    with pytest.raises(StoreCorrupt, match=r"is damaged \(restore it from a copy"):
        open_store(house.path)


def test_damage_is_found_by_the_check(house: House) -> None:
    for number in range(200):
        house.store.commit(step(house.run, number), house.lease)
    house.writer.execute("PRAGMA writable_schema = ON")
    house.writer.execute("DELETE FROM sqlite_master WHERE name = 'events_by_run'")
    house.store.close()
    damaged = open_store(house.path)

    problems = damaged.check_integrity()

    damaged.close()
    assert any(problem.startswith("SQLite: ") for problem in problems)


def test_unknown_durability_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no durability 'perhaps' \(it is fsync or relaxed\)"):
        open_store(tmp_path / "store.db", durability="perhaps")

    assert not (tmp_path / "store.db").exists()


@pytest.mark.parametrize(("durability", "level"), [("fsync", 2), ("relaxed", 1)])
def test_durability_is_what_was_asked_for(tmp_path: Path, durability: str, level: int) -> None:
    store = open_store(tmp_path / "store.db", durability=durability)

    assert store._database.writer.execute("PRAGMA synchronous").fetchone() == (level,)
    store.close()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY, StoreLocked),
        (sqlite3.SQLITE_BUSY_RECOVERY, StoreLocked),
        (sqlite3.SQLITE_LOCKED, StoreLocked),
        (sqlite3.SQLITE_READONLY, StoreReadOnly),
        (sqlite3.SQLITE_READONLY_DIRECTORY, StoreReadOnly),
        (sqlite3.SQLITE_PERM, StoreReadOnly),
        (sqlite3.SQLITE_CANTOPEN, StoreReadOnly),
        (sqlite3.SQLITE_FULL, StoreFull),
        (sqlite3.SQLITE_IOERR_WRITE, StoreFull),
        (sqlite3.SQLITE_IOERR_FSYNC, StoreFull),
        (sqlite3.SQLITE_IOERR_READ, StoreError),
        (sqlite3.SQLITE_IOERR, StoreError),
        (sqlite3.SQLITE_CORRUPT, StoreCorrupt),
        (sqlite3.SQLITE_CORRUPT_INDEX, StoreCorrupt),
        (sqlite3.SQLITE_NOTADB, StoreCorrupt),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, StoreError),
        (0, StoreError),
    ],
)
def test_each_code_of_sqlite_is_one_of_our_errors(code: int, kind: type[StoreError]) -> None:
    raised = sqlite3.OperationalError("in SQLite's words")
    raised.sqlite_errorcode = code

    error = fault(raised, "/data/store.db")

    assert type(error) is kind
    assert str(error).startswith("the store /data/store.db ")
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EFBIG, StoreFull),
        (errno.EACCES, StoreReadOnly),
        (errno.EROFS, StoreReadOnly),
        (errno.ENOTDIR, StoreError),
    ],
)
def test_each_error_of_files_is_one_of_ours(number: int, kind: type[StoreError]) -> None:
    error = fault(OSError(number, os.strerror(number)), "/data/store.db")

    assert type(error) is kind
    assert str(error).startswith("the store /data/store.db ")


def test_error_that_sqlite_gives_no_code_is_told_in_its_words() -> None:
    error = fault(sqlite3.ProgrammingError("Incorrect number of bindings"), "store.db")

    assert str(error) == "the store store.db failed: Incorrect number of bindings"
