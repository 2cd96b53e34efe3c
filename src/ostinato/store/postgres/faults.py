"""This module is the one table by which errors of PostgreSQL become ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from ostinato.errors import (
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreUnreachable,
)

#: Our error, what is wrong with the store, what to do.
_Fault = tuple[type[StoreError], str, str]

_ENDED: _Fault = (
    StoreUnreachable,
    "ended the connection",
    "see that PostgreSQL runs; what was committed is kept",
)
_BUSY: _Fault = (
    StoreUnreachable,
    "takes no more connections",
    "raise max_connections of PostgreSQL, or run fewer processes",
)
_STARTING: _Fault = (StoreUnreachable, "is starting or stopping", "try again")
_LOCKED: _Fault = (StoreLocked, "is locked by another process", "try again")
_RIGHTS: _Fault = (
    StoreReadOnly,
    "may not be written by this user",
    "grant the user the right to create and write in the schema 'ostinato'",
)
_READ_ONLY: _Fault = (
    StoreReadOnly,
    "takes no writes: it is read-only, or a standby",
    "name the primary server in the store's URL",
)
_DAMAGED: _Fault = (
    StoreCorrupt,
    "lacks tables or columns that belong there",
    "restore the schema 'ostinato' from a copy, or name another database",
)
_PASSWORD: _Fault = (
    StoreError,
    "refuses the user or the password",
    "check user and password in the store's URL, and pg_hba.conf",
)
_DATABASE: _Fault = (StoreError, "has no such database", "create it: createdb NAME")
_SHUT: _Fault = (
    StoreUnreachable,
    "takes no connections at present",
    "whoever shut it opens it by ALTER DATABASE NAME ALLOW_CONNECTIONS true",
)

#: By SQLSTATE: the whole one first, else its first two characters.
_FAULTS: dict[str, _Fault] = {
    "57P01": _ENDED,
    "57P02": _ENDED,
    "57P03": _STARTING,
    "57P05": _ENDED,
    "25P03": _ENDED,
    "08": _ENDED,
    "53300": _BUSY,
    "53400": _BUSY,
    "53": (
        StoreFull,
        "has no room left",
        "free some space on the disk of PostgreSQL; nothing that was committed is lost",
    ),
    # What a full disk looks like where a file cannot be extended.
    "58": (
        StoreFull,
        "cannot be written to disk",
        "check that the disk of PostgreSQL has space; nothing that was committed is lost",
    ),
    "55P03": _LOCKED,
    "40P01": _LOCKED,
    "40001": _LOCKED,
    "57014": _LOCKED,
    "25006": _READ_ONLY,
    "42501": _RIGHTS,
    "42P01": _DAMAGED,
    "42703": _DAMAGED,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
    "28": _PASSWORD,
    "3D000": _DATABASE,
}

#: By what the text says of a connection that was never made: it has no SQLSTATE then.
_TEXTS: tuple[tuple[str, _Fault], ...] = (
    ("password authentication failed", _PASSWORD),
    ("no password supplied", _PASSWORD),
    ("authentication failed", _PASSWORD),
    ("no pg_hba.conf entry", _PASSWORD),
    ("not currently accepting connections", _SHUT),
    ("too many c", _BUSY),
    ("remaining connection slots", _BUSY),
    ("starting up", _STARTING),
    ("shutting down", _STARTING),
    ("not yet accepting connections", _STARTING),
    ('role "', _PASSWORD),
    ('database "', _DATABASE),
)


@contextmanager
def mapped_faults(path: str) -> Iterator[None]:
    """Raise our own error, in one line, for whatever psycopg raises.

    Args:
        path: The store's URL without its password.

    Raises:
        StoreError: One of its kinds.
    """
    try:
        yield
    except psycopg.Error as error:
        raise fault(error, path) from error


def fault(error: psycopg.Error, path: str) -> StoreError:
    """Return our error for one of psycopg's.

    Args:
        error: What was raised.
        path: The store's URL without its password.
    """
    kind, problem, hint = _find(error)
    return kind(f"the store {path} {problem}", hint=hint)


def connection_fault(error: psycopg.Error, path: str) -> StoreError:
    """Return our error for a connection that could not be made.

    Args:
        error: What was raised.
        path: The store's URL without its password.
    """
    text = " ".join(str(error).split())
    for words, (kind, problem, hint) in _TEXTS:
        if words in text:
            return kind(f"the store {path} {problem}", hint=hint)
    said = text.partition("Is the server running")[0].strip().rstrip("?:")
    return StoreUnreachable(
        f"the store {path} cannot be reached: {said}",
        hint="see that PostgreSQL runs and that host and port in the store's URL are right",
    )


def _find(error: psycopg.Error) -> _Fault:
    state = error.sqlstate or ""
    found = _FAULTS.get(state) or _FAULTS.get(state[:2])
    if found is not None:
        return found
    if not state and isinstance(error, psycopg.OperationalError):
        return _ENDED
    return StoreError, f"failed: {' '.join(str(error).split())}", ""
