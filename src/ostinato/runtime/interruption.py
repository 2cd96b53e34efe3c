"""This module stops the attempt that executes: in the code of its task, and nowhere else.

A signal's handler runs between any two instructions of the main thread. Raising there is what
stops users' code, and what would tear our own: a message half sent, a limit not taken back.
So handlers only say what is to be raised, and it is raised where the attempt can be left.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Interruption:
    """What stops the attempt of the main thread; raised at most once in each attempt.

    At most once, so that what tidies up after it is not interrupted in turn: a task that
    goes on in spite of it is killed by its executor.
    """

    # Invariant: _is_open implies that the main thread executes an attempt.
    def __init__(self) -> None:
        self._is_open = False
        self._has_raised = False
        self._error: BaseException | None = None
        self._is_cancelling = False
        self._thread = threading.main_thread().ident
        #: Blocks of ``held`` that the main thread is in, and whether the attempt could be left
        #: before the outermost of them.
        self._held = 0
        self._was_open = False

    @property
    def is_held(self) -> bool:
        """Whether the main thread is where nothing may be raised."""
        return self._held > 0

    @property
    def is_wanted(self) -> bool:
        """Whether something waits to be raised."""
        return self._error is not None

    def begin(self) -> None:
        """Let the attempt be left from here on; raise at once what waits."""
        self._is_open = not self._has_raised
        self.deliver()

    def end(self) -> None:
        """Raise nothing from here on, and forget what came too late."""
        self._is_open = False
        self._has_raised = self._is_cancelling = False
        self._error = None

    def post(self, error: BaseException) -> None:
        """Say what is to be raised; the first one counts."""
        if self._error is None and not self._has_raised:
            self._error = error

    def deliver(self) -> None:
        """Raise what waits, if the attempt can be left here; in the main thread only.

        Where an event loop runs, what it runs is cancelled; code in it that waits without
        ``await`` is not reached.
        """
        if self._error is None or not self._is_open:
            return
        loop = asyncio._get_running_loop()
        if loop is not None:
            # Raised in the middle of an event loop it could end up in any of its tasks. The
            # first one is cancelled instead; when the loop has ended, this is asked again.
            if not self._is_cancelling:
                self._is_cancelling = True
                loop.call_soon_threadsafe(_cancel_first, loop)
            return
        error, self._error = self._error, None
        self._is_open = False
        self._has_raised = True
        raise error

    def close(self) -> None:
        """Raise nothing until ``begin``; what comes meanwhile waits."""
        self._is_open = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raise nothing in this block, but at its end; other threads are never interrupted."""
        if threading.get_ident() != self._thread:
            yield
            return
        was_open, self._is_open = self._is_open, False
        if not self._held:
            self._was_open = was_open
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self._is_open = was_open
        self.deliver()

    @contextmanager
    def ajar(self) -> Iterator[None]:
        """Let the attempt be left in this block, inside of one in which it cannot be.

        For a wait within ``held`` that changes nothing, such as until there is something to read.
        """
        if threading.get_ident() != self._thread or self._held != 1:
            yield
            return
        try:
            self._held = 0
            self._is_open = self._was_open and not self._has_raised
            self.deliver()
            yield
        finally:
            self._held = 1
            self._is_open = False


def _cancel_first(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the task that ``run_until_complete`` waits for; it ends the others in its order."""
    tasks = asyncio.all_tasks(loop)
    first = [task for task in tasks if _ends_loop(task)]
    for task in first or tasks:
        task.cancel()


def _ends_loop(task: "asyncio.Task[object]") -> bool:
    # Private, and the only place that tells; without it all tasks are cancelled.
    callbacks = getattr(task, "_callbacks", None) or ()
    return any(
        getattr(callback, "__name__", "") == "_run_until_complete_cb" for callback, _ in callbacks
    )
