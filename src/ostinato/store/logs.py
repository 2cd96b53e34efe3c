"""This module reads the logs of attempts: JSON lines in files, as tasks write them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from ostinato.model.identity import MapPath, parse_path
from ostinato.model.layout import NO_PATH, log_path
from ostinato.model.log import LogRecord

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
    file = _Tail(logs_root / log_path(run_id, task_id, path, generation, attempt))
    return file.read()


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
    """

    def __init__(self, logs_root: Path, run_id: int, *, task_id: str = "") -> None:
        self._root = logs_root / str(run_id)
        self._task_id = task_id
        self._tails: dict[Path, _Tail] = {}

    def read(self) -> list[LoggedLine]:
        """Return the lines that came since the last call, in the order of time."""
        lines: list[LoggedLine] = []
        for path in sorted(self._root.glob("*/*/*.jsonl")):
            tail = self._tails.get(path)
            if tail is None:
                tail = self._tails[path] = _Tail(path)
            task_id, map_path, generation, attempt = _parse(path)
            if self._task_id and task_id != self._task_id:
                continue
            lines.extend(
                LoggedLine(task_id, map_path, generation, attempt, record) for record in tail.read()
            )
        lines.sort(key=lambda line: (line.record.at_us, line.record.seq))
        return lines

    def follow(
        self, *, wait: Callable[[], None], is_over: Callable[[], bool]
    ) -> Iterator[LoggedLine]:
        """Yield lines as they come, until the run is over.

        Args:
            wait: Called between two looks; decides how long that is.
            is_over: Whether nothing more will come.
        """
        while True:
            was_over = is_over()
            yield from self.read()
            if was_over:
                return
            wait()


class _Tail:
    """A file that grows; a last line that is not complete is left for the next read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def read(self) -> list[LogRecord]:
        try:
            with open(self._path, "rb") as file:
                file.seek(self._position)
                data = file.read()
        except FileNotFoundError:
            return []
        end = data.rfind(b"\n") + 1
        self._position += end
        return [_decode(line) for line in data[:end].splitlines()]


def _decode(line: bytes) -> LogRecord:
    try:
        return _decoder.decode(line)
    except msgspec.DecodeError:
        text = line.decode("utf-8", "replace")
        return LogRecord(0, 0, "ERROR", "ostinato", f"this line of the log is damaged: {text}")


def _parse(path: Path) -> tuple[str, MapPath, int, int]:
    task, map_path, name = path.parts[-3:]
    generation, attempt = name.removesuffix(".jsonl").split("-")
    indices = parse_path("" if map_path == NO_PATH else map_path)
    return unquote(task), indices, int(generation), int(attempt)
