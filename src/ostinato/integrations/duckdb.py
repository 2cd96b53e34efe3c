"""This module is the hook for DuckDB databases."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ostinato.authoring.hooks import SqlHook, missing_package

#: Keys of ``extra`` that are not settings of DuckDB.
_OWN_KEYS = ("read_only",)


class DuckDbHook(SqlHook):
    """Speak to a DuckDB database.

    ``duckdb:///data/shop.duckdb`` is a file, ``duckdb://`` a database in memory. ``extra`` may
    hold ``read_only``, and settings of DuckDB such as ``threads`` or ``memory_limit``.
    """

    @property
    def path(self) -> str:
        """The file, as DuckDB gets it."""
        connection = self.connection
        parts = [part for part in (connection.host, connection.schema) if part]
        return "/".join(parts) or ":memory:"

    def open(self) -> Any:
        """Open the database; a file that is not there is made.

        Raises:
            MissingPackage: DuckDB is not installed.
        """
        try:
            # 30 ms and optional.
            import duckdb  # noqa: PLC0415 - see above
        except ModuleNotFoundError:
            raise missing_package("duckdb", "ostinato[duckdb]", "a DuckDB connection") from None
        extra = self.connection.extra
        read_only = str(extra.get("read_only", "")).lower() in ("true", "1", "yes")
        config = {name: value for name, value in extra.items() if name not in _OWN_KEYS}
        return duckdb.connect(self.path, read_only=read_only, config=config)

    def run(self, sql: Any, parameters: Any = None) -> int:
        """Execute statements in one transaction; DuckDB counts changed rows in a result."""
        with self._cursor() as connection:
            self._execute(connection, sql, parameters)
            row: Any = connection.fetchone() if connection.description else None
        is_count = row is not None and len(row) == 1 and isinstance(row[0], int)
        return int(row[0]) if is_count else -1

    @contextmanager
    def _cursor(self, *, autocommit: bool = False) -> Iterator[Any]:
        # What DuckDB calls a cursor is another connection, with a transaction of its own.
        with self.open() as connection:
            if autocommit:
                yield connection
                return
            connection.begin()
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    def get_df(self, sql: Any, parameters: Any = None) -> Any:
        """Return a query's rows as a data frame of pandas."""
        with self.open() as connection:
            self._execute(connection, sql, parameters)
            return connection.df()

    def test(self) -> str:
        """Open the database and ask for its version."""
        found = self.get_first("SELECT version(), (SELECT count(*) FROM duckdb_tables())")
        assert found is not None, "a SELECT without FROM returns a row"
        version, tables = found
        return f"DuckDB {version}, {tables} tables"
