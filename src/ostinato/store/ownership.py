"""This module is how processes on one machine see which of them live: locked files."""

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path


class LockFile:
    """A file that is locked for as long as its process lives, however it ends.

    Args:
        path: The file; made if it is missing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        # Python's files are not inherited by programs that are executed; a fork that shares
        # it would keep the lock alive, so children close it (see ``close_in_child``).
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.register_at_fork(after_in_child=self._close_in_child)

    def release(self) -> None:
        """Give the lock up and remove the file."""
        if self._file >= 0:
            self.path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1

    def _close_in_child(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def is_locked(path: Path) -> bool:
    """Whether a living process holds a lock file; False if there is none."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def process_start(pid: int) -> str:
    """Return when a process started, as its kernel counts; empty if there is none.

    Together with the pid it names a process for ever, since pids come again.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        # No such process, or no such file system: then the pid alone must do.
        return "" if not _exists(pid) else "unknown"
    return stat.rpartition(")")[2].split()[19]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def wake(address: str) -> None:
    """Send a datagram to a coordinator's socket; that nobody listens is no error."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(0)
        try:
            sender.sendto(b"\0", address)
        except OSError:
            # Its owner is gone, or has wakes enough waiting; the slow poll is the net.
            return


def remove_socket(address: str) -> None:
    """Remove the socket of a coordinator that is gone, and its folder; none is no error."""
    if address:
        Path(address).unlink(missing_ok=True)
        with suppress(OSError):  # the system may have tidied it away
            Path(address).parent.rmdir()
