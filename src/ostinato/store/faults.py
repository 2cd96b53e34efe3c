"""This module is the one table by which errors of SQLite become ours."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from ostinato.errors import (
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
)

#: By primary result code (the low byte of the extended one): our error, what is wrong, what to do.
_FAULTS: dict[int, tuple[type[StoreError], str, str]] = {
    sqlite3.SQLITE_BUSY: (
        StoreLocked,
        "is locked by another process",
        "wait for it to end, or see who holds the file open",
    ),
    sqlite3.SQLITE_LOCKED: (StoreLocked, "is locked", "try again"),
    sqlite3.SQLITE_READONLY: (
        StoreReadOnly,
        "cannot be written",
        "check the permissions of the file and of its folder",
    ),
    sqlite3.SQLITE_FULL: (StoreFull, "has no room left", "free some space; nothing is lost"),
    sqlite3.SQLITE_IOERR: (
        StoreFull,
        "cannot be written to disk",
        "check that the disk has space and is sound; nothing committed is lost",
    ),
    sqlite3.SQLITE_CORRUPT: (
        StoreCorrupt,
        "is damaged",
        "restore it from a copy, or move it away to start anew",
    ),
    sqlite3.SQLITE_NOTADB: (
        StoreCorrupt,
        "is not a store: the file holds something else",
        "name another path under 'store' in ostinato.yaml",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        StoreReadOnly,
        "cannot be opened",
        "check that its folder exists and may be written",
    ),
    sqlite3.SQLITE_PERM: (StoreReadOnly, "may not be opened", "check its permissions"),
}


@contextmanager
def mapped_faults(path: str) -> Iterator[None]:
    """Raise our own error, in one line, for whatever SQLite raises.

    Args:
        path: Of the store.

    Raises:
        StoreError: One of its kinds.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise fault(error, path) from error


def fault(error: sqlite3.Error, path: str) -> StoreError:
    """Return our error for one of SQLite's."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    kind, problem, hint = _FAULTS.get(code, (StoreError, f"failed: {error}", ""))
    return kind(f"the store {path} {problem}", hint=hint)
