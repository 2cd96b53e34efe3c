"""This module sees to it that a project has one ``ostinato dev`` at a time."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from msgspec import Struct

from ostinato.cli.opening import prepare_data
from ostinato.errors import UsageError
from ostinato.project.discovery import Project
from ostinato.store.locks import Locks

_LOCK = "dev.lock"
_FILE = "dev.json"


class Running(Struct, frozen=True):
    """Who has the lock.

    Attributes:
        pid: Of the process.
        url: Where it is reached; empty while it begins.
    """

    pid: int
    url: str = ""


class DevLock:
    """Hold the lock of a project while the context lasts, once it was taken."""

    def __init__(self) -> None:
        self._locks: Locks | None = None
        self._file = Path()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._locks is not None:
            self._file.unlink(missing_ok=True)
            self._locks.close()

    def take(self, project: Project) -> None:
        """Take the lock of a project.

        Raises:
            UsageError: Another process has it.
        """
        prepare_data(project)
        locks = Locks(project.data_dir)
        self._file = project.data_dir / _FILE
        if not locks.acquire(_LOCK):
            raise _held(self._file)
        self._locks = locks
        self.tell("")

    def tell(self, url: str) -> None:
        """Say where this process is reached, for whoever would like to begin a second one."""
        self._file.write_bytes(msgspec.json.encode(Running(os.getpid(), url)))


def _held(file: Path) -> UsageError:
    try:
        running = msgspec.json.decode(file.read_bytes(), type=Running)
    except (OSError, msgspec.DecodeError):
        # It has just begun, or is about to end.
        return UsageError(
            "ostinato dev runs in this project already", hint="use that one, or end it"
        )
    where = f" at {running.url}" if running.url else ""
    message = f"ostinato dev runs in this project already: process {running.pid}{where}"
    return UsageError(message, hint=f"use that one, or end it: kill {running.pid}")
