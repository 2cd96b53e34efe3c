"""This module is told by Linux when something beneath some folders changes."""

import ctypes
import errno
import os
import struct
from collections.abc import Iterable

_IN_CLOSE_WRITE = 0x8
_IN_MOVED_FROM = 0x40
_IN_MOVED_TO = 0x80
_IN_CREATE = 0x100
_IN_DELETE = 0x200
_IN_DELETE_SELF = 0x400
_IN_MOVE_SELF = 0x800
_IN_Q_OVERFLOW = 0x4000
_IN_IGNORED = 0x8000
_IN_ONLYDIR = 0x1000000
_IN_ISDIR = 0x40000000

#: A file that is still being written is told of when it is closed.
_MASK = (
    _IN_CLOSE_WRITE
    | _IN_MOVED_FROM
    | _IN_MOVED_TO
    | _IN_CREATE
    | _IN_DELETE
    | _IN_DELETE_SELF
    | _IN_MOVE_SELF
    | _IN_ONLYDIR
)

_HEADER = struct.Struct("iIII")
_READ_BYTES = 64 * 1024


class FolderEvents:
    """Tell in which folders something has changed.

    Raises:
        OSError: The system has no inotify, or no room for another one.
    """

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            self._add, self._remove = libc.inotify_add_watch, libc.inotify_rm_watch
            self._descriptor: int = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        except AttributeError:
            raise OSError(errno.ENOSYS, "this system has no inotify") from None
        if self._descriptor < 0:
            raise _last_error()
        self._folders: dict[int, str] = {}
        self._watches: dict[str, int] = {}

    def fileno(self) -> int:
        """Return the descriptor that is readable when something has changed."""
        return self._descriptor

    def watch(self, folders: Iterable[str]) -> None:
        """Watch these folders and no others; those that are gone meanwhile are left out.

        Args:
            folders: Their paths; what is beneath their folders is not watched.

        Raises:
            OSError: There are more than the system allows (``fs.inotify.max_user_watches``).
        """
        wanted = set(folders)
        for folder in self._watches.keys() - wanted:
            watch = self._watches.pop(folder)
            del self._folders[watch]
            # It fails where the folder is gone, and its watch with it.
            self._remove(self._descriptor, watch)
        for folder in wanted - self._watches.keys():
            watch = self._add(self._descriptor, os.fsencode(folder), _MASK)
            if watch >= 0:
                # The same folder by two names has one watch, told of by the last name.
                self._watches.pop(self._folders.get(watch, ""), None)
                self._folders[watch] = folder
                self._watches[folder] = watch
                continue
            error = _last_error()
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
                raise error

    def read(self) -> list[tuple[str, str, bool]]:
        """Return folder, name and whether it is a folder of what has changed since the last call.

        Empty names mean the folder itself, an empty folder that events were lost.
        """
        changes: list[tuple[str, str, bool]] = []
        while True:
            try:
                data = os.read(self._descriptor, _READ_BYTES)
            except BlockingIOError:
                return changes
            position = 0
            while position < len(data):
                watch, mask, _, size = _HEADER.unpack_from(data, position)
                position += _HEADER.size
                name = os.fsdecode(data[position : position + size].rstrip(b"\0"))
                position += size
                changes += self._change(watch, mask, name)

    def close(self) -> None:
        """Watch nothing any more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _change(self, watch: int, mask: int, name: str) -> list[tuple[str, str, bool]]:
        if mask & _IN_Q_OVERFLOW:
            return [("", "", True)]
        folder = self._folders.get(watch)
        if folder is None:
            return []
        if mask & _IN_IGNORED:
            # The kernel has dropped the watch: the folder was deleted.
            del self._folders[watch]
            self._watches.pop(folder, None)
            return []
        if mask & _IN_CREATE and not mask & _IN_ISDIR and not _is_whole(folder, name):
            # It is told of again when it is closed.
            return []
        return [(folder, name, bool(mask & _IN_ISDIR))]


def _is_whole(folder: str, name: str) -> bool:
    """Whether what was created comes with its content, and is not written and closed."""
    try:
        found = os.lstat(os.path.join(folder, name))
    except OSError:
        return True
    return found.st_nlink > 1 or not _is_regular(found.st_mode)


def _is_regular(mode: int) -> bool:
    return (mode & 0o170000) == 0o100000


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
