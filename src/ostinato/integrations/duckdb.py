"""This module is the hook for DuckDB databases."""

import logging
import os
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ostinato.authoring.hooks import SqlHook, missing_package
from ostinato.authoring.sql_dialects import Relation, RelationKind, SqlDialect, first_row, literal
from ostinato.errors import ExecutionError

#: Keys of ``extra`` that are not settings of DuckDB.
_OWN_KEYS = ("read_only", "lock_timeout")

#: Seconds that a file which another process has open is waited for, unless ``extra`` says
#: otherwise.
LOCK_TIMEOUT_S = 600.0

#: Seconds between two looks at such a file; DuckDB has no way to be told.
LOOK_EVERY_S = 0.05

#: Seconds of waiting after which the log says so.
_SAID_AFTER_S = 2.0

#: What a data frame is called while a table is made of it.
_FRAME = "ostinato_frame"

_HOLDER = re.compile(r"held in (?P<program>.*?)\(?PID (?P<pid>\d+)")
_LINE = re.compile(r"^LINE (?P<line>\d+): (?P<text>.*)\n(?P<space> *)\^", re.MULTILINE)

logger = logging.getLogger(__name__)

#: One writer of a file at a time in a process, as there is one process at a time.
_writers: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


class DuckDbDialect(SqlDialect):
    """Make tables as DuckDB does, which replaces them in one statement."""

    name = "duckdb"
    reads_frames = True

    def kind_of(self, cursor: Any, relation: Relation) -> RelationKind | None:
        """Return what stands under a name, None if there is nothing."""
        schema = literal(relation.schema) if relation.schema else self.current_schema
        cursor.execute(
            "SELECT table_type FROM information_schema.tables "
            f"WHERE lower(table_name) = lower({literal(relation.name)}) "
            f"AND lower(table_schema) = lower({schema}) AND table_catalog = current_database()"
        )
        row = first_row(cursor)
        if row is None:
            return None
        return RelationKind.VIEW if row[0] == "VIEW" else RelationKind.TABLE

    def replace_table(
        self,
        cursor: Any,
        relation: Relation,
        query: str,
        existing: RelationKind | None,
        *,
        drops_dependents: bool = False,
    ) -> None:
        """Make a table of what a query finds in the place of what is there."""
        if existing is RelationKind.VIEW:
            super().replace_table(cursor, relation, query, existing)
            return
        self.execute_with(cursor, f"CREATE OR REPLACE TABLE {self.quote(relation)} AS", query)

    def query_of(self, cursor: Any, source: Any) -> str:
        """Return a query for the rows of a data frame or of a file."""
        if isinstance(source, Path):
            reader = "read_csv" if source.suffix.lower() == ".csv" else "read_parquet"
            return f"SELECT * FROM {reader}({literal(source)})"
        cursor.register(_FRAME, source)
        return f"SELECT * FROM {_FRAME}"

    def message_of(self, error: Exception) -> str:
        """Return what DuckDB says in one line, without the drawing of the place."""
        text, _, _ = str(error).partition("\n\nLINE ")
        return " ".join(text.split())

    def position_of(self, error: Exception, statement: str) -> int | None:
        """Return where in a statement DuckDB saw an error: it quotes the line, and underlines."""
        found = _LINE.search(str(error))
        if found is None:
            return None
        lines = statement.splitlines(keepends=True)
        number = int(found["line"])
        if number > len(lines):
            return None
        column = len(found["space"]) - len(f"LINE {number}: ")
        # Of long lines it quotes a part, with dots for the rest.
        is_whole = lines[number - 1].rstrip("\n").startswith(found["text"])
        start = sum(map(len, lines[: number - 1]))
        return start + column if is_whole and column >= 0 else start


class DuckDbHook(SqlHook):
    """Speak to a DuckDB database.

    ``duckdb:///data/shop.duckdb`` is a file, ``duckdb://`` a database in memory. ``extra`` may
    hold ``read_only``, and settings of DuckDB such as ``threads`` or ``memory_limit``.

    One process at a time may have a file open that it writes to. The others wait for it,
    ``lock_timeout`` seconds at most, 600 by default.
    """

    @property
    def dialect(self) -> SqlDialect:
        """How DuckDB makes tables and views."""
        return DuckDbDialect()

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
            ExecutionError: Another process has had the file open for too long.
        """
        try:
            # 30 ms and optional.
            import duckdb  # noqa: PLC0415 - see above
        except ModuleNotFoundError:
            raise missing_package("duckdb", "ostinato[duckdb]", "a DuckDB connection") from None
        extra = self.connection.extra
        read_only = str(extra.get("read_only", "")).lower() in ("true", "1", "yes")
        config = {name: value for name, value in extra.items() if name not in _OWN_KEYS}
        timeout_s = float(extra.get("lock_timeout", LOCK_TIMEOUT_S))
        waited_s = 0.0
        while True:
            try:
                return duckdb.connect(self.path, read_only=read_only, config=config)
            except duckdb.IOException as err:
                if not (holder := _holder_of(err)):
                    raise
                if waited_s >= timeout_s:
                    message = f"{self.path} has been open in {holder} for {timeout_s:g} s"
                    hint = "DuckDB lets one process at a time write to a file"
                    raise ExecutionError(message, hint=hint) from err
            if waited_s < _SAID_AFTER_S <= waited_s + LOOK_EVERY_S:
                logger.info("waiting for %s, which is open in %s", self.path, holder)
            time.sleep(LOOK_EVERY_S)
            waited_s += LOOK_EVERY_S

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """Give a cursor in a transaction of the only writer; others are waited for."""
        # Writers of one file conflict with each other in a process too.
        with _writers[os.path.abspath(self.path)], self._cursor() as connection:
            yield connection

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


def _holder_of(error: Exception) -> str:
    """Return which process has a file open, empty if an error says nothing of the sort."""
    text = str(error)
    if "lock on file" not in text:
        return ""
    found = _HOLDER.search(text)
    if found is None:
        return "another process"
    program = os.path.basename(found["program"].strip(" ("))
    return f"process {found['pid']}" + (f" ({program})" if program else "")
