"""This module finds the files of a folder that are tasks, and the folders that are groups."""

import os
from collections.abc import Collection
from typing import NamedTuple

from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.spec import FileProblem, Position
from ostinato.authoring.places import relative_file

#: What a flow's or group's own settings are called; the first counts.
METADATA_FILES = ("METADATA.yml", "METADATA.yaml")

#: Keeps a folder with all beneath it from being read.
IGNORE_FILE = ".gustyignore"

#: What begins the names of files and folders that are no tasks and groups.
_HIDDEN = ("_", ".")

#: Types that gusty knows.
GUSTY_SUFFIXES = frozenset({".yml", ".yaml", ".py", ".sql", ".ipynb", ".Rmd"})

#: Types that are tasks by themselves beside those; any other file is if it begins with `#!`.
SCRIPT_SUFFIXES = frozenset({".sh", ".R", ".r", ".js", ".ts", ".rb", ".md"})

#: Types that are loaded as tables where `seeds` says so.
SEED_SUFFIXES = frozenset({".csv", ".parquet"})


class ListedFile(NamedTuple):
    """A file that is a task.

    Attributes:
        path: Absolute.
        name: Of the file.
        suffix: By which its type is known: of a hook, or the last extension.
        is_hooked: Whether a parse hook reads it.
    """

    path: str
    name: str
    suffix: str
    is_hooked: bool = False


class Listing(NamedTuple):
    """What lies in a folder, in the order of the names.

    Attributes:
        files: Tasks.
        folders: Groups.
        metadata: Path of its METADATA, empty without one.
        problems: What is wrong with the folder.
    """

    files: tuple[ListedFile, ...]
    folders: tuple[str, ...]
    metadata: str
    problems: tuple[FileProblem, ...] = ()


def list_folder(
    path: str, root: str, *, hooks: Collection[str], has_seeds: bool, only_gusty: bool
) -> Listing | None:
    """Return what lies in a folder; None if it says that it is to be ignored.

    Args:
        path: Absolute.
        root: From which files are shown.
        hooks: Suffixes that parse hooks read.
        has_seeds: Whether tables in files are tasks.
        only_gusty: Whether types that gusty does not know are left out.
    """
    problems: list[FileProblem] = []
    try:
        with os.scandir(path) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"this folder cannot be read: {error.strerror}"
        return Listing((), (), "", (problem("F006", message, Position(shown_path(path, root))),))
    names = {entry.name for entry in entries}
    if IGNORE_FILE in names:
        return None
    types = GUSTY_SUFFIXES if only_gusty else GUSTY_SUFFIXES | SCRIPT_SUFFIXES
    if has_seeds:
        types |= SEED_SUFFIXES
    files: list[ListedFile] = []
    folders: list[str] = []
    for entry in entries:
        if entry.name.startswith(_HIDDEN) or entry.name in METADATA_FILES:
            continue
        if _is_folder(entry):
            if entry.is_symlink():
                message = "a link to a folder is not followed"
                position = Position(shown_path(entry.path, root))
                problems.append(problem("F041", message, position))
            else:
                folders.append(entry.path)
        elif listed := _listed(entry, types, hooks, only_gusty=only_gusty):
            files.append(listed)
    metadata = [name for name in METADATA_FILES if name in names]
    if len(metadata) > 1:
        position = Position(shown_path(os.path.join(path, metadata[1]), root), 1, 1)
        message = f"{metadata[0]} stands beside it and counts alone"
        problems.append(problem("F040", message, position))
    own = os.path.join(path, metadata[0]) if metadata else ""
    return Listing(tuple(files), tuple(folders), own, tuple(problems))


def shown_path(path: str, root: str) -> str:
    """Return a path as people see it: from a folder, on one line, and in any encoding."""
    shown = relative_file(path, root)
    return shown if shown.isprintable() else shown.encode("unicode_escape").decode()


def _listed(
    entry: "os.DirEntry[str]", types: Collection[str], hooks: Collection[str], *, only_gusty: bool
) -> ListedFile | None:
    hook = max((hook for hook in hooks if entry.name.endswith(hook)), key=len, default="")
    if hook:
        return ListedFile(entry.path, entry.name, hook, is_hooked=True)
    suffix = os.path.splitext(entry.name)[1]
    if suffix in types:
        return ListedFile(entry.path, entry.name, suffix)
    if not only_gusty and suffix not in SEED_SUFFIXES and _has_shebang(entry):
        return ListedFile(entry.path, entry.name, suffix)
    return None


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # A link that leads to itself; reading it says so.


def _has_shebang(entry: "os.DirEntry[str]") -> bool:
    try:
        if not entry.is_file():
            return False
        with open(entry.path, "rb") as file:
            return file.read(2) == b"#!"
    except OSError:  # pragma: no cover - it vanished, or may not be read
        return False
