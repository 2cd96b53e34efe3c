"""This module captures what a task prints and logs."""

import _thread
import codecs
import functools
import io
import logging
import os
import selectors
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import TextIO

from ostinato.runtime.log_writer import AttemptLog
from ostinato.runtime.masking import masker

#: Log of the attempt that executes in this context; None between attempts.
current_log: ContextVar[AttemptLog | None] = ContextVar("ostinato_log", default=None)

_CHUNK_BYTES = 64 * 1024

#: Chunks that an ending attempt reads: a pipe holds one, what comes behind was written later.
_LAST_CHUNKS = 2


FindLog = Callable[[], AttemptLog | None]


class TaskStream(io.TextIOBase):
    """Stand for ``sys.stdout`` or ``sys.stderr``: inside an attempt, lines go to its log.

    Args:
        original: Receives what is written between attempts.
        name: ``stdout`` or ``stderr``.
        is_echoed: Whether the original receives what attempts write too.
    """

    def __init__(self, original: TextIO, name: str, *, is_echoed: bool) -> None:
        self.original = original
        self._name = name
        self._level = "ERROR" if name == "stderr" else "INFO"
        self._is_echoed = is_echoed
        #: Finds the log where the context has none, as in a thread that a task has started.
        self.find_log: FindLog | None = None

    def write(self, text: str, /) -> int:
        """Write to the current attempt's log, else to the original."""
        log = current_log.get()
        if log is None and self.find_log is not None:
            log = self.find_log()
        if log is not None:
            if log.pid != os.getpid():
                self._write_plainly(text)
                return len(text)
            log.write_stream(self._level, self._name, text)
        if log is None or self._is_echoed:
            self.original.write(masker.mask(text))
        return len(text)

    def _write_plainly(self, text: str) -> None:
        """Write in a process that a task has forked: its descriptors are the task's."""
        if self._is_echoed:
            self.original.write(text)
            return
        data = text.encode("utf-8", "backslashreplace")
        descriptor = 2 if self._name == "stderr" else 1
        while data:
            data = data[os.write(descriptor, data) :]

    def flush(self) -> None:
        """Flush the original; a log has nothing to flush."""
        self.original.flush()

    def writable(self) -> bool:
        """Whether it can be written to: always."""
        return True

    def isatty(self) -> bool:
        """Whether it is a terminal: what a task writes goes to a file."""
        return current_log.get() is None and self.original.isatty()

    def fileno(self) -> int:
        """Return the file descriptor of the original."""
        return self.original.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # as the original has it
        """Encoding of the original."""
        return self.original.encoding


class TaskLogHandler(logging.Handler):
    """Write records of ``logging`` to the log of the attempt that emits them."""

    #: As in ``TaskStream``.
    find_log: FindLog | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, its traceback included."""
        log = current_log.get()
        if log is None and self.find_log is not None:
            log = self.find_log()
        if log is None:
            return
        try:
            if log.pid != os.getpid():
                print(self.format(record), file=sys.stderr)
                return
            log.write(record.levelname, record.name, self.format(record))
        except Exception:  # noqa: BLE001 - logging must not raise; its own way says what went wrong
            self.handleError(record)


def capture_python_output(*, is_echoed: bool) -> None:
    """Have ``print`` and ``logging`` of tasks captured in this process; a second call does nothing.

    Args:
        is_echoed: Whether what tasks print appears where it used to, too.
    """
    if not isinstance(sys.stdout, TaskStream):
        sys.stdout = TaskStream(sys.stdout, "stdout", is_echoed=is_echoed)
    if not isinstance(sys.stderr, TaskStream):
        sys.stderr = TaskStream(sys.stderr, "stderr", is_echoed=is_echoed)
    root = logging.getLogger()
    if not any(isinstance(handler, TaskLogHandler) for handler in root.handlers):
        handler = TaskLogHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        root.addHandler(handler)


class DescriptorCapture:
    """Capture what is written to file descriptors 1 and 2 by other means than Python's streams.

    Subprocesses and native code write there. A thread reads both ends and gives complete
    lines to the log of the attempt that runs; between attempts to the original error output.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._log: AttemptLog | None = None
        self._original = os.dup(2)
        self._selector = selectors.DefaultSelector()
        for descriptor, name in ((1, "stdout"), (2, "stderr")):
            read, write = os.pipe()
            os.set_blocking(read, False)
            os.dup2(write, descriptor)
            os.close(write)
            self._selector.register(read, selectors.EVENT_READ, name)
        # A chunk may end within a character.
        self._decoders = {name: _make_decoder() for name in ("stdout", "stderr")}
        self._reads = list(self._selector.get_map().values())
        # The plain primitive: a fresh child is forked for an attempt that may last a
        # millisecond, and a Thread object would wait for its thread to be scheduled.
        _thread.start_new_thread(self._read_on, ())

    def take_threads(self) -> None:
        """Give what threads without a context print and log to the attempt that runs."""
        for handler in (*logging.getLogger().handlers, sys.stdout, sys.stderr):
            if isinstance(handler, TaskLogHandler | TaskStream):
                handler.find_log = self._current

    def _current(self) -> AttemptLog | None:
        return self._log

    def begin(self, log: AttemptLog) -> None:
        """Give what comes from here on to a log."""
        with self._lock:
            self._log = log

    def end(self) -> None:
        """Read what was written so far, then give nothing more to the log."""
        with self._lock:
            self._drain(_LAST_CHUNKS)
            for name, decoder in self._decoders.items():
                if decoder.getstate()[0]:
                    self._give(name, b"", is_last=True)
            self._log = None

    def _read_on(self) -> None:
        while True:
            self._selector.select()
            with self._lock:
                self._drain(1)

    def _drain(self, most: int) -> None:
        for key in self._reads:
            for _ in range(most):
                try:
                    data = os.read(key.fd, _CHUNK_BYTES)
                except BlockingIOError:
                    break
                if not data:
                    break
                self._give(key.data, data)

    def _give(self, name: str, data: bytes, *, is_last: bool = False) -> None:
        if self._log is None:
            os.write(self._original, data)
            return
        level = "ERROR" if name == "stderr" else "INFO"
        text = self._decoders[name].decode(data, is_last)
        self._log.write_stream(level, name, text, is_descriptor=True)


_make_decoder = functools.partial(codecs.getincrementaldecoder("utf-8"), "replace")
