"""This module drives an executor as the coordinator's loop does, without a store."""

import os
import selectors
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ostinato.authoring.ports import BuiltFlow
from ostinato.clock import Clock, SystemClock
from ostinato.executors.code_host import CodeHost
from ostinato.executors.process import ProcessExecutor
from ostinato.executors.protocol import CallHandler, Executor
from ostinato.model.manifest import Manifest, encode_manifest, version_of
from ostinato.project.loading import Loaded
from ostinato.runtime import messages as msg
from tests.unit.runtime.attempts import log_lines, run_info, spec_of

#: Seconds after which a test gives up.
PATIENCE_S = 30.0


def loaded(flow: BuiltFlow) -> Loaded:
    """Return what loading a file with that flow gives."""
    manifest = Manifest("project", (flow.definition,))
    data = encode_manifest(manifest)
    return Loaded({flow.name: flow}, manifest, data, version_of(data))


def refuse(token: int, method: str, args: dict[str, Any]) -> Any:
    """Answer no call."""
    raise AssertionError(f"no task calls here: {method}")


class Driven:
    """An executor with a loop around it.

    Args:
        folder: For logs, values, and what tasks leave there.
        executor: What is driven.
    """

    def __init__(self, folder: Path, executor: Executor) -> None:
        self.folder = folder
        self.executor = executor
        self.info = run_info(folder)
        self.reports: dict[int, msg.Report] = {}
        self._tokens = 0
        self._selector = selectors.DefaultSelector()
        self._closing = ExitStack()
        self._closing.callback(self._selector.close)
        self._closing.callback(executor.close)
        executor.register(self._selector)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the executor."""
        self._closing.close()

    def start(self, *task_ids: str, **spec: Any) -> list[int]:
        """Start an attempt of each task, in one batch; return the tokens."""
        specs = []
        for task_id in task_ids:
            self._tokens += 1
            specs.append(spec_of(task_id, token=self._tokens, attempt=self._tokens, **spec))
        self.executor.start(specs, self.info)
        return [one.token for one in specs]

    def turn(self, most_s: float = 0.05) -> None:
        """Wait for what comes, but not for long, and take it."""
        wait_s = 0.0 if self.executor.has_work() else self.executor.next_check_s()
        wait_s = most_s if wait_s is None else min(max(wait_s, 0.0), most_s)
        for key, _ in self._selector.select(wait_s):
            key.data()
        for report in self.executor.poll():
            assert report.token not in self.reports, f"reported twice: {report}"
            self.reports[report.token] = report

    def until(self, condition: Callable[[], bool]) -> None:
        """Take turns until something holds."""
        clock = SystemClock()
        end_s = clock.monotonic_s() + PATIENCE_S
        while not condition():
            assert clock.monotonic_s() < end_s, f"waited in vain; reported: {self.reports}"
            self.turn()

    def report(self, token: int) -> msg.Report:
        """Wait for the report of an attempt."""
        self.until(lambda: token in self.reports)
        return self.reports[token]

    def run(self, task_id: str, **spec: Any) -> msg.Report:
        """Execute one attempt."""
        return self.report(self.start(task_id, **spec)[0])

    def value(self, task_id: str, **spec: Any) -> bytes | None:
        """Execute one attempt that succeeds; return its value as JSON."""
        report = self.run(task_id, **spec)
        assert isinstance(report, msg.Succeeded), report
        return report.values[0].data

    def log(self, task_id: str, token: int = 1) -> list[dict[str, Any]]:
        """Return the log of an attempt."""
        return log_lines(self.info, spec_of(task_id, attempt=token))

    def file(self, name: str) -> Path:
        """Return a file that a task writes."""
        return self.folder / name

    def until_written(self, name: str) -> str:
        """Wait until a task has written a file; return its text."""
        self.until(self.file(name).exists)
        return self.file(name).read_text()


class DrivenProcesses(Driven):
    """The executor of children, with its code host.

    Args:
        folder: For logs, values, and what tasks leave there.
        flow: What children execute.
        children: At most so many.
        answer: Answers the calls of attempts.
        clock: Measures how long attempts last.
        load: Loads the definitions, instead of giving the flow as it is.
        resources: Objects that replace the flow's own.
    """

    def __init__(
        self,
        folder: Path,
        flow: BuiltFlow,
        *,
        children: int = 1,
        answer: CallHandler = refuse,
        clock: Clock | None = None,
        load: Callable[[], Loaded] | None = None,
        resources: Mapping[str, Any] | None = None,
    ) -> None:
        self.host = CodeHost.fork(load or (lambda: loaded(flow)), resources=resources)
        self.host.loaded()
        executor = ProcessExecutor(self.host, answer, max_children=children, clock=clock)
        super().__init__(folder, executor)

    def close(self) -> None:
        """Close the executor and end the code host."""
        super().close()
        self.host.close()


def write(file: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    aside = file.with_suffix(".aside")
    aside.write_text(text)
    aside.replace(file)


def is_alive(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def await_end(pid: int) -> None:
    """Wait until a process that is none of ours has ended."""
    if not is_alive(pid):
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        assert selector.select(PATIENCE_S), f"process {pid} does not end"
    os.close(descriptor)
