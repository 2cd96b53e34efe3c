"""This module finds out which files of a project's code have changed.

Which they are is always the difference of two looks at the files; the system only says when it
is worth looking. So nothing is missed where it says nothing: on network drives, after an
overflow, for folders that came and went.
"""

import hashlib
import logging
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from ostinato.clock import Clock, SystemClock
from ostinato.errors import OstinatoError
from ostinato.model.layout import DATA_FOLDER
from ostinato.project.discovery import Project, find_project
from ostinato.project.inotify import FolderEvents
from ostinato.project.target import SETTINGS_FILE, Target

logger = logging.getLogger(__name__)

#: Folders in which no code of the project lies.
_OTHER_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages", DATA_FOLDER})

#: Begin or end the names of what editors and tools write aside for a moment.
_PASSING = (".", "#", "~$")
_PASSED = ("~", ".tmp", ".swp", ".swx", ".swo", ".bak", ".orig", ".part", ".pyc", ".lock", "#")

#: What vim writes to see whether it can.
_PROBE = "4913"

#: Data and logs that runs may write beside their files, which say nothing about a flow.
_DATA = (
    ".arrow", ".avro", ".csv", ".db", ".db-journal", ".db-shm", ".db-wal", ".duckdb", ".feather",
    ".gz", ".html", ".jsonl", ".log", ".orc", ".out", ".parquet", ".pdf", ".pickle", ".pkl",
    ".png", ".sqlite", ".sqlite3", ".tsv", ".wal", ".xlsx", ".zip",
)  # fmt: skip

#: Folders beyond those of flows that are looked through at most.
MAX_FOLDERS = 5_000

#: Seconds between two looks where the system tells of changes, and where it does not.
LOOK_S = 2.0
LOOK_WITHOUT_EVENTS_S = 0.5

#: A pause is at least this many times as long as a look: looking costs 0.1% of a core, or 1%.
_PAUSES_PER_LOOK = 1_000
_PAUSES_PER_LOOK_WITHOUT_EVENTS = 100

#: Time of change, size and inode. Tools that copy set back when a file was modified, but not
#: when it was changed.
_Mark = tuple[int, int, int]


class CodeFiles:
    """Look for changes in the files of a project.

    Args:
        project: Whose files they are.
        clock: Measures how long a look takes.
    """

    def __init__(self, project: Project, *, clock: Clock | None = None) -> None:
        self._project = project
        self._clock = clock or SystemClock()
        self._root = str(project.root)
        self._entries = self._paths_of(project)
        self._not_code = {
            str(p) for p in (project.data_dir, project.values_root, project.logs_root)
        }
        self._others: frozenset[str] = frozenset()
        self._marks: dict[str, _Mark] = {}
        self._folders: set[str] = set()
        self._next_look_s = 0.0
        self._was_cut = False
        self._events: FolderEvents | None = None
        try:
            self._events = FolderEvents()
        except OSError as error:
            logger.warning("changes of files are found by looking: %s", error.strerror)
        self.look()

    @property
    def events(self) -> FolderEvents | None:
        """Readable when ``has_changed`` may be true; None where only looking tells."""
        return self._events

    def also(self, files: Iterable[str]) -> None:
        """Watch files that are no Python and lie outside of flows, relative to the project."""
        self._others = frozenset(os.path.join(self._root, file) for file in files)

    def has_changed(self) -> bool:
        """Return whether the system says that some code may have changed since the last call."""
        if self._events is None:
            return False
        changes = self._events.read()
        return any(
            not name
            or (self._is_folder(folder, name) if is_folder else self._is_code(folder, name))
            for folder, name, is_folder in changes
        )

    def next_look_s(self) -> float:
        """Return in how many seconds it is time for a look that nothing has asked for."""
        return max(self._next_look_s - self._clock.monotonic_s(), 0.0)

    def look(self) -> set[str]:
        """Return the paths of files that are new, changed or gone since the last look."""
        began_s = self._clock.monotonic_s()
        marks: dict[str, _Mark] = {}
        folders: set[str] = set()
        for entry in self._entries:
            self._walk(entry, marks, folders, limit=None)
        self._walk(self._root, marks, folders, limit=len(folders) + MAX_FOLDERS)
        for file in self._others - marks.keys():
            mark = _mark(file)
            if mark is not None:
                marks[file] = mark
        before, self._marks = self._marks, marks
        has_new_folders = not folders <= self._folders
        self._folders = folders
        # Each time: a folder that was deleted and made again has lost its watch.
        self._watch_folders()
        changed = {f for f in before.keys() | marks.keys() if before.get(f) != marks.get(f)}
        if before and os.path.join(self._root, SETTINGS_FILE) in changed:
            changed |= self._look_elsewhere()
        now_s = self._clock.monotonic_s()
        least_s, times = LOOK_S, _PAUSES_PER_LOOK
        if self._events is None:
            least_s, times = LOOK_WITHOUT_EVENTS_S, _PAUSES_PER_LOOK_WITHOUT_EVENTS
        self._next_look_s = now_s + max(least_s, times * (now_s - began_s))
        if before and has_new_folders:
            # What came into them before they were watched was not told of.
            self._next_look_s = now_s
        return changed

    def differ(self, files: Iterable[str], sources: Mapping[str, str]) -> bool:
        """Return whether some files have another content than was loaded of them.

        Args:
            files: Their paths.
            sources: Content hashes by path relative to the project, as a manifest has them.
        """
        return any(_digest(file) != sources.get(self._relative(file), "") for file in files)

    def close(self) -> None:
        """Watch nothing any more."""
        if self._events is not None:
            self._events.close()
            self._events = None

    def _look_elsewhere(self) -> set[str]:
        """Look where the settings now say that flows are."""
        try:
            entries = self._paths_of(find_project(Target(path=self._project.root)))
        except (OstinatoError, OSError):
            # Wrong, or gone with the folder: whoever loads the project says so.
            return set()
        if entries == self._entries:
            return set()
        self._entries = entries
        return self.look()

    def _paths_of(self, project: Project) -> list[str]:
        return [os.path.join(self._root, name) for name in project.settings.flows]

    # What is code

    def _is_folder(self, folder: str, name: str) -> bool:
        path = os.path.join(folder, name)
        return not (
            name.startswith(".")
            or name in _OTHER_FOLDERS
            or path in self._not_code
            or name.endswith(".egg-info")
        )

    def _is_code(self, folder: str, name: str) -> bool:
        if name.startswith(_PASSING) or name.endswith(_PASSED) or name == _PROBE:
            return False
        path = os.path.join(folder, name)
        if name.endswith(".py") or path in self._others:
            return True
        if name.lower().endswith(_DATA):
            return False
        if name == SETTINGS_FILE:
            return folder == self._root
        return any(path == each or path.startswith(f"{each}{os.sep}") for each in self._entries)

    def _walk(
        self, top: str, marks: dict[str, _Mark], folders: set[str], *, limit: int | None
    ) -> None:
        """Note the code and the folders beneath one, each once."""
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            if folder in folders:
                continue
            if limit is not None and len(folders) >= limit:
                self._tell_of_limit()
                return
            try:
                with os.scandir(folder) as entries:
                    found = list(entries)
            except NotADirectoryError:
                # An entry of ``flows`` may be a file, which the walk of the project finds too.
                mark = _mark(folder)
                if mark is not None:
                    marks[folder] = mark
                continue
            except OSError:
                continue
            if any(entry.name == "pyvenv.cfg" for entry in found):
                # An environment with libraries.
                continue
            folders.add(folder)
            for entry in found:
                # Links to folders are followed where flows are loaded through them, at the top.
                if entry.is_dir(follow_symlinks=False) or (
                    entry.is_symlink() and folder in self._entries and entry.is_dir()
                ):
                    if self._is_folder(folder, entry.name):
                        waiting.append(entry.path)
                elif self._is_code(folder, entry.name):
                    mark = _mark(entry.path)
                    if mark is not None:
                        marks[entry.path] = mark

    def _tell_of_limit(self) -> None:
        if not self._was_cut:
            self._was_cut = True
            logger.warning(
                "the project has more than %d folders: modules beyond them are not watched",
                MAX_FOLDERS,
            )

    def _watch_folders(self) -> None:
        if self._events is None:
            return
        try:
            self._events.watch(self._folders)
        except OSError as error:
            # More than the system allows; see fs.inotify.max_user_watches.
            logger.warning("changes of files are found by looking: %s", error.strerror)
            self.close()

    def _relative(self, file: str) -> str:
        return (
            Path(file).relative_to(self._root).as_posix() if _is_below(file, self._root) else file
        )


def _is_below(file: str, folder: str) -> bool:
    return file.startswith(f"{folder}{os.sep}")


def _mark(file: str) -> _Mark | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_ctime_ns, found.st_size, found.st_ino


def _digest(file: str) -> str:
    try:
        with open(file, "rb") as opened:
            return hashlib.sha256(opened.read()).hexdigest()[:16]
    except OSError:
        return ""
