"""This module waits for files: each that has come whole is a message."""

import glob
import logging
import os
import select
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from ostinato.client.local import LocalClient
from ostinato.clock import Clock
from ostinato.model.event_source import FileArrival
from ostinato.model.message import Message
from ostinato.project.discovery import Project
from ostinato.project.inotify import FolderEvents

logger = logging.getLogger(__name__)

#: Seconds between two looks that nothing has asked for; also how soon it sees that it is to end.
LOOK_S = 2.0

#: A pause is at least this many times as long as the look before it: where nothing is told of,
#: and where the system tells of changes all the time.
_PAUSES_PER_LOOK, _RESTS_PER_LOOK = 50, 4

#: Folders that the system is asked to tell of; what lies in others is found by looking.
_MAX_FOLDERS = 1_000

#: Files that are delivered in one commit.
_MAX_FILES = 200

#: When a file was changed, and its size.
_Mark = tuple[int, int]


class FileArrivals:
    """Wait for the files of all sources, in one thread.

    Which have come is the difference of two looks; the system only says when it is worth
    looking. What has come is kept until the file is gone, so that a restart takes nothing twice.

    Args:
        client: Where it is kept what has come.
        project: Whose; patterns are relative to its folder.
        deliver: Starts the runs.
        clock: Measures for how long files have not changed.
    """

    def __init__(
        self,
        client: LocalClient,
        project: Project,
        deliver: Callable[[FileArrival, Sequence[Message]], None],
        clock: Clock,
    ) -> None:
        self._sensors = client.sensors
        self._project = project
        self._deliver = deliver
        self._clock = clock
        self._watched: dict[str, _Watched] = {}
        self._events: FolderEvents | None = None
        self._folders: set[str] = set()
        #: Names that nothing can be called by, which was said.
        self._refused: set[str] = set()
        self._rest_s = 0.0
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def look(self, sources: Mapping[str, FileArrival]) -> float:
        """Deliver the files that have come whole; return the seconds until the next look.

        Args:
            sources: By their labels.

        Raises:
            StoreError: It could not be kept; the next look delivers them.
        """
        began_s = self._clock.monotonic_s()
        for label in self._watched.keys() - sources.keys():
            del self._watched[label]
        ripe_s: list[float] = []
        folders: set[str] = set()
        for label, source in sources.items():
            watched = self._watched.get(label)
            if watched is None:
                watched = self._begin(source)
            wait_s = self._look_at(source, watched)
            if wait_s is not None:
                ripe_s.append(wait_s)
            folders |= watched.folders
        if self._watch(folders):
            # What came before they were watched is found by another look.
            return 0.0
        took_s = self._clock.monotonic_s() - began_s
        self._rest_s = took_s * _RESTS_PER_LOOK
        return min([max(LOOK_S, took_s * _PAUSES_PER_LOOK), *ripe_s])

    def wait(self, seconds: float) -> None:
        """Return after a while, or as soon as the system tells of a change, or somebody wakes."""
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        rest_s = min(self._rest_s, seconds)
        if not poll.poll(rest_s * 1000):
            if self._events is not None:
                poll.register(self._events.fileno(), select.POLLIN)
            poll.poll((seconds - rest_s) * 1000)
        if self._events is not None:
            self._events.read()
        with suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    def wake(self) -> None:
        """Have ``wait`` return; safe in all threads, until it was closed."""
        with suppress(BlockingIOError):
            os.write(self._wake_write, b"w")

    def close(self) -> None:
        """Let go of everything."""
        self._close_events()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _begin(self, source: FileArrival) -> "_Watched":
        name, label = self._project.name, source.label
        watched = _Watched(self._sensors.seen_files(name, label))
        state = self._sensors.ensure(name, label)
        if state.cursor is None:
            if not source.takes_existing:
                there = {_id(*found) for found in self._files(source).items()}
                self._sensors.note_files(name, label, arrived=there, gone=())
                watched.seen |= there
            self._sensors.move_cursor(state, "begun")
        self._watched[label] = watched
        return watched

    def _look_at(self, source: FileArrival, watched: "_Watched") -> float | None:
        """Deliver what has come; return the seconds until more has come whole, None for nothing."""
        files = self._files(source)
        watched.folders = {os.path.dirname(path) for path in files} | {
            _fixed_folder(os.path.join(self._project.root, source.path))
        }
        now_s = self._clock.monotonic_s()
        ids = {path: _id(path, mark) for path, mark in files.items()}
        pending: dict[str, tuple[str, float]] = {}
        whole: list[tuple[int, str]] = []
        for path, found in ids.items():
            if found in watched.seen:
                continue
            known, since_s = watched.pending.get(path, ("", now_s))
            since_s = since_s if known == found else now_s
            if now_s - since_s >= source.stable_for_s:
                whole.append((files[path][0], path))
            else:
                pending[path] = (found, since_s)
        watched.pending = pending
        whole.sort()
        for start in range(0, len(whole), _MAX_FILES):
            paths = [path for _, path in whole[start : start + _MAX_FILES]]
            # Whoever is killed in between delivers them again, which doubles no run.
            self._deliver(source, [Message(ids[path], _body(path, files[path])) for path in paths])
            self._note(source, watched, arrived={ids[path] for path in paths})
        gone = watched.seen - set(ids.values())
        if gone:
            self._note(source, watched, gone=gone)
        if not pending:
            return None
        ripe_s = min(since_s for _, since_s in pending.values()) + source.stable_for_s
        return max(ripe_s - now_s, 0.0)

    def _note(
        self,
        source: FileArrival,
        watched: "_Watched",
        *,
        arrived: set[str] | None = None,
        gone: set[str] | None = None,
    ) -> None:
        arrived, gone = arrived or set(), gone or set()
        name = self._project.name
        self._sensors.note_files(name, source.label, arrived=arrived, gone=gone)
        watched.seen |= arrived
        watched.seen -= gone

    def _files(self, source: FileArrival) -> dict[str, _Mark]:
        """Return the files that there are, with what changes when they change."""
        found: dict[str, _Mark] = {}
        pattern = os.path.join(self._project.root, source.path)
        for path in glob.iglob(pattern, recursive=True):
            if not _is_text(path):
                if path not in self._refused:
                    self._refused.add(path)
                    logger.warning("%s: the name %r is no UTF-8", source.label, path)
                continue
            try:
                status = os.stat(path)
            except OSError:
                # It went between the two, or may not be seen.
                continue
            if os.path.isfile(path):
                found[path] = (status.st_mtime_ns, status.st_size)
        return found

    def _watch(self, folders: set[str]) -> bool:
        """Have the system tell of these folders; return whether one is new."""
        there = [folder for folder in sorted(folders) if os.path.isdir(folder)][:_MAX_FOLDERS]
        is_new = not self._folders.issuperset(there)
        try:
            if self._events is None and there:
                self._events = FolderEvents()
            if self._events is not None:
                self._events.watch(there)
                self._folders = set(there)
                return is_new
        except OSError as error:
            # Looking finds them too.
            logger.debug("folders cannot be watched: %s", error)
            self._close_events()
        return False

    def _close_events(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None
            self._folders = set()


class _Watched:
    """What is known of the files of a source.

    Attributes:
        seen: Ids of those that were delivered and are there.
        pending: Id and moment of the last change of those that may still grow, by path.
        folders: Where they lie.
    """

    def __init__(self, seen: set[str]) -> None:
        self.seen = seen
        self.pending: dict[str, tuple[str, float]] = {}
        self.folders: set[str] = set()


def _id(path: str, mark: _Mark) -> str:
    return f"{path}@{mark[0]}-{mark[1]}"


def _body(path: str, mark: _Mark) -> dict[str, Any]:
    modified = datetime.fromtimestamp(mark[0] / 1e9, UTC)
    return {
        "path": path,
        "name": os.path.basename(path),
        "size": mark[1],
        "modified": modified.isoformat(),
    }


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fixed_folder(pattern: str) -> str:
    """Return the part of a pattern before its first wildcard, cut at a folder.

    >>> _fixed_folder("/data/in/*.csv"), _fixed_folder("/data/a.csv"), _fixed_folder("/d/*/x")
    ('/data/in', '/data', '/d')
    """
    fixed = []
    for part in pattern.split("/")[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return "/".join(fixed) or "/"
