"""This module is the one table by which errors of SQLite and of files become ours."""

import errno
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

#: Our error, what is wrong with the store, what to do.
_Fault = tuple[type[StoreError], str, str]

_FULL: _Fault = (
    StoreFull,
    "has no room left",
    "free some space on its disk; nothing that was committed is lost",
)
_READ_ONLY: _Fault = (
    StoreReadOnly,
    "may not be written",
    "check the permissions of the file and of its folder",
)
_UNWRITABLE: _Fault = (
    StoreFull,
    "cannot be written to disk",
    "check that the disk has space and is sound; nothing that was committed is lost",
)

#: By result code of SQLite: the extended one first, else its low byte.
_FAULTS: dict[int, _Fault] = {
    sqlite3.SQLITE_BUSY: (
        StoreLocked,
        "is locked by another process",
        "wait for it to end, or see who has the file open: fuser <path>",
    ),
    sqlite3.SQLITE_LOCKED: (StoreLocked, "is locked", "try again"),
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_FULL: _FULL,
    # What a limit on the size of files, or a disk that fills in the middle, looks like.
    sqlite3.SQLITE_IOERR_WRITE: _UNWRITABLE,
    sqlite3.SQLITE_IOERR_FSYNC: _UNWRITABLE,
    sqlite3.SQLITE_IOERR_TRUNCATE: _UNWRITABLE,
    sqlite3.SQLITE_IOERR_SHMSIZE: _UNWRITABLE,
    sqlite3.SQLITE_IOERR: (
        StoreError,
        "cannot be read from disk",
        "check that the disk is sound",
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
        "check that its path is no folder, and that its folder may be written",
    ),
}

#: By ``errno`` of what is done to files and folders beside SQLite.
_FILE_FAULTS: dict[int, _Fault] = {
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
    errno.EROFS: _READ_ONLY,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
}


@contextmanager
def mapped_faults(path: str) -> Iterator[None]:
    """Raise our own error, in one line, for whatever SQLite or the file system raises.

    Args:
        path: Of the store, or of a file beside it.

    Raises:
        StoreError: One of its kinds.
    """
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise fault(error, path) from error


def fault(error: sqlite3.Error | OSError, path: str) -> StoreError:
    """Return our error for one of SQLite's or of the file system's.

    Args:
        error: What was raised.
        path: Of the store, or of a file beside it.
    """
    kind, problem, hint = _find(error)
    return kind(f"the store {path} {problem}", hint=hint.replace("<path>", path))


def _find(error: sqlite3.Error | OSError) -> _Fault:
    if isinstance(error, OSError):
        unknown = (StoreError, f"cannot be used: {error.strerror or error}", "check its path")
        return _FILE_FAULTS.get(error.errno or 0, unknown)
    # Errors that Python's module finds by itself carry no code.
    code: int = getattr(error, "sqlite_errorcode", 0)
    unknown = (StoreError, f"failed: {error}", "")
    return _FAULTS.get(code) or _FAULTS.get(code & 0xFF) or unknown
