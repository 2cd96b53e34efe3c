"""This module keeps what was read of a folder's files, so that unchanged ones are read once."""

import functools
import hashlib
import os
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from ostinato.authoring.files.spec import FileSpec, FolderSpec

#: Begins the file.
_HEAD = b"ostinato-files\n"

#: Values that are the same after they were written and read.
_PLAIN = (str, int, float, bool, type(None))


class KeptFiles:
    """What was read of files, in a file that outlives the process.

    Only sound files are kept, and only those whose text alone decides what they say.

    Args:
        path: Of the file; without one nothing outlives the process.
    """

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._kept: dict[str, FileSpec] = {}
        self._way = ""

    def load(self, way: str) -> dict[str, FileSpec]:
        """Return what is kept of files that were read in one way, by their paths.

        Args:
            way: What else than their text decides what they say.
        """
        self._way = way
        if self._path:
            try:
                with open(self._path, "rb") as file:
                    data = file.read()
                found = _decoder.decode(data[len(_HEAD) :]) if data.startswith(_HEAD) else None
            except (OSError, msgspec.MsgspecError):
                found = None
            if found is not None and (found.way, found.edition) == (way, edition()):
                self._kept = {file.path: file for file in found.files}
        return self._kept

    def save(self, folder: FolderSpec) -> None:
        """Write what was read, unless it is what is kept."""
        if not self._path:
            return
        files = [file for file in files_in(folder) if self._kept.get(file.path) is file]
        fresh = [file for file in files_in(folder) if self._is_fresh(file)]
        if not fresh and len(files) == len(self._kept):
            return
        aside = f"{self._path}.{os.getpid()}"
        try:
            data = _HEAD + _encoder.encode(_Kept(edition(), self._way, (*files, *fresh)))
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            with open(aside, "wb") as file:
                file.write(data)
            os.replace(aside, self._path)
        except (OSError, OverflowError, UnicodeEncodeError):
            # What cannot be written costs time and nothing else.
            self._path = ""

    def _is_fresh(self, file: FileSpec) -> bool:
        return self._kept.get(file.path) is not file and _is_kept(file)


class _Kept(Struct, frozen=True):
    edition: str
    way: str
    files: tuple[FileSpec, ...]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Kept)


@functools.cache
def edition() -> str:
    """Return what differs where the loader differs: what another one has kept is read again."""
    digest = hashlib.blake2b(digest_size=16)
    with os.scandir(os.path.dirname(os.path.abspath(__file__))) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.endswith(".py"):
                status = entry.stat()
                digest.update(f"{entry.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def files_in(folder: FolderSpec | None) -> Iterator[FileSpec]:
    """Iterate over all files that were read of a folder, METADATA and broken ones among them."""
    if folder is None:
        return
    yield from folder.files
    yield from folder.broken
    if folder.metadata_file is not None:
        yield folder.metadata_file
    for child in folder.folders:
        yield from files_in(child)


def _is_kept(file: FileSpec) -> bool:
    """Whether a file says the same as long as its stamp is the same."""
    return bool(
        file.stamp
        and not file.problems
        and not file.keys.reads_surroundings
        and _are_plain((file.keys.values,))
    )


def _are_plain(values: Iterable[object]) -> bool:
    for value in values:
        if type(value) is dict:
            if not all(type(key) is str for key in value) or not _are_plain(value.values()):
                return False
        elif type(value) is list:
            if not _are_plain(value):
                return False
        elif type(value) not in _PLAIN:
            return False
    return True
