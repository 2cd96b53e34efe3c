"""This module is the connections to an SQLite file: one that writes, any number that read."""

import sqlite3
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from ostinato.errors import StoreError
from ostinato.store.faults import fault, mapped_faults

#: Path of a store that lies in memory and ends with its process.
IN_MEMORY = ":memory:"

#: KiB of pages that the writer keeps: the rows of many live task runs, so that an update
#: rarely reads the file.
WRITER_CACHE_KIB = 32 * 1024

#: Prepared statements that a connection keeps; there are fewer than a hundred.
CACHED_STATEMENTS = 128


class SqliteDatabase:
    """A file with one writing connection under a lock and a pool of reading ones.

    Readers see the last commit and never wait for the writer (WAL). A database in memory has
    one connection for both.

    Args:
        path: The file, or ``:memory:``.
        busy_timeout_s: Seconds that a write waits for another process's transaction.
    """

    def __init__(self, path: str, *, busy_timeout_s: float) -> None:
        self.path = path
        self.is_file = path != IN_MEMORY
        #: Held by whoever writes; reentrant for what a writer reads.
        self.lock = threading.RLock()
        self._busy_timeout_s = busy_timeout_s
        self._is_closed = False
        # Connections that nobody reads with at the moment, not one a thread: threads come
        # and go, and would leave theirs open.
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        with mapped_faults(path):
            if self.is_file:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            self.writer = self._connect(f"PRAGMA cache_size = -{WRITER_CACHE_KIB}")
        self._transaction = _Transaction(self)

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._is_closed

    def close(self) -> None:
        """Close all connections; those that are reading close when they are done."""
        with self.lock, self._idle_lock:
            self._is_closed = True
            for connection in (*self._idle, self.writer):
                connection.close()
            self._idle.clear()

    def writing(self, alone: str = "") -> "_Transaction":
        """Return what holds the writer in a transaction; an error writes nothing.

        Args:
            alone: Changes nothing: one transaction writes at a time.

        Raises:
            StoreError: On entry and on exit; one of its kinds.
        """
        del alone
        return self._transaction

    def read(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """Return the rows of a query.

        Raises:
            StoreError: One of its kinds.
        """
        with mapped_faults(self.path):
            if not self.is_file:
                with self.lock:
                    self.check_open()
                    return self.writer.execute(sql, values).fetchall()
            reader = self._take_reader()
            try:
                return reader.execute(sql, values).fetchall()
            finally:
                self._give_reader(reader)

    def check_open(self) -> None:
        """Refuse to go on after ``close``.

        Raises:
            StoreError: It was called.
        """
        if self._is_closed:
            raise StoreError(f"the store {self.path} was closed", hint="open it again")

    def _take_reader(self) -> sqlite3.Connection:
        with self._idle_lock:
            self.check_open()
            if self._idle:
                return self._idle.pop()
        return self._connect("PRAGMA query_only = ON")

    def _give_reader(self, reader: sqlite3.Connection) -> None:
        with self._idle_lock:
            if self._is_closed:
                reader.close()
            else:
                self._idle.append(reader)

    def _connect(self, setting: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=self._busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=CACHED_STATEMENTS,
        )
        try:
            # Temporary structures of queries stay in memory: no second file to write.
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute(setting)
        except BaseException:
            connection.close()
            raise
        return connection


class _Transaction:
    """A context manager that is made once: entering it is on the path of every commit."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    def __enter__(self) -> sqlite3.Connection:
        database = self._database
        database.lock.acquire()
        try:
            database.check_open()
            database.writer.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            database.lock.release()
            raise fault(error, database.path) from error
        except BaseException:
            database.lock.release()
            raise
        return database.writer

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        database = self._database
        try:
            if exc is None:
                database.writer.execute("COMMIT")
        except sqlite3.Error as error:
            exc = error
        try:
            # A full disk may have rolled back already.
            if exc is not None and database.writer.in_transaction:
                # Should that fail too, the first error is the one to tell of.
                with suppress(sqlite3.Error):
                    database.writer.execute("ROLLBACK")
        finally:
            database.lock.release()
        if isinstance(exc, sqlite3.Error):
            raise fault(exc, database.path) from exc
