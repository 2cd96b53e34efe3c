"""This module keeps files that tasks write with their runs."""

import contextlib
import os
import shutil
from pathlib import Path

import msgspec

from ostinato.errors import ExecutionError
from ostinato.model.identity import MapPath, format_path

#: Folder of the files that runs keep, below the data of a project.
FILES = "files"

#: How often a folder is made before the file system is believed.
_TRIES = 20


def folder_of_attempt(
    data_dir: Path, *, run_id: str, task_id: str, path: MapPath, attempt: int
) -> Path:
    """Return the folder of what an attempt keeps; each attempt has one of its own.

    An attempt that was taken for lost may still write, and must not write over its successor's.

    Args:
        data_dir: Of the project.
        run_id: Of the run.
        task_id: Of the task, or of a step.
        path: Its indices, or the place of the step.
        attempt: Number of the attempt.
    """
    place = f"{task_id}[{format_path(path)}]" if path else task_id
    return data_dir / FILES / run_id / place / str(attempt)


def make_folder(folder: Path) -> None:
    """Make a folder and those around it, which others remove at the same time when empty.

    Args:
        folder: To be there.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(FileNotFoundError):
            os.makedirs(folder, exist_ok=True)
            return
    os.makedirs(folder, exist_ok=True)


def keep(file: Path, folder: Path) -> Path:
    """Return a file's place in a folder, into which it is copied if it is not there already.

    Args:
        file: What is to be kept.
        folder: Where it is kept.

    Raises:
        ExecutionError: It cannot be read.
    """
    file = file.absolute()
    if file.is_relative_to(folder):
        return file
    make_folder(folder)
    kept = folder / file.name
    unfinished = folder / f".{file.name}.part"
    try:
        shutil.copyfile(file, unfinished)
        os.replace(unfinished, kept)
    except OSError as err:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise ExecutionError(f"the file {str(file)!r} cannot be kept: {err.strerror}") from err
    return kept


def described(file: Path, folder: Path, data_dir: Path) -> bytes:
    """Return what an artifact says of a file, as JSON.

    Args:
        file: As ``keep`` returned it.
        folder: Of the attempt.
        data_dir: Of the project, from which the path leads: data may be moved as a whole.
    """
    # Few tasks publish files.
    import mimetypes  # noqa: PLC0415 - see above

    return msgspec.json.encode(
        {
            "name": file.relative_to(folder).as_posix(),
            "path": file.relative_to(data_dir).as_posix(),
            "size_bytes": file.stat().st_size,
            "media_type": mimetypes.guess_type(file.name)[0] or "application/octet-stream",
        }
    )
