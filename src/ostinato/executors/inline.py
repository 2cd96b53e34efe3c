"""This module executes attempts in the coordinator's own thread, one after the other."""

import selectors
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ostinato.authoring.ports import BuiltFlow
from ostinato.clock import Clock
from ostinato.errors import ExecutionError
from ostinato.executors.credit import Credit
from ostinato.executors.gate import Gate
from ostinato.executors.protocol import CallHandler, Later
from ostinato.runtime.attempt import Executing
from ostinato.runtime.capture import capture_python_output
from ostinato.runtime.messages import AttemptSpec, Report, Revoked, RunInfo
from ostinato.runtime.resources import ResourceShelf


class InlineExecutor:
    """Execute attempts where the coordinator runs; for embedded runs and tests.

    A time-out interrupts only in the main thread of a process, and memory limits do not hold:
    both would be the user's own process.

    Args:
        flows: The flows' code by name.
        answer: Answers the calls of attempts.
        resources: Objects that replace the flows' own, by name.
        clock: Stamps attempts and log lines.
        turn: Has the loop, in the middle of whose turn attempts execute, take another one.
        gate: Lets their threads into the coordinator one by one.
    """

    #: Whether calls are answered by the thread that asks.
    is_in_loop = True

    def __init__(
        self,
        flows: Mapping[str, BuiltFlow],
        answer: CallHandler,
        *,
        resources: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
        turn: Callable[[], None] | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._flows = flows
        self._answer = answer
        self._shelf = ResourceShelf(resources or {})
        self._executing = Executing(self, clock=clock)
        self._waiting: deque[tuple[AttemptSpec, RunInfo]] = deque()
        self._credit = Credit()
        self._turn = turn
        self._gate = gate or Gate()
        capture_python_output(is_echoed=True)

    def credits(self) -> int:
        """Return how many attempts it takes: about 10 ms of work."""
        return self._credit.attempts - len(self._waiting)

    def start(self, attempts: Sequence[AttemptSpec], run: RunInfo) -> None:
        """Keep attempts for the next ``poll``."""
        for spec in attempts:
            self._waiting.append((spec, run))

    def cancel(self, token: int, reason: str) -> None:
        """Take back an attempt that waits; what executes cannot be reached."""
        del reason
        for index, (spec, run) in enumerate(self._waiting):
            if spec.token == token:
                self._waiting[index] = (_revoked(spec), run)

    def register(self, selector: selectors.BaseSelector) -> None:
        """Register nothing: all work happens in ``poll``."""

    def poll(self) -> list[Report]:
        """Execute what waits and return the reports."""
        reports: list[Report] = []
        waiting = self._waiting
        if not waiting:
            return reports
        began = time.perf_counter()
        count = 0
        with self._gate.outside():
            while waiting:
                spec, run = waiting.popleft()
                if spec.token < 0:
                    reports.append(Revoked(-spec.token))
                    continue
                reports.append(self._executing.execute(spec, self._flows.get(run.flow), run))
                count += 1
        if count:
            self._credit.learn((time.perf_counter() - began) / count)
        return reports

    def has_work(self) -> bool:
        """Whether attempts wait."""
        return bool(self._waiting)

    def next_check_s(self) -> float | None:
        """Return None: nothing happens by itself."""
        return None

    def close(self) -> None:
        """Forget what waits and close the resources."""
        self._waiting.clear()
        self._shelf.close()

    # The port of its attempts

    def call(self, token: int, method: str, args: dict[str, Any]) -> Any:
        """Ask the coordinator, which waits in this thread for what executes in it."""
        with self._gate:
            answer = self._answer(token, method, args)
            if not isinstance(answer, Later):
                return answer
            answer.hurry()
            while not answer.is_done and self._turn is not None:
                self._turn()
        if not answer.is_done or answer.error:
            message = answer.error or f"{method} waits for what this thread would have to do"
            raise ExecutionError(message)
        return answer.value

    def resources(self, dag: BuiltFlow) -> Mapping[str, Any]:
        """Return the flow's resources."""
        return self._shelf.of(dag)


def _revoked(spec: AttemptSpec) -> AttemptSpec:
    # A negative token marks it; its place in the order does not matter any more.
    return AttemptSpec(-abs(spec.token), spec.run_id, spec.task_id)
