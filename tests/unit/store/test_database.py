"""This module tests connections and transactions."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostinato.errors import StoreError
from ostinato.store.sqlite_database import IN_MEMORY, SqliteDatabase


@pytest.fixture(params=["file", "memory"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteDatabase]:
    path = str(tmp_path / "x.db") if request.param == "file" else IN_MEMORY
    made = SqliteDatabase(path, busy_timeout_s=0.0)
    if made.is_file:
        made.writer.execute("PRAGMA journal_mode = WAL")
    made.writer.execute("CREATE TABLE a (x UNIQUE)")
    yield made
    made.close()


def write(database: SqliteDatabase, *statements: str, error: BaseException | None = None) -> None:
    """Do something in one transaction, and raise an error in it."""
    with database.writing() as connection:
        for statement in statements:
            connection.execute(statement)
        if error is not None:
            raise error


def test_transaction_is_written_at_its_end(database: SqliteDatabase) -> None:
    with database.writing() as connection:
        connection.execute("INSERT INTO a VALUES (1)")

    assert database.read("SELECT x FROM a") == [(1,)]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_transaction_with_an_error_writes_nothing(
    database: SqliteDatabase, error: type[BaseException]
) -> None:
    with pytest.raises(error):
        write(database, "INSERT INTO a VALUES (1)", error=error())

    assert database.read("SELECT x FROM a") == []
    with database.writing() as connection:
        connection.execute("INSERT INTO a VALUES (2)")


def test_error_of_sqlite_inside_a_transaction_becomes_ours(database: SqliteDatabase) -> None:
    with pytest.raises(StoreError, match="UNIQUE constraint"):
        write(database, "INSERT INTO a VALUES (1)", "INSERT INTO a VALUES (1)")

    assert database.read("SELECT x FROM a") == []


def test_commit_that_fails_writes_nothing(database: SqliteDatabase) -> None:
    database.writer.execute("PRAGMA foreign_keys = ON")
    database.writer.execute("CREATE TABLE b (x REFERENCES a (x) DEFERRABLE INITIALLY DEFERRED)")

    with pytest.raises(StoreError, match="FOREIGN KEY"), database.writing() as connection:
        connection.execute("INSERT INTO b VALUES (1)")

    assert database.read("SELECT x FROM b") == []
    with database.writing() as connection:
        connection.execute("INSERT INTO a VALUES (1)")


def test_transaction_that_sqlite_ended_itself_tells_its_first_error(
    database: SqliteDatabase,
) -> None:
    database.writer.execute("INSERT INTO a VALUES (1)")

    with pytest.raises(StoreError, match="UNIQUE"), database.writing() as connection:
        connection.execute("INSERT OR ROLLBACK INTO a VALUES (1)")

    assert database.read("SELECT x FROM a") == [(1,)]


def test_transaction_in_a_transaction_is_refused_whole(database: SqliteDatabase) -> None:
    with pytest.raises(StoreError, match="within a transaction"):
        write(database, "INSERT INTO a VALUES (1)", "BEGIN")

    assert database.read("SELECT x FROM a") == []
    assert database.lock.acquire(blocking=False)
    database.lock.release()


def test_reader_can_not_write(tmp_path: Path) -> None:
    database = SqliteDatabase(str(tmp_path / "x.db"), busy_timeout_s=0.0)
    database.writer.execute("CREATE TABLE a (x)")

    with pytest.raises(StoreError):
        database.read("INSERT INTO a VALUES (1)")

    database.close()


def test_threads_that_come_and_go_share_one_reader(tmp_path: Path) -> None:
    database = SqliteDatabase(str(tmp_path / "x.db"), busy_timeout_s=0.0)
    used: set[int] = set()

    def read() -> None:
        database.read("SELECT 1")
        used.update(map(id, database._idle))

    for _ in range(20):
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()

    assert len(used) == 1
    database.close()


def test_reader_that_is_at_work_when_the_database_closes_finishes_and_closes(
    tmp_path: Path,
) -> None:
    database = SqliteDatabase(str(tmp_path / "x.db"), busy_timeout_s=0.0)
    reader = database._take_reader()

    database.close()
    found = reader.execute("SELECT 1").fetchone()
    database._give_reader(reader)

    assert found == (1,)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        reader.execute("SELECT 1")


def test_closed_database_is_neither_read_nor_written(database: SqliteDatabase) -> None:
    database.close()

    with pytest.raises(StoreError, match="was closed"):
        database.read("SELECT 1")
    with pytest.raises(StoreError, match="was closed"), database.writing():
        pass
    assert database.is_closed
    assert database.lock.acquire(blocking=False)
    database.lock.release()
