"""This module puts back what a task has changed in the process of the next ones.

What reaches the next task unasked: the working directory, the umask, signal handlers and
masks, alarms, file descriptors 1 and 2, ``sys.stdout``, the handler of ``logging``. What tasks
share on purpose stays: modules, the environment that they read, the locale.
"""

# What the module `signal` wraps: it makes an enum of each answer, five times as slow.
import _signal  # type: ignore[import-not-found]  # no stub for it
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ostinato.runtime.capture import TaskLogHandler

#: Signals whose handlers decide how a process is stopped and how it waits for others.
WATCHED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGALRM,
    signal.SIGCHLD,
    signal.SIGPIPE,
    signal.SIGUSR1,
)


class Surroundings:
    """What a process was when it began to execute attempts; in its main thread only.

    Args:
        handlers: Handlers to install; those of the other watched signals stay as they are.
    """

    def __init__(self, handlers: Mapping[signal.Signals, Callable[..., Any]]) -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        self._handlers = tuple((number.value, _signal.getsignal(number)) for number in WATCHED)
        self._mask = _signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._folder = os.getcwd()
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        self._streams = (sys.stdout, sys.stderr)
        self._outputs = tuple((number, os.dup(number), os.fstat(number)) for number in (1, 2))
        root = logging.getLogger()
        self._log_handlers = [h for h in root.handlers if isinstance(h, TaskLogHandler)]

    def restore(self) -> None:
        """Put back what was changed; 3 µs where nothing was."""
        _signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._handlers:
            if _signal.getsignal(number) is not handler:
                _signal.signal(number, handler)
        if _signal.pthread_sigmask(_signal.SIG_BLOCK, ()) != self._mask:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, self._mask)
        os.umask(self._umask)
        self._restore_folder()
        if (sys.stdout, sys.stderr) != self._streams:
            sys.stdout, sys.stderr = self._streams
        for number, kept, stat in self._outputs:
            if not _is_open_as(number, stat):
                os.dup2(kept, number)
        self._restore_logging()

    def _restore_folder(self) -> None:
        try:
            is_here = os.getcwd() == self._folder
        except FileNotFoundError:
            # The task has removed the folder that it was in.
            is_here = False
        if not is_here and os.path.isdir(self._folder):
            os.chdir(self._folder)

    def _restore_logging(self) -> None:
        root = logging.getLogger()
        for handler in self._log_handlers:
            if handler not in root.handlers:
                root.addHandler(handler)


def _is_open_as(number: int, stat: os.stat_result) -> bool:
    try:
        found = os.fstat(number)
    except OSError:
        return False
    return found.st_ino == stat.st_ino and found.st_dev == stat.st_dev
