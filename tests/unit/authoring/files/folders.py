"""This module writes and reads folders for tests."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ostinato.authoring.files.reading.folder_reading import read_folder
from ostinato.authoring.files.spec import FileSpec, FolderSpec
from ostinato.clock import VirtualClock

#: A Friday, in the middle of the day.
NOON_US = int(datetime(2024, 5, 17, 12, 34, 56, tzinfo=UTC).timestamp() * 1e6)

#: Long after any file of a test was written.
LATER_US = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp() * 1e6)


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files, with the folders that they lie in."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def read(folder: Path, **options: Any) -> tuple[FolderSpec, list[str]]:
    """Return a folder and what is wrong in it, as people see it."""
    given = {"root": str(folder), "clock": VirtualClock(NOON_US), **options}
    spec, problems = read_folder(str(folder), **given)
    return spec, [str(problem) for problem in problems]


def read_one(folder: Path, name: str, content: str | bytes, **options: Any) -> FileSpec:
    """Return the only file of a folder, in which nothing is wrong."""
    write(folder, {name: content})
    spec, problems = read(folder, **options)
    assert problems == []
    (file,) = spec.files
    return file


def wrong_in(folder: Path, name: str, content: str | bytes, **options: Any) -> list[str]:
    """Return what is wrong in the only file of a folder."""
    write(folder, {name: content})
    return read(folder, **options)[1]


def metadata_of(folder: Path, content: str, **options: Any) -> dict[str, Any]:
    """Return the keys of a folder with nothing but METADATA, in which nothing is wrong."""
    write(folder, {"METADATA.yml": content})
    spec, problems = read(folder, **options)
    assert problems == []
    return spec.keys.values
