"""This module answers what running attempts ask of their coordinator."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from ostinato.client.run_names import MAX_NAME
from ostinato.coordinator.live_run import LiveRun
from ostinato.engine.task_run import TaskRun
from ostinato.errors import UsageError
from ostinato.model.identity import MapPath
from ostinato.model.value import StoredValue

#: What triggers may ask.
CALLS_OF_TRIGGERS = frozenset({"connection", "pull", "run_state", "states_elsewhere", "variable"})

#: What callbacks may ask, and alerts on runs that are driven elsewhere.
CALLS_OF_NOTICES = CALLS_OF_TRIGGERS | {"previous_success", "pull_elsewhere"}
CALLS_OF_ALERTS = frozenset({"connection", "variable"})


class Recorder(Protocol):
    """Write what attempts store; the coordinator is one."""

    def keep(self, run: LiveRun, task_run: TaskRun, value: StoredValue) -> None:
        """Add a value to the next commit."""
        ...

    def rewrite(self, run: LiveRun, task_run: TaskRun) -> None:
        """Write a task run's row again with the next commit."""
        ...

    def commit(self) -> None:
        """Make everything durable that was added."""
        ...


class Calls:
    """Answer calls by their method; what they mean is said at ``runtime.messages.CALLS``.

    Args:
        recorder: Writes what attempts store.
        more: Calls that others answer, by method.
    """

    def __init__(
        self, recorder: Recorder, more: Mapping[str, Callable[..., Any]] | None = None
    ) -> None:
        self._recorder = recorder
        #: By method; each takes the run, the task run and the call's arguments by name.
        self._answers: dict[str, Callable[..., Any]] = {
            "pull": _pull,
            "push": self._push,
            "name": self._name,
            "name_run": self._name_run,
            **(more or {}),
        }

    def answer(self, run: LiveRun, task_run: TaskRun, method: str, args: dict[str, Any]) -> Any:
        """Answer a call of a task run that executes.

        Raises:
            UsageError: There is no such call, or it makes no sense.
        """
        answer = self._answers.get(method)
        if answer is None:
            message = f"a task asked for {method!r}, which is no call"
            raise UsageError(message)
        return answer(run, task_run, **args)

    def answer_trigger(
        self, run: LiveRun, task_run: TaskRun, method: str, args: dict[str, Any]
    ) -> Any:
        """Answer a call of a trigger, which may ask and not write.

        Raises:
            UsageError: There is no such call for triggers.
        """
        if method not in CALLS_OF_TRIGGERS:
            message = f"a trigger asked for {method!r}, which is no call of triggers"
            raise UsageError(message)
        return self.answer(run, task_run, method, args)

    def answer_notice(self, run: LiveRun | None, method: str, args: dict[str, Any]) -> Any:
        """Answer a call of a callback or an alert, which may ask and not write.

        Args:
            run: Whose notice it is; None if it is driven elsewhere or gone.
            method: Of the call.
            args: Its arguments by name.

        Raises:
            UsageError: There is no such call for them.
        """
        allowed = CALLS_OF_NOTICES if run is not None else CALLS_OF_ALERTS
        if method not in allowed or method not in self._answers:
            message = f"a callback asked for {method!r}, which is no call of callbacks"
            raise UsageError(message)
        return self._answers[method](run, None, **args)

    def _push(self, run: LiveRun, task_run: TaskRun, *, value: object) -> None:
        stored = value if isinstance(value, StoredValue) else msgspec.convert(value, StoredValue)
        self._recorder.keep(run, task_run, stored)
        self._recorder.commit()

    def _name(self, run: LiveRun, task_run: TaskRun, *, text: str) -> None:
        if run.names.get(task_run, "") != text:
            run.names[task_run] = text
            self._recorder.rewrite(run, task_run)

    def _name_run(self, run: LiveRun, task_run: TaskRun, *, text: str) -> None:
        if run.row.name != text:
            run.row = msgspec.structs.replace(run.row, name=text[:MAX_NAME])
            run.is_row_dirty = True
            self._recorder.rewrite(run, task_run)


def _pull(
    run: LiveRun,
    _: TaskRun,
    *,
    task_id: str,
    prefix: list[int] | tuple[int, ...],
    key: str,
    offset: int,
    limit: int,
) -> list[StoredValue | None]:
    position = run.plan.positions.get(task_id)
    if position is None:
        message = f"flow {run.plan.flow.name!r} has no task {task_id!r} to pull from"
        raise UsageError(message)
    node = run.plan.nodes[position]
    path: MapPath = tuple(prefix)
    if node.expansion is None and len(node.scope) == len(path):
        return [run.values.get(task_id, path, key)]
    return run.mapped_values(task_id, path, key, offset, limit)
