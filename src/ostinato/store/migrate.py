"""This module brings an SQLite file to the schema of this version."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from ostinato.errors import StoreCorrupt, StoreError, StoreVersionError
from ostinato.store.faults import mapped_faults
from ostinato.store.sqlite_database import SqliteDatabase

#: Marks a file as ours, in its header: ``Osti`` in ASCII.
APPLICATION_ID = 0x4F737469

#: The first version of SQLite that has all that the statements use (STRICT tables).
OLDEST_SQLITE = (3, 37, 0)


def load_migrations() -> dict[int, str]:
    """Return the scripts by the version of the schema that each leads to."""
    folder = files("ostinato.store") / "sql" / "sqlite" / "migrations"
    return {
        int(file.name.partition("_")[0]): file.read_text()
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }


def migrate(database: SqliteDatabase, migrations: Mapping[int, str]) -> None:
    """Run the migrations that a store has not had, each in a transaction; a new one has one.

    Args:
        database: Of the store.
        migrations: From ``load_migrations``.

    Raises:
        StoreVersionError: A newer version made the store, or SQLite is too old.
        StoreCorrupt: The file is the database of another program.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        message = f"this Python has SQLite {sqlite3.sqlite_version}; the store needs {needed}"
        raise StoreVersionError(message, hint="use a newer Python")
    newest = max(migrations)
    with mapped_faults(database.path):
        if _is_ready(database, newest):
            return
        with _alone(database):
            if database.is_file:
                _use_wal(database)
            if _pragma(database, "user_version") == 0:
                # A new store is made whole, or not at all.
                _run(database, migrations)
            for number in sorted(migrations):
                _run(database, {number: migrations[number]})


def _is_ready(database: SqliteDatabase, newest: int) -> bool:
    """Whether there is nothing to do; refuses what is not ours."""
    # In this order: another process may make the store between two of these, and whoever sees
    # its tables must see whose they are.
    has_tables = _pragma(database, "schema_version") > 0
    version = _pragma(database, "user_version")
    application = _pragma(database, "application_id")
    if application != APPLICATION_ID:
        if application or has_tables:
            message = f"the store {database.path} is the database of another program"
            hint = "name another path under 'store' in ostinato.yaml"
            raise StoreCorrupt(message, hint=hint)
        return False
    if version > newest:
        message = (
            f"the store {database.path} has schema {version}, but this version of Ostinato "
            f"knows none above {newest}"
        )
        hint = "use the newer version that made it, or name another path under 'store'"
        raise StoreVersionError(message, hint=hint)
    return version == newest and (not database.is_file or _journal(database) == "wal")


@contextmanager
def _alone(database: SqliteDatabase) -> Iterator[None]:
    """Let one process at a time prepare the stores of a folder.

    SQLite does not wait for others when it changes to WAL, but fails.
    """
    if not database.is_file:
        yield
        return
    folder = os.open(Path(database.path).parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        # Said, and not left to the file: a process that was forked meanwhile has it open too.
        fcntl.flock(folder, fcntl.LOCK_UN)
        os.close(folder)


def _use_wal(database: SqliteDatabase) -> None:
    mode = _journal(database, " = WAL")
    if mode != "wal":
        message = f"the store {database.path} cannot use a write-ahead log, only {mode!r}"
        raise StoreError(message, hint="put it on a local disk")


def _run(database: SqliteDatabase, migrations: Mapping[int, str]) -> None:
    """Run migrations in one transaction, but for those that the store has had."""
    if _pragma(database, "user_version") >= max(migrations):
        return
    with database.writing() as connection:
        # Another process may have been quicker.
        version = _pragma(database, "user_version")
        for number in sorted(migrations):
            if number > version:
                for statement in _split(migrations[number]):
                    connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {max(version, *migrations)}")


def _split(script: str) -> list[str]:
    """Cut a script at the ends of its statements; ``executescript`` would commit in between."""
    statements: list[str] = []
    current = ""
    for line in script.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            statements.append(current)
            current = ""
    return statements


def _journal(database: SqliteDatabase, change: str = "") -> str:
    mode: str = database.writer.execute(f"PRAGMA journal_mode{change}").fetchone()[0]
    return mode


def _pragma(database: SqliteDatabase, name: str) -> int:
    value: int = database.writer.execute(f"PRAGMA {name}").fetchone()[0]
    return value
