"""This module gives an attempt what is recorded of a run, and records nothing."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ostinato.authoring.ports import BuiltFlow
from ostinato.client.vault import Vault
from ostinato.clock import Clock
from ostinato.coordinator.calls import Calls
from ostinato.coordinator.earlier_runs import EarlierRuns
from ostinato.coordinator.live_run import LiveRun
from ostinato.coordinator.other_runs import OtherRuns
from ostinato.coordinator.pinned import info_of
from ostinato.coordinator.recovery import restore_run
from ostinato.coordinator.steps import StepDesk
from ostinato.coordinator.vault_calls import VaultCalls
from ostinato.engine.task_run import TaskRun
from ostinato.errors import UnknownTask, UsageError
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import MapPath, TaskRunKey
from ostinato.model.state import TaskRunState
from ostinato.model.step import BODY
from ostinato.model.value import StoredValue
from ostinato.project.discovery import Project
from ostinato.runtime.messages import AttemptSpec, MappedValues, RecordedStep, RunInfo, SingleValue
from ostinato.store.protocol import Store
from ostinato.store.records import RunRow

logger = logging.getLogger(__name__)

#: Calls that would write, and what their caller is told instead.
_WRITING: dict[str, Any] = {
    "push": None,
    "name": None,
    "name_run": None,
    "step": None,
    "step_lasts": None,
    "publish": 0,
    "update_artifact": None,
    "set_variable": {"shadow": "", "secrets": []},
    "delete_variable": False,
}

#: Those of them that change something beside the run.
_TOLD = frozenset({"set_variable", "delete_variable"})

_TOKEN = 1


class RecordedRun:
    """A run as it is recorded, for an attempt that leaves no trace; a ``Port``.

    Args:
        store: Where it is recorded.
        project: Whose run it is.
        row: The run.
        flow: Its definition.
        scratch: Folder for what the attempt writes.
        clock: The time.
    """

    def __init__(
        self,
        store: Store,
        project: Project,
        row: RunRow,
        flow: FlowDefinition,
        *,
        scratch: Path,
        clock: Clock,
    ) -> None:
        info = info_of(project, row, flow, row.started_us)
        self._root = Path(info.values_root)
        self._run, _ = restore_run(store, row, flow, info, lanes=[], now_us=clock.now_us())
        #: What attempts of the run share; what they write goes to the scratch folder.
        self.info: RunInfo = msgspec.structs.replace(
            info, values_root=str(scratch / "values"), logs_root=str(scratch / "logs")
        )
        vault = VaultCalls(lambda: Vault(store.vault, project, clock=clock))
        answers: Mapping[str, Callable[..., Any]] = {
            **EarlierRuns(store).answers,
            **OtherRuns(store).answers,
            **vault.answers,
            "steps": StepDesk(store, _NoBatch()).recorded,
            **_NOTHING_KEPT,
        }
        self._calls = Calls(_NoRecorder(), answers)
        self._task_run: TaskRun | None = None

    @property
    def is_function(self) -> bool:
        """Whether the flow is a function, whose tasks are steps."""
        return BODY in self._run.plan.positions

    def spec(self, task_id: str, path: MapPath) -> AttemptSpec:
        """Return the last attempt of a task run, as it was dispatched.

        Raises:
            UnknownTask: There is no such task run.
        """
        task_run = self._run.machine.task_run(task_id, path)
        if task_run is None:
            name = f"{self._run.row.flow}#{self._run.row.number}"
            message = f"run {name} has no task run {TaskRunKey(task_id, path)}"
            hint = "" if path else f"of a mapped task, name one such as {task_id}[0]"
            raise UnknownTask(message, hint=hint)
        self._task_run = task_run
        spec = self._run.spec(task_run, _TOKEN)
        tries = spec.try_number - (task_run.state is TaskRunState.FAILED)
        return msgspec.structs.replace(
            spec,
            # A replay raises what failed in a body, and executes none of it again.
            try_number=1 if task_id == BODY else max(tries, 1),
            generation=0 if task_id == BODY else spec.generation,
            inputs={name: self._located(value) for name, value in spec.inputs.items()},
            resumption=None,
        )

    # As a port

    def call(self, token: int, method: str, args: dict[str, Any]) -> Any:
        """Answer from what is recorded, and write nothing.

        Raises:
            UsageError: It asks for what cannot be without a trace.
        """
        del token
        if method in _WRITING:
            if method in _TOLD:
                logger.warning("nothing is written here: %s of %s", method, args.get("key", ""))
            return _WRITING[method]
        if method in ("trigger_run", "subflow"):
            message = "it would start another run, and a task that is executed again starts none"
            raise UsageError(message)
        assert self._task_run is not None
        return self._located(self._calls.answer(self._run, self._task_run, method, args))

    def resources(self, dag: BuiltFlow) -> Mapping[str, Any]:
        """Return the flow's resources."""
        return dag.resources

    def _located(self, value: Any) -> Any:
        """Return the same with files of values where they are."""
        match value:
            case StoredValue():
                if not value.location:
                    return value
                where = str(self._root / value.location)
                return msgspec.structs.replace(value, location=where)
            case SingleValue() | RecordedStep():
                return msgspec.structs.replace(value, value=self._located(value.value))
            case MappedValues():
                return msgspec.structs.replace(value, first=tuple(map(self._located, value.first)))
            case list():
                return [self._located(item) for item in value]
            case tuple():
                return tuple(self._located(item) for item in value)
            case {"values": found}:
                return {**value, "values": self._located(found)}
            case _:
                return value


class _NoRecorder:
    """Write nothing."""

    def keep(self, run: LiveRun, task_run: TaskRun, value: StoredValue) -> None:
        del run, task_run, value

    def rewrite(self, run: LiveRun, task_run: TaskRun) -> None:
        del run, task_run

    def commit(self) -> None:
        pass


#: What is published is not kept, and what is cached is executed.
_NOTHING_KEPT: Mapping[str, Callable[..., Any]] = {
    "publish": lambda *_, **__: 0,
    "update_artifact": lambda *_, **__: None,
    "cached": lambda *_, **__: {"is_claimed": True},
    "cache_release": lambda *_, **__: None,
}


class _NoBatch:
    """Have no next commit."""

    @property
    def batch(self) -> Any:
        raise NotImplementedError

    def after_commit(self, value: Any = None) -> Any:
        raise NotImplementedError

    def commit(self) -> None:
        raise NotImplementedError

    def note_progress(self, run: LiveRun, body: TaskRun) -> None:
        raise NotImplementedError
