"""This module is the hook for any other database whose driver follows PEP 249."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from ostinato.authoring.hooks import SqlHook, missing_package
from ostinato.authoring.sql_dialects import SqlDialect
from ostinato.errors import UsageError
from ostinato.integrations.duckdb import DuckDbDialect
from ostinato.integrations.postgres import PostgresDialect
from ostinato.integrations.sqlite import SqliteDialect

#: Name of a field of the connection → names of the driver's argument, unless ``extra`` has others.
_ARGUMENTS = {
    "host": "host",
    "port": "port",
    "login": "user",
    "password": "password",
    "schema": "database",
}

#: Driver → what makes tables in its database. Of others only what is common is known.
_DIALECTS: dict[str, type[SqlDialect]] = {
    "duckdb": DuckDbDialect,
    "pg8000": PostgresDialect,
    "psycopg": PostgresDialect,
    "psycopg2": PostgresDialect,
    "sqlite3": SqliteDialect,
}


class DbApiHook(SqlHook):
    """Speak to a database by a driver that ``extra`` names.

    ``extra.driver`` is a module with a function ``connect``, such as ``pymysql``; the fields
    that are set are its arguments ``host``, ``port``, ``user``, ``password`` and ``database``,
    and so is everything under ``extra.arguments``, which wins.
    """

    @property
    def dialect(self) -> SqlDialect:
        """How its database makes tables and views, as far as the driver tells."""
        driver = str(self.connection.extra.get("driver", ""))
        return _DIALECTS.get(driver.partition(".")[0], SqlDialect)()

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """Give a cursor in a transaction, which an error rolls back."""
        with self._cursor() as cursor:
            # By themselves SQLite's and DuckDB's drivers begin none for what defines tables.
            if self.dialect.name in ("sqlite", "duckdb"):
                cursor.execute("BEGIN IMMEDIATE" if self.dialect.name == "sqlite" else "BEGIN")
            yield cursor

    def open(self) -> Any:
        """Connect.

        Raises:
            UsageError: ``extra`` names no driver.
            MissingPackage: The driver is not installed.
        """
        name = self.connection.extra.get("driver")
        if not name:
            message = f"connection {self.connection.conn_id!r} names no driver"
            raise UsageError(message, hint="such as 'driver': 'pymysql' in its extra")
        try:
            driver = import_module(str(name))
        except ModuleNotFoundError:
            raise missing_package(str(name), str(name), "a connection by this driver") from None
        return driver.connect(**self._arguments())

    def set_autocommit(self, connection: Any) -> None:
        """Let an open connection commit each statement by itself, in the driver's way.

        PEP 249 names none: drivers have a method, an attribute, or what SQLite's has.
        """
        if callable(getattr(connection, "autocommit", None)):
            connection.autocommit(True)  # noqa: FBT003 - the driver's method
        elif hasattr(connection, "isolation_level"):
            connection.isolation_level = None
        else:
            connection.autocommit = True

    @contextmanager
    def _cursor(self, *, autocommit: bool = False) -> Iterator[Any]:
        # Drivers differ in what a `with` does to their connections, so it is done by hand.
        connection = self.open()
        try:
            if autocommit:
                self.set_autocommit(connection)
            cursor = connection.cursor()
            try:
                yield cursor
            finally:
                cursor.close()
            connection.commit()
        finally:
            # PEP 249: closing without a commit rolls back.
            connection.close()

    def _arguments(self) -> dict[str, Any]:
        arguments = {
            argument: value
            for field, argument in _ARGUMENTS.items()
            if (value := getattr(self.connection, field))
        }
        more: dict[str, Any] = self.connection.extra.get("arguments") or {}
        return arguments | more
