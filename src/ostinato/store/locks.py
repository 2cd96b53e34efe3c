"""This module is how processes on one machine see which of them live: locked files."""

import fcntl
import os
import weakref
from collections.abc import Callable
from pathlib import Path

from ostinato.store.faults import mapped_faults


class Locks:
    """The names that one store object holds, for as long as its process lives, however it ends.

    A name is a file under ``flock``, which the kernel lets go with the process; a pid or a
    heartbeat would be a guess (pids come again, and differ between containers).

    Args:
        folder: Where the files are; None for a store in memory, which nobody else sees.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._files: dict[str, int] = {}
        if folder is not None:
            # A fork shares the lock and would keep it alive after its parent; programs that
            # are executed do not get it (O_CLOEXEC). The hook cannot be taken back, so it
            # must not keep this object.
            forget = weakref.WeakMethod(self._forget)
            os.register_at_fork(after_in_child=lambda: _call(forget))

    def acquire(self, name: str) -> bool:
        """Take a name; False if somebody has it.

        Args:
            name: Of the file, relative to the folder.
        """
        if name in self._files:
            return False
        file = -1 if self._folder is None else _lock(self._folder / name)
        if file is None:
            return False
        self._files[name] = file
        return True

    def release(self, name: str) -> None:
        """Give a name back; one that is not held changes nothing."""
        file = self._files.pop(name, None)
        if file is not None and self._folder is not None:
            # Removed before it is let go: whoever waits for it then sees that it is gone.
            (self._folder / name).unlink(missing_ok=True)
            os.close(file)

    def is_held(self, name: str) -> bool:
        """Whether anybody alive has a name."""
        return name in self._files or (self._folder is not None and _is_locked(self._folder / name))

    def sweep(self, pattern: str) -> None:
        """Remove the files of those that are gone."""
        if self._folder is None:
            return
        for path in self._folder.glob(pattern):
            if not _is_locked(path):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Give all names back."""
        for name in list(self._files):
            self.release(name)

    def _forget(self) -> None:  # pragma: no cover - runs in a fork
        for file in self._files.values():
            os.close(file)
        self._files.clear()


def _call(
    method: "weakref.WeakMethod[Callable[[], None]]",
) -> None:  # pragma: no cover - runs in a fork
    bound = method()
    if bound is not None:
        bound()


def _lock(path: Path) -> int | None:
    """Return the open and locked file, None if somebody else has the lock."""
    with mapped_faults(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return None
            if _is_same(file, path):
                return file
            # It was given back and removed between the two calls: a lock on it says nothing.
            os.close(file)


def _is_same(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _is_locked(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared: two processes that look at once do not take each other for the owner.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
