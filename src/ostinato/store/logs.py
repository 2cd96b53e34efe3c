"""This module reads the logs of attempts: JSON lines in files, as tasks write them."""

from collections.abc import Callable, Iterator
from heapq import merge
from pathlib import Path
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from ostinato.model.identity import MapPath, parse_path
from ostinato.model.layout import NO_PATH, file_name, log_path
from ostinato.model.log import LogRecord

#: Bytes that are read of a file at a time, so that a large log does not fill the memory.
CHUNK_BYTES = 64 * 1024

#: Source of the records by which a reader says what is wrong with a log.
DAMAGE = "ostinato"

_decoder = msgspec.json.Decoder(LogRecord)


class LoggedLine(Struct, frozen=True):
    """A line of a run's log.

    Attributes:
        task_id: Of the task that wrote it.
        path: Its indices.
        generation: How often the task run had been cleared.
        attempt: Number of the attempt.
        record: The line.
    """

    task_id: str
    path: MapPath
    generation: int
    attempt: int
    record: LogRecord


def read_attempt(
    logs_root: Path, run_id: int, task_id: str, path: MapPath, generation: int, attempt: int
) -> list[LogRecord]:
    """Return the log of an attempt; nothing where it wrote nothing."""
    tail = _Tail(logs_root / log_path(run_id, task_id, path, generation, attempt))
    return list(tail.read())


def read_run(logs_root: Path, run_id: int, *, task_id: str = "") -> list[LoggedLine]:
    """Return the logs of a run, or of one of its tasks, in the order of time.

    Args:
        logs_root: Folder of logs.
        run_id: The run.
        task_id: Only this task; empty for all.
    """
    return RunLog(logs_root, run_id, task_id=task_id).read()


class RunLog:
    """The logs of a run as they grow; each ``read`` returns what came since the last one.

    Args:
        logs_root: Folder of logs.
        run_id: The run.
        task_id: Only this task; empty for all.
        path: Only these indices of it, as text; ``*`` for all.
    """

    def __init__(self, logs_root: Path, run_id: int, *, task_id: str = "", path: str = "*") -> None:
        self._root = logs_root / str(run_id)
        self._task_id = task_id
        self._pattern = f"{file_name(task_id) if task_id else '*'}/{path or NO_PATH}/*.jsonl"
        #: None stands for a file that is no log.
        self._attempts: dict[Path, _AttemptTail | None] = {}

    def read(self) -> list[LoggedLine]:
        """Return the lines that came since the last call, in the order of time."""
        return list(self.lines())

    def lines(self) -> Iterator[LoggedLine]:
        """Yield the lines that came since the last look, in the order of time.

        Lines of one attempt stay in the order in which they were written.
        """
        for path in sorted(self._root.glob(self._pattern)):
            if path not in self._attempts:
                self._attempts[path] = _attempt_tail(path, self._task_id)
        tails = [attempt.lines() for attempt in self._attempts.values() if attempt is not None]
        return merge(*tails, key=lambda line: line.record.at_us)

    def follow(
        self, *, wait: Callable[[], None], is_over: Callable[[], bool]
    ) -> Iterator[LoggedLine]:
        """Yield lines as they come, until the run is over.

        Args:
            wait: Called between two looks; decides how long that is.
            is_over: Whether nothing more will come.
        """
        while True:
            # Asked before the look, so that what came until the end is read too.
            was_over = is_over()
            yield from self.lines()
            if was_over:
                return
            wait()


class _Tail:
    """A file that grows; a last line that is not complete is left for the next read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._last = LogRecord(0, 0, "INFO", DAMAGE, "")

    def read(self) -> Iterator[LogRecord]:
        while data := self._chunk():
            self._position += len(data)
            for line in data[:-1].split(b"\n"):
                self._last = self._decode(line)
                yield self._last

    def _chunk(self) -> bytes:
        """Return complete lines; at least one if there is one."""
        size_bytes = CHUNK_BYTES
        try:
            with open(self._path, "rb") as file:
                while True:
                    file.seek(self._position)
                    data = file.read(size_bytes)
                    end = data.rfind(b"\n") + 1
                    if end or len(data) < size_bytes:
                        return data[:end]
                    size_bytes *= 2
        except FileNotFoundError:
            return b""

    def _decode(self, line: bytes) -> LogRecord:
        try:
            return _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            text = f"this line of the log is damaged: {line.decode('utf-8', 'backslashreplace')}"
            # Its neighbour's moment keeps it in its place.
            return LogRecord(self._last.seq, self._last.at_us, "ERROR", DAMAGE, text)


class _AttemptTail(Struct):
    """The log of an attempt whose name was read from its path."""

    task_id: str
    path: MapPath
    generation: int
    attempt: int
    tail: _Tail

    def lines(self) -> Iterator[LoggedLine]:
        for record in self.tail.read():
            yield LoggedLine(self.task_id, self.path, self.generation, self.attempt, record)


def _attempt_tail(path: Path, task_id: str) -> _AttemptTail | None:
    folder, map_path, name = path.parts[-3:]
    generation, _, attempt = name.removesuffix(".jsonl").partition("-")
    try:
        indices = parse_path("" if map_path == NO_PATH else map_path)
        numbers = int(generation), int(attempt)
    except ValueError:
        # Somebody else's file.
        return None
    return _AttemptTail(task_id or unquote(folder), indices, *numbers, _Tail(path))
