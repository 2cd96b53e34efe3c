"""This module executes attempts in the thread that called a flow, beside the loop's own thread."""

import queue
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from ostinato.authoring.ports import BuiltFlow
from ostinato.errors import ExecutionError
from ostinato.executors.protocol import CallHandler
from ostinato.executors.thread import ThreadExecutor
from ostinato.runtime.messages import AttemptSpec, RunInfo
from ostinato.runtime.step_limits import await_here


class CallerExecutor(ThreadExecutor):
    """Execute attempts one after the other in the thread that calls ``serve``.

    So the body of a flow that a script calls runs where the script is: its debugger stops, its
    signals arrive, and libraries that insist on the main thread work.

    Args:
        flows: The flows' code by name.
        answer: Answers the calls of attempts, in the loop's thread.
        resources: Objects that replace the flows' own, by name.
    """

    def __init__(
        self,
        flows: Mapping[str, BuiltFlow],
        answer: CallHandler,
        *,
        resources: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(flows, answer, resources=resources)
        self._attempts: queue.SimpleQueue[tuple[AttemptSpec, RunInfo] | None]
        self._attempts = queue.SimpleQueue()
        self._count = 0
        self._asked: set[Future[Any]] = set()
        self._refusal = ""

    def credits(self) -> int:
        """Return how many attempts it takes: one at a time."""
        return 1 - self._count

    def start(self, attempts: Sequence[AttemptSpec], run: RunInfo) -> None:
        """Hand attempts to the thread that serves."""
        for spec in attempts:
            self._count += 1
            self._attempts.put((spec, run))

    def cancel(self, token: int, reason: str) -> None:
        """Do nothing: what the calling thread executes goes on to its end."""

    def poll(self) -> list[Any]:
        """Answer calls and return the reports that have come."""
        reports = super().poll()
        self._count -= len(reports)
        return reports

    def refuse(self, why: str) -> None:
        """Answer what was asked and will never be answered: the loop is no more.

        Args:
            why: In one line.
        """
        self._refusal = why
        for future in list(self._asked):
            if not future.done():
                future.set_exception(ExecutionError(why))

    def call(self, token: int, method: str, args: dict[str, Any]) -> Any:
        """Ask the coordinator, whose thread answers at its next turn."""
        future: Future[Any] = Future()
        self._asked.add(future)
        try:
            self._ask(token, method, args, future)
            if self._refusal:
                raise ExecutionError(self._refusal)
            # Without a limit: a subflow or a person may take long.
            return await_here(future)
        finally:
            self._asked.discard(future)

    def serve(self) -> None:
        """Execute attempts in this thread until ``release`` is called."""
        while (given := self._attempts.get()) is not None:
            self._execute(*given)

    def release(self) -> None:
        """End ``serve``; safe in all threads."""
        self._attempts.put(None)
