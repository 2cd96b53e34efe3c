"""This module executes attempts in the thread that called a flow, beside the loop's own thread."""

import _signal  # type: ignore[import-not-found]  # the stubs leave it out
import queue
import signal
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from types import FrameType
from typing import Any

from ostinato.authoring.ports import BuiltFlow
from ostinato.errors import ExecutionError
from ostinato.executors.gate import Gate
from ostinato.executors.protocol import CallHandler
from ostinato.executors.thread import ThreadExecutor
from ostinato.runtime.messages import AttemptSpec, RunInfo
from ostinato.runtime.step_limits import call_beside, is_in_limited_thread


class CallerExecutor(ThreadExecutor):
    """Execute attempts one after the other in the thread that calls ``serve``.

    So the body of a flow that a script calls runs where the script is: its debugger stops, its
    signals arrive, and libraries that insist on the main thread work.

    Args:
        flows: The flows' code by name.
        answer: Answers the calls of attempts, in the loop's thread.
        resources: Objects that replace the flows' own, by name.
        gate: The loop is inside of it, but for when it waits.
    """

    def __init__(
        self,
        flows: Mapping[str, BuiltFlow],
        answer: CallHandler,
        *,
        resources: Mapping[str, Any] | None = None,
        gate: Gate,
    ) -> None:
        super().__init__(flows, answer, resources=resources)
        self._attempts: queue.SimpleQueue[tuple[AttemptSpec, RunInfo] | None]
        self._attempts = queue.SimpleQueue()
        self._count = 0
        self._asked: set[Future[Any]] = set()
        self._refusal = ""
        self._gate = gate
        #: Why a step could not be recorded in the place of the loop.
        self._failure: Exception | None = None

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
        if self._failure is not None:
            raise self._failure
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
        """Ask the coordinator, whose thread answers at its next turn.

        A step of the main thread is recorded in that thread where the loop waits: to hand it over
        and back takes a fifth of the time of its commit.
        """
        if _is_record(method, args) and threading.current_thread() is threading.main_thread():
            with self._executing.interruption.held(), _UntilLeft():
                if self._gate.enter_nowait():
                    try:
                        return self._record_here(token, method, args)
                    finally:
                        self._gate.__exit__()
        if is_in_limited_thread():
            return call_beside(partial(self._await_answer, token, method, args))
        return self._await_answer(token, method, args)

    def _await_answer(self, token: int, method: str, args: dict[str, Any]) -> Any:
        future: Future[Any] = Future()
        self._asked.add(future)
        try:
            self._ask(token, method, args, future)
            if self._refusal:
                raise ExecutionError(self._refusal)
            # Without a limit: a subflow or a person may take long.
            return future.result()
        finally:
            self._asked.discard(future)

    def _record_here(self, token: int, method: str, args: dict[str, Any]) -> Any:
        """Record a step in the place of the loop, which waits."""
        if self._refusal:
            raise ExecutionError(self._refusal)
        later = self._answer(token, method, args)
        try:
            later.hurry()
        except Exception as error:
            # The store is broken, or another coordinator's; the loop ends by it as by its own.
            self._failure = error
            self._wake()
            raise ExecutionError(str(error)) from error
        return later.value

    def serve(self) -> None:
        """Execute attempts in this thread until ``release`` is called.

        Raises:
            KeyboardInterrupt: The user ends the script in the middle of an attempt, which is left.
        """
        while (given := self._attempts.get()) is not None:
            spec, run = given
            report = self._executing.execute(spec, self._flows.get(run.flow), run)
            self._reports.put(report)
            self._wake()

    def release(self) -> None:
        """End ``serve``; safe in all threads."""
        self._attempts.put(None)


def _is_record(method: str, args: dict[str, Any]) -> bool:
    """Whether a call says how a step ended, perhaps one of a subflow."""
    while method == "in_subflow":
        method, args = args["method"], args["args"]
    return method == "step"


class _UntilLeft:
    """Have Ctrl-C take effect at the end of a block of the main thread.

    Its handler raises between any two instructions: in the middle of a commit it would leave a
    transaction open, and rows of which nobody knows whether they are written.
    """

    # The functions of ``signal`` make enums of numbers, in 10 us for a step; these do not.

    __slots__ = ("_before", "_frame", "_has_come")

    def __enter__(self) -> None:
        self._has_come = False
        self._frame: FrameType | None = None
        self._before = _signal.getsignal(signal.SIGINT)
        if callable(self._before):
            _signal.signal(signal.SIGINT, self._note)

    def _note(self, _: int, frame: FrameType | None) -> None:
        self._has_come, self._frame = True, frame

    def __exit__(self, *_: object) -> None:
        if callable(self._before):
            _signal.signal(signal.SIGINT, self._before)
            if self._has_come:
                self._before(signal.SIGINT, self._frame)
