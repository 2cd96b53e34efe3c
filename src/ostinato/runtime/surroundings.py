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
        self._folder = os.open(".", os.O_PATH | os.O_DIRECTORY)
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        self._streams = (sys.stdout, sys.stderr)
        self._outputs = tuple((os.dup(number), number) for number in (1, 2))
        root = logging.getLogger()
        self._log_handlers = [h for h in root.handlers if isinstance(h, TaskLogHandler)]

    def restore(self) -> None:
        """Put back what was changed.

        Most is set without a look at it: to set costs less. It takes 1.5 µs.
        """
        _signal.alarm(0)
        for number, handler in self._handlers:
            if _signal.getsignal(number) is not handler:
                _signal.signal(number, handler)
        os.umask(self._umask)
        os.fchdir(self._folder)
        for kept, number in self._outputs:
            os.dup2(kept, number)
        if (sys.stdout, sys.stderr) != self._streams:
            sys.stdout, sys.stderr = self._streams
        self._restore_logging()

    def restore_mask(self) -> None:
        """Put back which signals are blocked: dear, and all that waits is to be told to stop."""
        if _signal.pthread_sigmask(signal.SIG_BLOCK, ()) != self._mask:
            _signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _restore_logging(self) -> None:
        root = logging.getLogger()
        for handler in self._log_handlers:
            if handler not in root.handlers:
                root.addHandler(handler)
