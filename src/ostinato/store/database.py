"""This module is what the tables of a concern are written against, whichever store keeps them.

A concern (the vault, the cache, schedules ...) is one class over a ``Database`` and a file of
statements with ``?`` marks, used by both stores.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Rows(Protocol):
    """What a statement brought."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        ...

    def fetchone(self) -> Any:
        """Return the next row as a tuple, None behind the last."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        ...


class Connection(Protocol):
    """A connection inside a transaction."""

    def execute(self, sql: str, values: Sequence[object] = ..., /) -> Rows:
        """Execute a statement; its marks are ``?``, or ``?1`` where a value is used twice."""
        ...

    def executemany(self, sql: str, rows: Iterable[Sequence[object]], /) -> object:
        """Execute a statement for each row; what it brings is not to be had."""
        ...


class Database(Protocol):
    """Where the rows are: a file, or a server.

    Attributes:
        path: What people call it: a path, or a URL without its password.
    """

    path: str

    def read(self, sql: str, values: Sequence[object] = (), /) -> list[Any]:
        """Return the rows of a query.

        Raises:
            StoreError: One of its kinds.
        """
        ...

    def writing(self, alone: str = "", /) -> AbstractContextManager[Connection]:
        """Return what holds a connection in a transaction; an error writes nothing.

        Args:
            alone: What is read in order to be written, such as ``budgets``: of several
                transactions with the same word one runs at a time. SQLite has one at a time
                of all.

        Raises:
            StoreError: On entry and on exit; one of its kinds.
        """
        ...
