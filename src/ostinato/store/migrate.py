"""This module brings a store to the schema of this version."""

import sqlite3
from importlib.resources import files

from ostinato.errors import StoreVersionError


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Run the migrations that a store has not had, each in a transaction of its own.

    Args:
        connection: To the store, in autocommit mode.
        path: For messages.

    Raises:
        StoreVersionError: The store was made by a newer version.
    """
    migrations = _migrations()
    newest = max(migrations)
    version = _version(connection)
    if version > newest:
        message = f"the store {path} has schema {version}, but this version knows up to {newest}"
        raise StoreVersionError(message, hint="use the newer version that made it")
    for number in sorted(migrations):
        if number > version:
            _run(connection, number, migrations[number])


def _run(connection: sqlite3.Connection, number: int, script: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been quicker.
        if _version(connection) < number:
            for statement in _split(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


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


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _migrations() -> dict[int, str]:
    folder = files("ostinato.store") / "sql" / "sqlite" / "migrations"
    return {
        int(file.name.partition("_")[0]): file.read_text()
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }
