"""This module is the hook for SQLite databases of users."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from ostinato.authoring.hooks import SqlHook
from ostinato.authoring.sql_dialects import Relation, RelationKind, SqlDialect, first_row, literal
from ostinato.errors import UsageError

#: Keys of ``extra`` that ``sqlite3.connect`` understands, with what reads them.
_OPTIONS = {"timeout": float, "isolation_level": str, "cached_statements": int, "uri": bool}

#: Seconds that what makes tables waits for other writers, unless ``extra`` says otherwise.
LOCK_TIMEOUT_S = 600.0


class SqliteDialect(SqlDialect):
    """Make tables as SQLite does; its schemas are other files, so none is made."""

    name = "sqlite"
    has_schemas = False

    def placed(self, cursor: Any, relation: Relation) -> Relation:
        """Return a relation without a schema that is no attached file."""
        if not relation.schema:
            return relation
        cursor.execute("PRAGMA database_list")
        attached = {str(row[1]).lower() for row in cursor.fetchall()}
        return relation if relation.schema.lower() in attached else Relation(relation.name)

    def kind_of(self, cursor: Any, relation: Relation) -> RelationKind | None:
        """Return what stands under a name, None if there is nothing."""
        schema = self.quote_name(relation.schema or "main")
        cursor.execute(
            f"SELECT type FROM {schema}.sqlite_master WHERE type IN ('table', 'view') "
            f"AND name = {literal(relation.name)} COLLATE NOCASE"
        )
        row = first_row(cursor)
        return None if row is None else RelationKind(row[0])

    def insert(
        self,
        cursor: Any,
        relation: Relation,
        columns: Sequence[str],
        rows: Sequence[tuple[Any, ...]],
    ) -> None:
        """Add rows to a table; SQLite has no dates and decimals, so these are text."""
        plain = [tuple(map(_storable, row)) for row in rows]
        super().insert(cursor, relation, columns, plain)

    def rename(self, cursor: Any, relation: Relation, name: str) -> None:
        """Give a table another name."""
        # Else views that read the replaced table, which is gone for this moment, are refused.
        cursor.execute("PRAGMA legacy_alter_table = ON")
        super().rename(cursor, relation, name)
        cursor.execute("PRAGMA legacy_alter_table = OFF")


def _storable(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


class ClosingConnection(sqlite3.Connection):
    """A connection that a ``with`` commits, or rolls back on errors, and closes."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        """End the transaction and close."""
        try:
            return super().__exit__(exc_type, exc, traceback)
        finally:
            self.close()


class SqliteHook(SqlHook):
    """Speak to an SQLite database.

    ``sqlite:///data/shop.db`` is a file relative to the working directory,
    ``sqlite:////srv/shop.db`` an absolute one, ``sqlite:///:memory:`` a database that lives as
    long as the connection. ``extra`` may hold ``timeout`` in seconds, ``isolation_level``,
    ``cached_statements``, and ``uri`` where the path is one of SQLite's own URIs.
    """

    @property
    def path(self) -> str:
        """The file, as SQLite gets it."""
        connection = self.connection
        return "/".join(part for part in (connection.host, connection.schema) if part)

    def open(self) -> ClosingConnection:
        """Open the database; a file that is not there is made."""
        if not self.path:
            message = f"connection {self.connection.conn_id!r} names no file"
            raise UsageError(message, hint="such as sqlite:///data/shop.db")
        extra = self.connection.extra
        options: dict[str, Any] = {
            name: read(extra[name]) for name, read in _OPTIONS.items() if name in extra
        }
        try:
            return sqlite3.connect(self.path, factory=ClosingConnection, **options)
        except sqlite3.OperationalError as error:
            folder = Path(self.path).parent
            if not folder.is_dir():
                raise UsageError(f"there is no folder {folder} for {self.path}") from error
            raise

    def set_autocommit(self, connection: Any) -> None:
        """Let an open connection commit each statement by itself."""
        connection.isolation_level = None

    @contextmanager
    def _cursor(self, *, autocommit: bool = False) -> Iterator[Any]:
        with super()._cursor(autocommit=autocommit) as cursor:
            # By itself the driver begins no transaction for what defines tables.
            if cursor.connection.isolation_level is not None:
                cursor.execute("BEGIN")
            yield cursor

    @property
    def dialect(self) -> SqlDialect:
        """How SQLite makes tables and views."""
        return SqliteDialect()

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """Give a cursor in a transaction of the only writer; others are waited for."""
        with self.open() as connection:
            if "timeout" not in self.connection.extra:
                connection.execute(f"PRAGMA busy_timeout = {int(LOCK_TIMEOUT_S * 1000)}")
            connection.isolation_level = None
            cursor = connection.cursor()
            # Who has only read so far is refused, and not made wait, once it wants to write.
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
            finally:
                cursor.close()

    def split(self, script: str) -> list[str]:
        """Return the statements of a script; SQLite knows where a trigger's body ends."""
        statements: list[str] = []
        begun = ""
        for piece in super().split(script):
            begun = f"{begun}{piece};"
            if sqlite3.complete_statement(begun):
                statements.append(begun)
                begun = ""
        return [*statements, begun] if begun else statements

    def test(self) -> str:
        """Open the database and read what is in it."""
        is_file = self.path != ":memory:" and "uri" not in self.connection.extra
        if is_file and self.path and not Path(self.path).exists():
            raise UsageError(f"there is no file {self.path}", hint="the first task makes it")
        tables = self.get_first("SELECT count(*) FROM sqlite_master WHERE type = 'table'")
        assert tables is not None, "count(*) returns a row"
        return f"SQLite {sqlite3.sqlite_version}, {tables[0]} tables"
