"""This module executes attempts in threads of the coordinator's process."""

import os
import queue
import selectors
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from ostinato.authoring.ports import BuiltFlow
from ostinato.errors import ExecutionError
from ostinato.executors.protocol import CallHandler, Later
from ostinato.runtime.attempt import Executing
from ostinato.runtime.capture import capture_python_output
from ostinato.runtime.failures import describe_failure
from ostinato.runtime.messages import (
    LONG_CALLS,
    AttemptSpec,
    Lost,
    Report,
    Revoked,
    RunInfo,
)
from ostinato.runtime.resources import ResourceShelf
from ostinato.runtime.step_limits import call_beside, is_in_limited_thread

#: Threads, and so attempts, at a time.
MAX_THREADS = 32

#: Seconds that a call of an attempt waits for the coordinator's loop.
CALL_TIMEOUT_S = 60.0


class ThreadExecutor:
    """Execute attempts in threads: for tasks that wait, such as light I/O.

    Python cannot stop a thread, so neither time-outs nor cancellation interrupt an attempt
    that has begun; memory limits do not hold.

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
        self._flows = flows
        self._answer = answer
        self._shelf = ResourceShelf(resources or {})
        self._executing = Executing(self)
        self._pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="attempt")
        self._futures: dict[int, Future[None]] = {}
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._calls: queue.SimpleQueue[tuple[int, str, dict[str, Any], Future[Any]]]
        self._calls = queue.SimpleQueue()
        self._closed = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        capture_python_output(is_echoed=True)

    def credits(self) -> int:
        """Return how many threads are free."""
        return MAX_THREADS - len(self._futures)

    def start(self, attempts: Sequence[AttemptSpec], run: RunInfo) -> None:
        """Give each attempt to a thread."""
        for spec in attempts:
            self._futures[spec.token] = self._pool.submit(self._execute, spec, run)

    def cancel(self, token: int, reason: str) -> None:
        """Take back an attempt that waits; one that has begun goes on to its end."""
        del reason
        future = self._futures.get(token)
        if future is not None and future.cancel():
            self._reports.put(Revoked(token))
            self._wake()

    def register(self, selector: selectors.BaseSelector) -> None:
        """Register the end of the pipe that threads write to."""
        selector.register(self._wake_read, selectors.EVENT_READ, self._drain)

    def poll(self) -> list[Report]:
        """Answer calls and return the reports that have come."""
        while not self._calls.empty():
            token, method, args, future = self._calls.get()
            try:
                answer = self._answer(token, method, args)
                if isinstance(answer, Later):
                    answer.then(partial(_settle, future))
                else:
                    future.set_result(answer)
            except Exception as error:  # noqa: BLE001 - the attempt that asked shall see it
                future.set_exception(error)
        reports: list[Report] = []
        while not self._reports.empty():
            report = self._reports.get()
            self._futures.pop(report.token, None)
            reports.append(report)
        return reports

    def has_work(self) -> bool:
        """Whether a report or a call waits."""
        return not (self._reports.empty() and self._calls.empty())

    def next_check_s(self) -> float | None:
        """Return None: threads write to the pipe."""
        return None

    def close(self) -> None:
        """Wait for what has begun and free everything; calls are refused from here on."""
        self._closed.set()
        self._refuse_calls()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._shelf.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    # The port of its attempts

    def call(self, token: int, method: str, args: dict[str, Any]) -> Any:
        """Ask the coordinator, whose thread answers at its next turn.

        Raises:
            ExecutionError: The coordinator refused, or is closing.
        """
        if is_in_limited_thread():
            return call_beside(partial(self._await_answer, token, method, args))
        return self._await_answer(token, method, args)

    def _await_answer(self, token: int, method: str, args: dict[str, Any]) -> Any:
        future: Future[Any] = Future()
        self._ask(token, method, args, future)
        return future.result(None if method in LONG_CALLS else CALL_TIMEOUT_S)

    def _ask(self, token: int, method: str, args: dict[str, Any], future: "Future[Any]") -> None:
        self._calls.put((token, method, args, future))
        if self._closed.is_set():
            # Nobody takes turns any more.
            self._refuse_calls()
        self._wake()

    def resources(self, dag: BuiltFlow) -> Mapping[str, Any]:
        """Return the flow's resources."""
        return self._shelf.of(dag)

    def _refuse_calls(self) -> None:
        while True:
            try:
                _, _, _, future = self._calls.get_nowait()
            except queue.Empty:
                return
            future.set_exception(ExecutionError("the run is being closed; the call is refused"))

    def _execute(self, spec: AttemptSpec, run: RunInfo) -> None:
        try:
            report: Report = self._executing.execute(spec, self._flows.get(run.flow), run)
        except BaseException as error:  # noqa: BLE001 - else the attempt would never be reported
            report = Lost(spec.token, describe_failure(error).summary)
        self._reports.put(report)
        self._wake()

    def _wake(self) -> None:
        try:
            os.write(self._wake_write, b"\0")
        except BlockingIOError:
            # The pipe is full of wakes already.
            return

    def _drain(self) -> None:
        try:
            while os.read(self._wake_read, 4096):
                pass
        except BlockingIOError:
            return


def _settle(future: "Future[Any]", late: Later) -> None:
    if late.error:
        future.set_exception(ExecutionError(late.error))
    else:
        future.set_result(late.value)
