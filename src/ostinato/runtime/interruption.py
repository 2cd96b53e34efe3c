"""This module stops the attempt that executes: in the code of its task, and nowhere else.

A signal's handler runs between any two instructions of the main thread. Raising there is what
stops users' code, and what would tear our own: a message half sent, a limit not taken back.
So handlers only say what is to be raised, and it is raised where the attempt can be left.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any


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
        self._asyncio: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        self._thread = threading.main_thread().ident

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
        self._has_raised = False
        self._error = None

    def post(self, error: BaseException) -> None:
        """Say what is to be raised; the first one counts."""
        if self._error is None and not self._has_raised:
            self._error = error

    def deliver(self) -> None:
        """Raise what waits, if the attempt can be left here; in the main thread only."""
        if self._error is None or not self._is_open:
            return
        if self._asyncio is not None:
            # Raised in the middle of an event loop it could end up in any of its tasks.
            loop, task = self._asyncio
            if not loop.is_closed():
                loop.call_soon_threadsafe(task.cancel)
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
        try:
            yield
        finally:
            self._is_open = was_open
        self.deliver()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end; what stops the attempt cancels it."""
        if threading.get_ident() != self._thread:
            return asyncio.run(coroutine)
        try:
            return asyncio.run(self._cancellable(coroutine))
        finally:
            self._asyncio = None
            # Whatever became of the coroutine, it was cancelled for this.
            self.deliver()

    async def _cancellable(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._asyncio = (loop, task)
        if self._error is not None:
            task.cancel()
        return await coroutine
