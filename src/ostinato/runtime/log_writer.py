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
    survive the process. Methods may be called from any thread.

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
        self._partial: dict[str, str] = {}

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

    def write_stream(self, level: str, source: str, text: str) -> None:
        """Append what was written to a stream; a line is kept back until it is complete."""
        with self._lock:
            if self._is_full:
                return
            # A secret may come in several writes, and a complete one may have several lines.
            lines = masker.mask(self._partial.pop(source, "") + text).split("\n")
            rest = lines.pop()
            for line in lines:
                self._append(level, source, line)
            if len(rest) > MAX_LINE_CHARACTERS + masker.longest:
                # What may be the beginning of a secret waits for its end.
                end = len(rest) - masker.longest
                self._append(level, source, rest[:end])
                rest = rest[end:]
            if rest:
                self._partial[source] = rest

    def close(self) -> None:
        """Write what is incomplete and close the file."""
        if self._file < 0 and not self._partial:
            return
        with self._lock:
            for source, rest in self._partial.items():
                self._append("ERROR" if source == "stderr" else "INFO", source, rest)
            self._partial.clear()
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
            if self._is_full:
                return
            self._put(level, source, line[start : start + MAX_LINE_CHARACTERS])
            if self._size_bytes > MAX_LOG_BYTES:
                limit = MAX_LOG_BYTES // (1024 * 1024)
                self._put(
                    "WARNING", "ostinato", f"the log is full at {limit} MiB: the rest is dropped"
                )
                self._is_full = True

    def _put(self, level: str, source: str, line: str) -> None:
        if self._file < 0:
            self._open()
        self._seq += 1
        # A lone surrogate is no text that a file can hold.
        plain = line.encode("utf-8", "backslashreplace").decode()
        record = LogRecord(self._seq, self._clock.now_us(), level, source, plain)
        data = _encoder.encode(record) + b"\n"
        os.write(self._file, data)
        self._size_bytes += len(data)
