"""This module is how tasks speak to systems outside: a hook for each type of connection.

Hooks are found by the entry points of the group ``ostinato.connections``, whose names are types
of connections; a package that is installed beside Ostinato adds its own in the same way.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from ostinato.authoring.sql_dialects import SqlDialect
from ostinato.authoring.sql_script import split_statements
from ostinato.authoring.suggestions import did_you_mean
from ostinato.errors import InvalidConnection, MissingPackage, UsageError
from ostinato.model.connection import Connection

#: Group of entry points: type of connection → class of its hook.
ENTRY_POINTS = "ostinato.connections"

Parameters = Sequence[Any] | Mapping[str, Any] | None


class Hook:
    """Speak to the system that a connection leads to.

    Subclass it, override ``test`` and add what the system can do; name the class under the
    entry points of ``ostinato.connections``. What is opened is opened when it is needed, never
    in ``__init__``.

    Args:
        connection: How to reach it.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def test(self) -> str:
        """Connect, and return in a few words what was found; raise what went wrong."""
        kind = self.connection.conn_type
        message = f"connections of type {kind!r} cannot be tested"
        raise UsageError(message, hint=f"its hook {type(self).__name__} has no test()")


class SqlConnection(Protocol):
    """An open database connection, as PEP 249 has it, that a ``with`` commits and closes."""

    def cursor(self) -> Any:
        """Return what executes statements."""
        ...

    def commit(self) -> Any:
        """Keep what was changed."""
        ...

    def rollback(self) -> Any:
        """Drop what was changed."""
        ...

    def close(self) -> Any:
        """Give the connection back."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Any: ...


class QueryResult(NamedTuple):
    """What a query returned.

    Attributes:
        columns: Their names.
        records: The rows, in order.
    """

    columns: tuple[str, ...]
    records: list[tuple[Any, ...]]


def fetch_all(cursor: Any) -> list[tuple[Any, ...]] | None:
    """Return all rows that a statement found, None if it is no query."""
    if cursor.description is None:
        return None
    return [tuple(row) for row in cursor.fetchall()]


class SqlHook(Hook):
    """Speak SQL; a database's own hook overrides ``open``.

    Parameters are written in statements as the database's driver has them: ``?`` or ``:name``
    for SQLite, ``?`` or ``$name`` for DuckDB, ``%s`` or ``%(name)s`` for PostgreSQL.
    """

    @property
    def dialect(self) -> SqlDialect:
        """How its database makes tables and views."""
        return SqlDialect()

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """Give a cursor in a transaction, which an error rolls back.

        Where a database has one writer at a time, it waits to be the one.
        """
        with self._cursor() as cursor:
            yield cursor

    def open(self) -> SqlConnection:
        """Return an open connection; a ``with`` commits it, or rolls back on errors, and closes it.

        Raises:
            MissingPackage: The driver is not installed.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how to open its database")

    def set_autocommit(self, connection: Any) -> None:
        """Let an open connection commit each statement by itself."""
        connection.autocommit = True

    def split(self, script: str) -> list[str]:
        """Return the statements of a script."""
        return list(split_statements(script))

    def execute(
        self,
        sql: str | Sequence[str],
        parameters: Parameters = None,
        *,
        handler: Callable[[Any], Any] | None = fetch_all,
        autocommit: bool = False,
    ) -> list[Any]:
        """Execute statements and return what each of them gave.

        Args:
            sql: One statement, a script of several, or a list of statements.
            parameters: Of each of the statements.
            handler: Makes a result of the cursor after each statement; None for no results.
            autocommit: Whether each statement is committed by itself, else all are together.
        """
        results = []
        with self._cursor(autocommit=autocommit) as cursor:
            for statement in self._statements(sql):
                self._execute(cursor, [statement], parameters)
                results.append(None if handler is None else handler(cursor))
        return results

    def run(self, sql: str | Sequence[str], parameters: Parameters = None) -> int:
        """Execute statements in one transaction.

        Args:
            sql: One statement, a script of several, or a list.
            parameters: Of each of the statements.

        Returns:
            How many rows the last one changed, -1 where the driver does not count them.
        """
        with self._cursor() as cursor:
            self._execute(cursor, sql, parameters)
            return int(getattr(cursor, "rowcount", -1))

    def query(self, sql: str | Sequence[str], parameters: Parameters = None) -> QueryResult:
        """Execute statements in one transaction and return what the last one finds."""
        with self._cursor() as cursor:
            self._execute(cursor, sql, parameters)
            if cursor.description is None:
                return QueryResult((), [])
            columns = tuple(str(column[0]) for column in cursor.description)
            return QueryResult(columns, [tuple(row) for row in cursor.fetchall()])

    def get_records(
        self, sql: str | Sequence[str], parameters: Parameters = None
    ) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        return self.query(sql, parameters).records

    def get_first(
        self, sql: str | Sequence[str], parameters: Parameters = None
    ) -> tuple[Any, ...] | None:
        """Return the first row of a query, None if it has none."""
        with self._cursor() as cursor:
            self._execute(cursor, sql, parameters)
            row = cursor.fetchone() if cursor.description is not None else None
            return None if row is None else tuple(row)

    def get_df(self, sql: str | Sequence[str], parameters: Parameters = None) -> Any:
        """Return a query's rows as a data frame of pandas.

        Raises:
            MissingPackage: Pandas is not installed.
        """
        try:
            # 300 ms and optional: loaded where somebody asks for a frame.
            import pandas as pd  # noqa: PLC0415 - see above
        except ModuleNotFoundError:
            raise missing_package("pandas", "pandas", "get_df()") from None
        columns, records = self.query(sql, parameters)
        return pd.DataFrame.from_records(records, columns=list(columns))

    def test(self) -> str:
        """Connect and ask the database for a number."""
        found = self.get_first("SELECT 1")
        if found is None or found[0] != 1:
            raise UsageError(f"the database answered {found!r} to SELECT 1")
        return "the database answers"

    def _execute(self, cursor: Any, sql: str | Sequence[str], parameters: Parameters) -> None:
        for statement in self._statements(sql):
            if parameters is None:
                cursor.execute(statement)
            else:
                cursor.execute(statement, parameters)

    def _statements(self, sql: str | Sequence[str]) -> list[str]:
        statements = self.split(sql) if isinstance(sql, str) else list(sql)
        if not statements:
            raise UsageError("there is no statement to execute")
        return statements

    @contextmanager
    def _cursor(self, *, autocommit: bool = False) -> Iterator[Any]:
        with self.open() as connection:
            if autocommit:
                self.set_autocommit(connection)
            cursor = connection.cursor()
            try:
                yield cursor
            finally:
                cursor.close()


def hook_for(connection: Connection) -> Hook:
    """Return the hook of a connection's type.

    Raises:
        InvalidConnection: It has no type, or no installed package knows it.
    """
    # 10 ms: loaded where a hook is needed.
    from importlib.metadata import entry_points  # noqa: PLC0415 - see above

    name = connection.conn_type
    subject = f"connection {connection.conn_id!r}" if connection.conn_id else "the connection"
    if not name:
        message = f"{subject} has no type"
        raise InvalidConnection(message, hint="such as postgres in postgres://host/database")
    group = entry_points(group=ENTRY_POINTS)
    found = [point for point in group if point.name.replace("-", "_") == name]
    if not found:
        known = sorted(group.names)
        hint = did_you_mean(name, known) or f"installed are {', '.join(known)}"
        message = f"{subject} has the type {name!r}, which has no hook here"
        raise InvalidConnection(message, hint=hint)
    # Another package's hook takes the place of ours.
    found.sort(key=lambda point: point.value.startswith("ostinato."))
    hook = found[0].load()(connection)
    assert isinstance(hook, Hook), f"{found[0].value} is no Hook"
    return hook


def missing_package(package: str, requirement: str, used_by: str) -> MissingPackage:
    """Return the error that says how to install what is missing.

    Args:
        package: Name of the package.
        requirement: What pip is told, such as ``ostinato[http]``.
        used_by: What needs it.
    """
    message = f"{used_by} needs the package {package!r}, which is not installed"
    return MissingPackage(message, hint=f"pip install '{requirement}'")
