"""This module holds the sensor that waits for files."""

import asyncio
import glob
import os
from pathlib import Path
from typing import Any

from ostinato.authoring.operators.sensor import PokeReturn, Sensor
from ostinato.authoring.ports import Context
from ostinato.authoring.references import Reference
from ostinato.authoring.triggers import Trigger


def find_paths(pattern: str, *, recursive: bool) -> list[str]:
    """Return what a pattern matches: files, and folders with a file somewhere in them.

    Args:
        pattern: A path, which may hold ``*``, ``?`` and ``[...]``.
        recursive: Whether ``**`` stands for any number of folders.
    """
    is_plain = not glob.has_magic(pattern)
    candidates = [pattern] if is_plain else sorted(glob.glob(pattern, recursive=recursive))
    return [path for path in candidates if os.path.isfile(path) or _holds_file(path)]


def _holds_file(folder: str) -> bool:
    return any(files for _, _, files in os.walk(folder))


class FileTrigger(Trigger):
    """Look for files again and again.

    Attributes:
        pattern: Absolute path or pattern.
        recursive: As ``find_paths`` has it.
        interval_s: Between looks.
    """

    pattern: str
    recursive: bool
    interval_s: float

    async def run(self) -> list[str]:
        """Return what was found, once there is something."""
        found: list[str] = []
        while not found:
            # First, for the poke that this follows on has just looked.
            await asyncio.sleep(self.interval_s)
            # In a thread, for a network file system may keep it waiting.
            found = await asyncio.to_thread(find_paths, self.pattern, recursive=self.recursive)
        return found


class FileSensor(Sensor):
    """Wait until a file is there; the result is the list of paths that were found.

    A folder counts once there is a file in it or below.

    Args:
        task_id: Unique in its group.
        filepath: Path, or pattern with ``*``, ``?`` and ``[...]``. A relative one starts at the
            connection's path, else at the working directory.
        fs_conn_id: Connection whose ``path`` in ``extra``, else whose host, is where paths start.
        recursive: Whether ``**`` in the pattern stands for any number of folders.
        options: What ``Sensor`` takes, and policies.

    Example:
        ``FileSensor(task_id="arrived", filepath="inbox/{{ ds }}/*.csv", poke_interval=10)``
    """

    operator_name = "file_sensor"
    template_fields = ("filepath",)

    def __init__(
        self,
        task_id: str,
        *,
        filepath: str | Path | Reference,
        fs_conn_id: str | None = None,
        recursive: bool = False,
        **options: Any,
    ) -> None:
        self.filepath: Any = filepath
        self.fs_conn_id = fs_conn_id
        self.recursive = recursive
        super().__init__(task_id, **options)
        if not isinstance(filepath, Reference):
            self._check()
        if not isinstance(fs_conn_id, str | None):
            raise self.refusal(f"fs_conn_id is {fs_conn_id!r}, not text")

    def _check(self) -> None:
        if not isinstance(self.filepath, str | Path) or not str(self.filepath):
            raise self.refusal(f"filepath is {self.filepath!r}, no path")

    def poke(self, context: Context) -> PokeReturn:
        """Return whether there is a file.

        Args:
            context: Of the attempt.
        """
        found = find_paths(self._pattern(context), recursive=self.recursive)
        return PokeReturn(bool(found), found)

    def trigger(self, context: Context) -> Trigger | None:
        """Return what looks again; None with back-off, which the trigger does not know.

        Args:
            context: Of the attempt.
        """
        if self.backoff > 1:
            return None
        return FileTrigger(self._pattern(context), self.recursive, self.poke_interval_s)

    def _pattern(self, context: Context) -> str:
        self._check()
        start = ""
        if self.fs_conn_id is not None:
            connection = context.connection(self.fs_conn_id)
            start = str(connection.extra.get("path") or connection.host)
        return os.path.abspath(os.path.join(start, os.path.expanduser(self.filepath)))
