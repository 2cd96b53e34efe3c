"""This module reads the bytes and the text of a file that may be anything."""

import hashlib
import os
import stat
from typing import NamedTuple

from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.spec import FileProblem, Position

#: Bytes of a file of Python or YAML that is read; nobody writes a larger one by hand.
MAX_CODE_BYTES = 2 << 20

#: Bytes of any other text that is read.
MAX_TEXT_BYTES = 8 << 20

#: Bytes of a notebook that is read: pictures that it has made lie within it.
MAX_NOTEBOOK_BYTES = 256 << 20

_PART_BYTES = 1 << 20


class Content(NamedTuple):
    """What a file holds.

    Attributes:
        data: Its bytes.
        digest: Their hash.
        stamp: What changes when the file changes.
    """

    data: bytes
    digest: str
    stamp: tuple[int, ...]


class UnreadableFileError(Exception):
    """Say why a file cannot be read; it becomes a problem."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def problem(self, file: str) -> FileProblem:
        """Return it as a problem of a file."""
        return problem(self.code, str(self), Position(file, 1, 1))


def stamp_of(status: os.stat_result) -> tuple[int, ...]:
    """Return what changes when a file changes."""
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def read_content(path: str, max_bytes: int) -> Content:
    """Return what a file holds.

    Raises:
        FileNotFoundError: It is gone, or the link leads nowhere.
        UnreadableFileError: It is too large, no regular file, or may not be read.
    """
    try:
        # A pipe would wait for its writer otherwise.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnreadableFileError("F006", f"cannot be read: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableFileError("F006", "is no regular file")
        if status.st_size > max_bytes:
            size = f"{status.st_size / (1 << 20):,.1f} MiB"
            message = f"has {size}; no more than {max_bytes >> 20:,} MiB are read"
            raise UnreadableFileError("F005", message)
        data = _all_of(descriptor, max_bytes)
    except OSError as error:  # pragma: no cover - a disk that fails
        raise UnreadableFileError("F006", f"cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    return Content(data, hashlib.sha256(data).hexdigest(), stamp_of(status))


def read_large(path: str) -> Content:
    """Return the first bytes of a file of any size, and the hash of all of them.

    Raises:
        FileNotFoundError: It is gone, or the link leads nowhere.
        UnreadableFileError: It is no regular file, or may not be read.
    """
    digest = hashlib.sha256()
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableFileError("F006", "is no regular file")
        with open(path, "rb") as file:
            first = file.read(_PART_BYTES)
            part = first
            while part:
                digest.update(part)
                part = file.read(_PART_BYTES)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnreadableFileError("F006", f"cannot be read: {error.strerror}") from None
    return Content(first, digest.hexdigest(), stamp_of(status))


def text_of(data: bytes) -> str:
    r"""Return the text of a file, with newlines as ``\n`` and no byte order mark.

    Raises:
        UnreadableFileError: It is no text in UTF-8.
    """
    if b"\0" in data:
        raise UnreadableFileError("F004", "is a binary file and no text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"is not encoded in UTF-8: byte 0x{data[error.start]:02x} on line {line}"
        raise UnreadableFileError("F004", message) from None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _all_of(descriptor: int, max_bytes: int) -> bytes:
    parts = []
    left = max_bytes + 1
    while left > 0 and (part := os.read(descriptor, min(left, _PART_BYTES))):
        parts.append(part)
        left -= len(part)
    if left <= 0:  # pragma: no cover - another process writes at this moment
        message = f"grows while it is read; no more than {max_bytes >> 20:,} MiB are read"
        raise UnreadableFileError("F005", message)
    return parts[0] if len(parts) == 1 else b"".join(parts)
