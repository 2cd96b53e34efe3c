"""This module makes connections to PostgreSQL as the store uses them."""

import os
import threading
import weakref
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrDumperUnknown

from ostinato.errors import StoreError, StoreVersionError, UsageError
from ostinato.store.postgres.arrays import NUL_SIGN, register_arrays
from ostinato.store.postgres.dialect import translate
from ostinato.store.postgres.faults import connection_fault, fault

#: The first version of PostgreSQL that has all that the statements use.
OLDEST_POSTGRES = 14

#: Where our tables are, beside those of others.
SCHEMA = "ostinato"

#: Seconds that making a connection may take.
CONNECT_TIMEOUT_S = 5

#: Executions after which a statement is prepared.
PREPARE_AFTER = 2

_live: "weakref.WeakSet[psycopg.Connection[Any]]" = weakref.WeakSet()
_hook = threading.Lock()
_is_hooked = False


class PostgresConnection:
    """A connection to the server; one thread uses it at a time.

    It commits each statement by itself unless ``BEGIN`` was executed.

    Args:
        raw: As psycopg made it.
    """

    __slots__ = ("raw",)

    def __init__(self, raw: "psycopg.Connection[Any]") -> None:
        self.raw = raw

    def execute(self, sql: str, values: Sequence[object] = ()) -> "psycopg.Cursor[Any]":
        """Execute a statement of both stores."""
        return self.raw.execute(translate(sql), values)

    def executemany(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Execute a statement for each row, without waiting for each."""
        with self.raw.cursor() as cursor:
            cursor.executemany(translate(sql), rows)

    @property
    def is_lost(self) -> bool:
        """Whether the connection is no longer to be used."""
        return self.raw.closed

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        with suppress(psycopg.Error):
            self.raw.close()


class Connector:
    """Make connections that are all alike.

    Args:
        url: Of the database.
        durability: ``fsync`` or ``relaxed``.
        busy_timeout_s: Seconds that a statement waits for a lock of another process.
    """

    def __init__(self, url: str, *, durability: str, busy_timeout_s: float) -> None:
        self._url = url
        self.path = without_password(url)
        self._settings = (
            f"SET search_path TO {SCHEMA}; "
            f"SET synchronous_commit TO {'on' if durability == 'fsync' else 'off'}; "
            f"SET lock_timeout TO {int(busy_timeout_s * 1000)}; "
            # A process that was stopped in a transaction keeps nobody waiting for ever.
            "SET idle_in_transaction_session_timeout TO 15000; "
            # Statements name the index that serves them, but for tables that stay short. Plans are
            # made while tables are small and unknown, and kept: reading all of one looks cheap
            # then, and is not a minute later.
            "SET enable_seqscan TO off; SET enable_hashjoin TO off; SET enable_mergejoin TO off; "
            # Only a plain look into an index marks what it finds dead there, for all looks to come.
            "SET enable_bitmapscan TO off; "
            # What has no other way would count as so dear that it is compiled first.
            "SET jit TO off; "
            "SET client_min_messages TO warning"
        )
        self._adapters = _adapters()

    def connect(self) -> PostgresConnection:
        """Make a connection.

        Raises:
            StoreError: One of its kinds.
        """
        try:
            raw = psycopg.connect(
                self._url,
                autocommit=True,
                prepare_threshold=PREPARE_AFTER,
                cursor_factory=psycopg.RawCursor,
                context=self._adapters,
                connect_timeout=CONNECT_TIMEOUT_S,
                # Minutes of silence of a network are noticed within seconds.
                keepalives_idle=5,
                keepalives_interval=2,
                keepalives_count=3,
                tcp_user_timeout=10_000,
                fallback_application_name="ostinato",
            )
        except psycopg.ProgrammingError as error:
            text = " ".join(str(error).split())
            message = f"the store's URL cannot be read: {text}"
            raise UsageError(message, hint="write postgresql://USER@HOST/DATABASE") from error
        except psycopg.Error as error:
            raise connection_fault(error, self.path) from error
        _guard_forks(raw)
        try:
            self._prepare(raw)
        except psycopg.Error as error:
            raw.close()
            raise fault(error, self.path) from error
        except StoreError:
            raw.close()
            raise
        return PostgresConnection(raw)

    def _prepare(self, raw: "psycopg.Connection[Any]") -> None:
        if raw.info.server_version < OLDEST_POSTGRES * 10_000:
            found = raw.info.parameter_status("server_version")
            message = f"the store {self.path} is PostgreSQL {found}"
            raise StoreVersionError(message, hint=f"use PostgreSQL {OLDEST_POSTGRES} or newer")
        raw.pgconn.exec_(self._settings.encode())


def without_password(url: str) -> str:
    """Return a URL as it may be shown.

    Args:
        url: Of a database.

    >>> without_password("postgresql://ann:secret@db/shop?password=x&sslmode=require")
    'postgresql://ann@db/shop?sslmode=require'
    """
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    query = "&".join(
        each
        for each in parts.query.split("&")
        if each.partition("=")[0] not in ("password", "sslpassword")
    )
    shown = f"{parts.scheme}://{user.partition(':')[0]}{at}{host}{parts.path}"
    return f"{shown}?{query}" if query else shown


class _TextDumper(StrDumperUnknown):
    """Write texts with a sign in the place of what PostgreSQL's texts cannot hold."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", NUL_SIGN) if "\0" in obj else obj)


class _BoolDumper(Int8BinaryDumper):
    """Write truth as SQLite does: a number."""

    def dump(self, obj: Any) -> Any:
        return super().dump(int(obj))


def _adapters() -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    # One type for all numbers, whatever their size: one prepared statement.
    adapters.register_dumper(int, Int8BinaryDumper)
    adapters.register_dumper(bool, _BoolDumper)
    adapters.register_dumper(str, _TextDumper)
    register_arrays(adapters)
    return adapters


def _guard_forks(raw: "psycopg.Connection[Any]") -> None:
    """Keep a fork from ending the connections of its parent when it lets go of its copies."""
    global _is_hooked  # noqa: PLW0603 - the hook cannot be taken back, so it is set once
    with _hook:
        _live.add(raw)
        if not _is_hooked:
            os.register_at_fork(after_in_child=_cut_off)
            _is_hooked = True


def _cut_off() -> None:  # pragma: no cover - runs in a fork
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for raw in list(_live):
        with suppress(psycopg.Error, OSError):
            os.dup2(nowhere, raw.fileno(), inheritable=False)
    os.close(nowhere)
