"""This module numbers the steps of a flow that is a function, the same in each replay.

A step is named by its place among the calls of its scope. The body is the outermost scope;
a step, an asyncio task and a submitted task open one of their own, which takes its number in
its parent when it is made. So what runs at the same time does not disturb the numbers.
"""

import asyncio
import itertools
from contextvars import ContextVar
from typing import Any

from ostinato.model.identity import MapPath
from ostinato.model.step import BODY


class Scope:
    """A sequence of calls.

    Args:
        path: Its own place; empty for the body.
        task_id: Of the task whose calls they are.
        step: Place of the step whose calls they are, where that is not its own.
    """

    __slots__ = ("_numbers", "_published", "path", "step", "task_id")

    def __init__(
        self, path: MapPath = (), task_id: str = BODY, step: MapPath | None = None
    ) -> None:
        self.path = path
        self.task_id = task_id
        self.step = path if step is None else step
        self._numbers = itertools.count()
        self._published = itertools.count()

    def take(self) -> MapPath:
        """Return the place of the next call."""
        return (*self.path, next(self._numbers))

    def open(self) -> "Scope":
        """Return a scope for other calls of the same step, in the place of the next call."""
        return Scope(self.take(), self.task_id, self.step)

    def count_published(self) -> int:
        """Return how many artifacts were published in it before, and count one more."""
        return next(self._published)


#: The scope of what executes in this context; None outside of flows that are functions.
current_scope: ContextVar[Scope | None] = ContextVar("ostinato_scope", default=None)


def number_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Give each asyncio task that a flow makes a scope of its own, numbered where it is made.

    Args:
        loop: The loop of the flow.
    """

    def make(
        loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> "asyncio.Task[Any]":
        scope = current_scope.get()
        token = current_scope.set(scope.open()) if scope is not None else None
        try:
            # The task copies the context as it is now.
            return asyncio.Task(coroutine, loop=loop, **options)
        finally:
            if token is not None:
                current_scope.reset(token)

    loop.set_task_factory(make)
