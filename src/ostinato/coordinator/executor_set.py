"""This module is the executors of a coordinator: they may come and go while it drives runs."""

import selectors
from collections.abc import Callable, Iterator, Mapping

from ostinato.coordinator.nested_runs import NESTED
from ostinato.engine.queueing import Ready, ReadyQueue
from ostinato.executors.protocol import STEPS, Executor
from ostinato.runtime import messages as msg


class ExecutorSet:
    """The executors to which a coordinator's attempts are dispatched.

    Args:
        executors: By name.
        selector: Where they register what the loop must wait for.
    """

    def __init__(self, executors: Mapping[str, Executor], selector: selectors.BaseSelector) -> None:
        self._selector = selector
        # Replaced as a whole: what walks over them in a turn is not disturbed.
        self._executors = dict(executors)
        self._is_draining = False
        for executor in self._executors.values():
            executor.register(selector)

    def get(self, name: str) -> Executor | None:
        """Return the executor of that name."""
        return self._executors.get(name)

    def add(self, name: str, executor: Executor) -> None:
        """Have attempts dispatched to an executor from now on."""
        executor.register(self._selector)
        self._executors = {**self._executors, name: executor}

    def remove(self, name: str) -> None:
        """End an executor that no run needs any more."""
        executors = dict(self._executors)
        executors.pop(name).close()
        self._executors = executors

    def drain(self) -> None:
        """Dispatch nothing any more but what attempts that are under way wait for."""
        self._is_draining = True

    def credits(self) -> int | None:
        """Return how many attempts they take beside those they have; None where there is none."""
        of_tasks = [each for name, each in self._executors.items() if not _is_within(name)]
        return sum(max(each.credits(), 0) for each in of_tasks) if of_tasks else None

    def dispatch(self, queue: ReadyQueue, start: Callable[[Executor, Ready], None]) -> None:
        """Start what is ready, as far as limits and credits allow."""
        for name, executor in self._executors.items():
            if self._is_draining and not _is_within(name):
                continue
            ready = queue.pop(name) if (free := executor.credits()) > 0 else None
            while ready is not None:
                start(executor, ready)
                free -= 1
                ready = queue.pop(name) if free > 0 else None

    def poll(self) -> Iterator[list[msg.Report]]:
        """Yield the reports that have come, by executor."""
        for executor in self._executors.values():
            yield executor.poll()

    def next_check_s(self) -> float | None:
        """Return in how many seconds they must be polled even if nothing comes; 0 for at once."""
        found: float | None = None
        for executor in self._executors.values():
            if executor.has_work():
                return 0.0
            check_s = executor.next_check_s()
            if check_s is not None and (found is None or check_s < found):
                found = check_s
        return found

    def close(self) -> None:
        """Kill what runs and free everything."""
        for executor in self._executors.values():
            executor.close()


def _is_within(executor: str) -> bool:
    """Whether what an executor executes is part of an attempt that is under way."""
    return executor == NESTED or executor.startswith(STEPS)
