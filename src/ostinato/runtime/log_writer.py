"""This module writes the log of an attempt: JSON lines, numbered where they are written."""

import os
import threading
from pathlib import Path

import msgspec

from ostinato.clock import Clock
from ostinato.model.layout import log_path, notice_log_path
from ostinato.model.log import LogRecord
from ostinato.runtime.masking import masker
from ostinato.runtime.messages import AttemptSpec

#: Bytes of one attempt's log; what comes after them is dropped, and a line says so.
MAX_LOG_BYTES = 64 * 1024 * 1024

#: Characters of one line; a longer one is split.
MAX_LINE_CHARACTERS = 64 * 1024

_encoder = msgspec.json.Encoder()


class AttemptLog:
    """The log of one attempt; its file is made with the first line.

    Lines are written as they come, without a buffer: they can be followed at once and
    survive the process. Methods may be called from any thread. Where a line cannot be written,
    the attempt goes on; the next one that can be says how many are missing.

    Args:
        root: Folder of logs.
        spec: The attempt.
        clock: Stamps the lines.
    """

    def __init__(self, root: str, spec: AttemptSpec, clock: Clock) -> None:
        self._root = root
        self._spec = spec
        self._clock = clock
        self._lock = threading.Lock()
        self._file = -1
        self._seq = 0
        self._size_bytes = 0
        self._is_full = False
        self._is_closed = False
        self._missing = 0
        self._missing_why = ""
        #: What is incomplete, by its stream and whether it came through the descriptor.
        self._partial: dict[tuple[str, bool], str] = {}
        #: A process that a task forks must not write here: it has a count of lines of its own.
        self.pid = os.getpid()

    def write(self, level: str, source: str, message: str) -> None:
        """Append one line, or several where the message has several.

        Args:
            level: As in ``logging``.
            source: ``stdout``, ``stderr`` or the name of a logger.
            message: Text; its last line end may be missing.
        """
        with self._lock:
            # Masked before it is split: a secret may have several lines.
            for line in masker.mask(message).splitlines() or [""]:
                self._append(level, source, line)

    def write_stream(
        self, level: str, source: str, text: str, *, is_descriptor: bool = False
    ) -> None:
        """Append what was written to a stream; a line is kept back until it is complete.

        What came through the descriptor is read later than it was written: its lines are not
        joined with what Python's stream has begun meanwhile.
        """
        kept = source, is_descriptor
        with self._lock:
            if self._is_full or self._is_closed:
                return
            # A secret may come in several writes, and a complete one may have several lines.
            lines = masker.mask(self._partial.pop(kept, "") + text).split("\n")
            rest = lines.pop()
            for line in lines:
                self._append(level, source, line)
            if len(rest) > MAX_LINE_CHARACTERS + masker.longest:
                # What may be the beginning of a secret waits for its end.
                end = len(rest) - masker.longest
                self._append(level, source, rest[:end])
                rest = rest[end:]
            if rest:
                self._partial[kept] = rest

    def close(self) -> None:
        """Write what is incomplete and close the file; what comes later is dropped."""
        if self._file < 0 and not self._partial:
            self._is_closed = True
            return
        with self._lock:
            for (source, _), rest in self._partial.items():
                self._append("ERROR" if source == "stderr" else "INFO", source, rest)
            self._partial.clear()
            self._is_closed = True
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _open(self) -> None:
        spec = self._spec
        if spec.notice is not None:
            name = notice_log_path(spec.run_id, spec.notice.id, spec.notice.number)
        else:
            name = log_path(spec.run_id, spec.task_id, spec.path, spec.generation, spec.attempt)
        path = Path(self._root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def _append(self, level: str, source: str, line: str) -> None:
        for start in range(0, len(line) or 1, MAX_LINE_CHARACTERS):
            if self._is_full or self._is_closed:
                return
            self._put(level, source, line[start : start + MAX_LINE_CHARACTERS])
            if self._size_bytes > MAX_LOG_BYTES:
                limit = MAX_LOG_BYTES // (1024 * 1024)
                self._put(
                    "WARNING", "ostinato", f"the log is full at {limit} MiB: the rest is dropped"
                )
                self._is_full = True

    def _put(self, level: str, source: str, line: str) -> None:
        if self._missing:
            text = f"{self._missing} lines could not be written: {self._missing_why}"
            if not self._write_line("WARNING", "ostinato", text):
                self._missing += 1
                return
            self._missing = 0
        if not self._write_line(level, source, line):
            self._missing += 1

    def _write_line(self, level: str, source: str, line: str) -> bool:
        # A lone surrogate is no text that a file can hold.
        plain = line.encode("utf-8", "backslashreplace").decode()
        self._seq += 1
        record = LogRecord(self._seq, self._clock.now_us(), level, source, plain)
        data = _encoder.encode(record) + b"\n"
        written = 0
        try:
            if self._file < 0:
                self._open()
            while written < len(data):
                written += os.write(self._file, data[written:] if written else data)
        except OSError as error:
            self._seq -= 1
            self._missing_why = error.strerror or type(error).__name__
            self._forget_part(written)
            return False
        self._size_bytes += len(data)
        return True

    def _forget_part(self, written: int) -> None:
        """Take back a line of which only a part found room."""
        if self._file < 0:
            return
        try:
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
        except OSError:
            # The task has closed the file under its log: it is opened again.
            self._file = -1
