"""This module is the connections to a PostgreSQL server: a few, for whoever reads or writes."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from ostinato.errors import StoreError
from ostinato.store.postgres.connection import Connector, PostgresConnection
from ostinato.store.postgres.faults import fault

#: Connections that are kept for the next one.
MAX_IDLE = 4

#: Marks advisory locks on nodes of ids: ``Osti`` in ASCII. Those of transactions have one more.
LOCK_CLASS = 0x4F737469


class PostgresDatabase:
    """A server, through connections that nobody uses at the moment.

    Args:
        connector: Makes connections.
    """

    def __init__(self, connector: Connector) -> None:
        self.path = connector.path
        self._connector = connector
        self._idle: list[PostgresConnection] = []
        self._lock = threading.Lock()
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._is_closed

    def close(self) -> None:
        """Close what is idle; connections in use close when they are given back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def read(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """Return the rows of a query.

        Raises:
            StoreError: One of its kinds.
        """
        connection, is_fresh = self._take()
        try:
            try:
                return connection.execute(sql, values).fetchall()
            except psycopg.Error as error:
                if is_fresh or not connection.is_lost:
                    raise fault(error, self.path) from error
            # It had been lying idle while the server was started anew; so had the others.
            self._drop_idle()
            connection = self._connector.connect()
            try:
                return connection.execute(sql, values).fetchall()
            except psycopg.Error as error:
                raise fault(error, self.path) from error
        finally:
            self._give(connection)

    @contextmanager
    def writing(self, alone: str = "") -> Iterator[PostgresConnection]:
        """Return what holds a connection in a transaction; an error writes nothing.

        Args:
            alone: Of several transactions with the same word one runs at a time.

        Raises:
            StoreError: On entry and on exit; one of its kinds.
        """
        connection = self._begin()
        try:
            if alone:
                lock = "SELECT pg_advisory_xact_lock(?1::int, hashtext(?2))"
                connection.execute(lock, (LOCK_CLASS + 1, alone))
            yield connection
            connection.execute("COMMIT")
        except psycopg.Error as error:
            _roll_back(connection)
            raise fault(error, self.path) from error
        except BaseException:
            _roll_back(connection)
            raise
        finally:
            self._give(connection)

    def check_open(self) -> None:
        """Refuse to go on after ``close``.

        Raises:
            StoreError: It was called.
        """
        if self._is_closed:
            raise StoreError(f"the store {self.path} was closed", hint="open it again")

    def _begin(self) -> PostgresConnection:
        connection, is_fresh = self._take()
        try:
            connection.execute("BEGIN")
        except psycopg.Error as error:
            self._give(connection)
            if is_fresh:
                raise fault(error, self.path) from error
            self._drop_idle()
            connection = self._connector.connect()
            connection.execute("BEGIN")
        return connection

    def _take(self) -> tuple[PostgresConnection, bool]:
        """Return a connection, and whether it was made now."""
        with self._lock:
            self.check_open()
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_lost:
                    return connection, False
        return self._connector.connect(), True

    def _give(self, connection: PostgresConnection) -> None:
        with self._lock:
            if not self._is_closed and not connection.is_lost and len(self._idle) < MAX_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def _drop_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def _roll_back(connection: PostgresConnection) -> None:
    # Should that fail too, the first error is the one to tell of.
    with suppress(psycopg.Error):
        connection.execute("ROLLBACK")
