"""This module tests how a store comes to the schema of this version."""

import fcntl
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import structs

import ostinato.store
from ostinato.errors import StoreCorrupt, StoreError, StoreVersionError
from ostinato.store import migrate as migration
from ostinato.store import rows
from ostinato.store.migrate import APPLICATION_ID, load_migrations, migrate
from ostinato.store.postgres.migrate import load_migrations as load_postgres_migrations
from ostinato.store.protocol import RunFilter
from ostinato.store.records import NewRun
from ostinato.store.sqlite import open_store
from ostinato.store.sqlite_database import IN_MEMORY, SqliteDatabase
from ostinato.store.statements import load_statements

OPENERS = 6
STORES = 150

OPENER = """
import sys
from ostinato.store.sqlite import open_store

open_store(":memory:").close()
print("ready", flush=True)
sys.stdin.read()
folder, name, count = sys.argv[1:]
for number in range(int(count)):
    store = open_store(f"{folder}/{number}.db", durability="relaxed")
    store.save_manifest(name, "shop", b"")
    store.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def database(path: Path) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(str(path), busy_timeout_s=0.0)
    yield database
    database.close()


def pragma(path: Path, name: str) -> object:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def test_no_two_migrations_have_one_number() -> None:
    folder = Path(ostinato.store.__file__).parent / "sql" / "sqlite" / "migrations"

    assert len(list(folder.glob("*.sql"))) == len(load_migrations())


def test_store_is_made_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "store.db"

    open_store(path).close()

    assert pragma(path, "user_version") == max(load_migrations())
    assert pragma(path, "application_id") == APPLICATION_ID
    assert pragma(path, "journal_mode") == "wal"


def test_empty_file_becomes_a_store(path: Path) -> None:
    path.touch()

    open_store(path).close()

    assert "runs" in tables(path)


def test_opening_a_store_again_changes_nothing(path: Path) -> None:
    open_store(path).close()
    before = pragma(path, "schema_version")

    open_store(path).close()

    assert pragma(path, "schema_version") == before


def test_older_store_gets_what_it_lacks_and_keeps_what_it_has(database: SqliteDatabase) -> None:
    migrate(database, {1: "CREATE TABLE a (x);\n"})
    database.writer.execute("INSERT INTO a VALUES (7)")

    migrate(
        database,
        {1: "CREATE TABLE a (x);\n", 2: "-- why\nALTER TABLE a ADD y;\nUPDATE a SET y = x;\n"},
    )

    assert database.read("SELECT x, y FROM a") == [(7, 7)]
    assert database.read("PRAGMA user_version") == [(2,)]


def test_runs_of_an_older_store_are_found_and_numbered_on(path: Path) -> None:
    new = NewRun("shop", "etl", "v1", logical_key="schedule:etl:2026-06-01T06:00:00Z")
    with closing(SqliteDatabase(str(path), busy_timeout_s=0.0)) as database:
        migrate(database, {each: sql for each, sql in load_migrations().items() if each <= 18})
        for number, key in ((1, None), (2, new.logical_key)):
            old = structs.replace(new, logical_key=key)
            row = rows.created_run(old, id=number, number=number, created_us=1, owner=0)
            statement = load_statements("sqlite")["insert_run"]
            database.writer.execute(statement, rows.run_parameters(row))

    with closing(open_store(path)) as store:
        again, later = store.create_runs([new, structs.replace(new, logical_key="api:1")])
        numbers = [run.number for run in store.runs(RunFilter(flow="etl"), limit=10)[0]]

    assert (again.number, later.number) == (2, 3)
    assert numbers == [3, 2, 1]


def test_migration_that_fails_leaves_the_version_before_it(database: SqliteDatabase) -> None:
    scripts = {1: "CREATE TABLE a (x);\n", 2: "CREATE TABLE b (x);\nCREATE TABLE a (x);\n"}
    migrate(database, {1: scripts[1]})

    with pytest.raises(StoreError, match="already exists"):
        migrate(database, scripts)

    assert database.read("SELECT name FROM sqlite_master") == [("a",)]
    assert database.read("PRAGMA user_version") == [(1,)]
    migrate(database, {**scripts, 2: "CREATE TABLE b (x);\n"})
    assert database.read("PRAGMA user_version") == [(2,)]


def test_trigger_is_one_statement(database: SqliteDatabase) -> None:
    script = (
        "CREATE TABLE a (x);\n"
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n"
        "    DELETE FROM a WHERE x = 1;\n"
        "    DELETE FROM a WHERE x = 2;\n"
        "END;\n"
    )

    migrate(database, {1: script})

    database.writer.execute("INSERT INTO a VALUES (1), (2), (3)")
    assert database.read("SELECT x FROM a") == [(3,)]


def test_store_of_a_newer_version_is_refused_and_kept(path: Path) -> None:
    open_store(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999")

    with pytest.raises(StoreVersionError, match=r"has schema 999.*use the newer version"):
        open_store(path)

    assert pragma(path, "user_version") == 999


def test_database_of_another_program_is_refused_and_kept(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")

    with pytest.raises(StoreCorrupt, match="is the database of another program"):
        open_store(path)

    assert tables(path) == {"theirs"}
    assert pragma(path, "journal_mode") == "delete"


def test_too_old_sqlite_is_refused(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))

    with pytest.raises(StoreVersionError, match=r"the store needs 3\.37\.0"):
        migrate(database, load_migrations())


def test_copy_that_lost_its_write_ahead_log_gets_one(path: Path, tmp_path: Path) -> None:
    open_store(path).close()
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    before = pragma(copy, "journal_mode")

    open_store(copy).close()

    assert (before, pragma(copy, "journal_mode")) == ("delete", "wal")


def test_file_system_without_shared_memory_is_refused() -> None:
    # A database in memory takes no write-ahead log either.
    database = SqliteDatabase(IN_MEMORY, busy_timeout_s=0.0)

    with pytest.raises(StoreError, match="cannot use a write-ahead log, only 'memory'"):
        migration._use_wal(database)

    database.close()


@pytest.mark.slow
def test_processes_that_open_new_stores_at_once_all_get_them(tmp_path: Path) -> None:
    # They read one pipe: its end lets all go at the same moment.
    start, hold = os.pipe()
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, str(tmp_path), f"v{number}", str(STORES)],
            stdin=start,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(OPENERS)
    ]
    for opener in openers:
        assert opener.stdout is not None
        assert opener.stdout.readline() == b"ready\n"

    os.close(start)
    os.close(hold)
    errors = [opener.communicate()[1].decode() for opener in openers]

    assert errors == [""] * OPENERS
    for number in range(STORES):
        store = open_store(tmp_path / f"{number}.db")
        assert all(store.load_manifest(f"v{name}") is not None for name in range(OPENERS))
        store.close()


def test_process_that_is_forked_meanwhile_locks_nobody_out(tmp_path: Path) -> None:
    database = SqliteDatabase(str(tmp_path / "store.db"), busy_timeout_s=0.0)
    read, write = os.pipe()
    with migration._alone(database):
        pid = os.fork()
        if pid == 0:
            os.read(read, 1)
            os._exit(0)

    try:
        folder = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(folder)
    finally:
        os.write(write, b"\0")
        os.waitpid(pid, 0)
        os.close(read)
        os.close(write)
        database.close()


def test_both_stores_have_the_same_migrations() -> None:
    # PostgreSQL's first one is what SQLite's had led to until then.
    first = min(load_postgres_migrations())

    assert sorted(load_postgres_migrations()) == [
        n for n in sorted(load_migrations()) if n >= first
    ]
