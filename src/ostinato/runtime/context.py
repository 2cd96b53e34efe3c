"""This module is what a running task knows of itself and its run."""

import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from zoneinfo import ZoneInfo

import msgspec

from ostinato.authoring import session
from ostinato.authoring.parameter_models import ModelParameters, validated
from ostinato.authoring.ports import BuiltFlow, Context, TriggeredRun
from ostinato.authoring.step_scopes import current_scope
from ostinato.clock import Clock, VirtualClock
from ostinato.engine.timetable import data_interval
from ostinato.errors import UsageError
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import MapPath, format_path
from ostinato.model.value import RETURN_VALUE, StoredValue
from ostinato.runtime.current_run import CurrentRun, PreviousSuccess
from ostinato.runtime.kept_files import described, folder_of_attempt, keep, make_folder
from ostinato.runtime.lookups import Connections, VariableForms
from ostinato.runtime.masking import masker
from ostinato.runtime.messages import AttemptSpec, RunInfo
from ostinato.runtime.templates import Renderer, render_value
from ostinato.runtime.values import LazyResults, decode_value, encode_value
from ostinato.runtime.vault_access import VaultAccess

if TYPE_CHECKING:
    pass

_ALL = 2**31

#: What asks for runs that no schedule decides on.
_ASKED_FOR = frozenset({"manual", "script", "api", "task"})


class Port(Protocol):
    """The way from an attempt to its coordinator and to what its process keeps."""

    def call(self, token: int, method: str, args: dict[str, Any]) -> Any:
        """Ask the coordinator; see ``messages.CALLS``."""
        ...

    def resources(self, dag: BuiltFlow) -> Mapping[str, Any]:
        """Return the flow's resources, opened as they are asked for."""
        ...


class TaskContext(VaultAccess, Mapping[str, Any]):
    """What the current attempt knows; attributes as in ``ports.Context``.

    It is a mapping too, so that ``context["ds"]`` and ``context["ti"]`` work as in Airflow.
    Everything is worked out when it is asked for.
    """

    def __init__(
        self, spec: AttemptSpec, info: RunInfo, dag: BuiltFlow, port: Port, clock: Clock
    ) -> None:
        self._spec = spec
        self._info = info
        self._dag = dag
        self._port = port
        self._clock = clock
        self._triggered = 0
        self._published = 0
        self._temp_dirs: list[Path] = []

    # The run

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return str(self._info.run_id)

    @property
    def run_number(self) -> int:
        """1, 2, 3 ... within the flow."""
        return self._info.number

    @property
    def project(self) -> str:
        """Name of the project."""
        return self._info.project

    @property
    def flow(self) -> str:
        """Name of the flow."""
        return self._info.flow

    @property
    def trigger(self) -> str:
        """What asked for the run."""
        return self._info.trigger

    @property
    def partition_key(self) -> str:
        """Partition of the run, or empty."""
        return self._info.partition

    @cached_property
    def params(self) -> Mapping[str, Any]:
        """Parameters of the run, and those of the task itself."""
        params: dict[str, Any] = msgspec.json.decode(self._info.params)
        operator = self._dag.operators.get(self._spec.task_id)
        own = operator.settings.params if operator is not None else None
        model = self._dag.parameter_model
        if model is not None:
            return ModelParameters(validated(model, params, self.flow), own or {})
        return _with_own(params, own, self._dag) if own else params

    @cached_property
    def logical_date(self) -> datetime:
        """The moment that the run stands for, in the flow's zone."""
        return self._moment(self._info.logical_date_us)

    @property
    def is_latest(self) -> bool:
        """Whether no newer interval of the schedule is over; always, where nothing is scheduled.

        A run that somebody asked for is always the latest.
        """
        if self._info.trigger in _ASKED_FOR:
            return True
        schedule = self._dag.definition.schedule
        start_us, end_us = data_interval(schedule, self._info.timezone, self._clock.now_us())
        return start_us == end_us or self._info.interval_end_us > start_us

    @cached_property
    def data_interval_start(self) -> datetime:
        """Start of the data that the run covers."""
        return self._moment(self._info.interval_start_us)

    @cached_property
    def data_interval_end(self) -> datetime:
        """End of the data that the run covers, not included."""
        return self._moment(self._info.interval_end_us)

    @property
    def ds(self) -> str:
        """The logical date as ``2025-01-31``."""
        return self.logical_date.strftime("%Y-%m-%d")

    @property
    def ds_nodash(self) -> str:
        """The logical date as ``20250131``."""
        return self.logical_date.strftime("%Y%m%d")

    @property
    def ts(self) -> str:
        """The logical date in ISO form."""
        return self.logical_date.isoformat()

    @property
    def ts_nodash(self) -> str:
        """The logical date as ``20250131T000000``."""
        return self.logical_date.strftime("%Y%m%dT%H%M%S")

    @property
    def ts_nodash_with_tz(self) -> str:
        """The logical date as ``20250131T000000+0000``."""
        return self.ts.replace("-", "").replace(":", "")

    @cached_property
    def run(self) -> CurrentRun:
        """The run, with all that is known of it."""
        return CurrentRun(
            id=self.run_id,
            number=self._info.number,
            flow=self._info.flow,
            project=self._info.project,
            trigger=self._info.trigger,
            params=msgspec.json.decode(self._info.params),
            logical_date=self.logical_date,
            data_interval_start=self.data_interval_start,
            data_interval_end=self.data_interval_end,
            partition_key=self._info.partition,
            start_date=self._moment(self._info.started_us),
            name=self._info.name,
        )

    @property
    def dag_run(self) -> CurrentRun:
        """The run, as Airflow calls it."""
        return self.run

    @cached_property
    def _previous_success(self) -> PreviousSuccess:
        found = self._port.call(self._spec.token, "previous_success", {})
        return PreviousSuccess(*map(self._moment, found)) if found else PreviousSuccess()

    @property
    def prev_data_interval_start_success(self) -> datetime | None:
        """Start of the data of the flow's last run before this one that succeeded."""
        return self._previous_success.data_interval_start

    @property
    def prev_data_interval_end_success(self) -> datetime | None:
        """End of the data of the flow's last run before this one that succeeded."""
        return self._previous_success.data_interval_end

    @property
    def prev_start_date_success(self) -> datetime | None:
        """When the flow's last run before this one that succeeded started."""
        return self._previous_success.start_date

    @property
    def prev_end_date_success(self) -> datetime | None:
        """When the flow's last run before this one that succeeded ended."""
        return self._previous_success.end_date

    # The task run

    @property
    def task_id(self) -> str:
        """Id of the task."""
        return self._spec.task_id

    @property
    def task(self) -> Any:
        """The operator."""
        return self._dag.operators[self._spec.task_id]

    @property
    def dag(self) -> BuiltFlow:
        """The flow object."""
        return self._dag

    @property
    def dag_id(self) -> str:
        """Name of the flow, as Airflow calls it."""
        return self._info.flow

    @property
    def map_path(self) -> MapPath:
        """Its indices, outermost first."""
        return self._spec.path

    @property
    def map_index(self) -> int:
        """The last of its indices, -1 where nothing is mapped."""
        return self._spec.path[-1] if self._spec.path else -1

    @property
    def attempt(self) -> int:
        """Number of this dispatch."""
        return self._spec.attempt

    @property
    def try_number(self) -> int:
        """1 plus the failures before this attempt."""
        return self._spec.try_number

    @property
    def first_started_at(self) -> datetime:
        """When the first attempt since the last clear started."""
        return datetime.fromtimestamp(self._spec.first_started_us / 1e6, UTC)

    @property
    def idempotency_key(self) -> str:
        """The same for all attempts until the task run is cleared."""
        spec, info = self._spec, self._info
        path = format_path(spec.path)
        return f"{info.project}/{info.run_id}/{spec.task_id}/{path}/{spec.generation}"

    @cached_property
    def logger(self) -> logging.Logger:
        """Logger whose lines are kept with the attempt."""
        logger = logging.getLogger("ostinato.task")
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.DEBUG)
        return logger

    @property
    def now(self) -> datetime:
        """The time at this moment, in UTC; virtual in ``ostinato.testing``."""
        return datetime.fromtimestamp(self._clock.now_us() / 1e6, UTC)

    @property
    def test_mode(self) -> bool:
        """Whether time is virtual and does not pass by itself."""
        return isinstance(self._clock, VirtualClock)

    @property
    def resources(self) -> Mapping[str, Any]:
        """Configured objects by name."""
        return self._port.resources(self._dag)

    @property
    def ti(self) -> "TaskContext":
        """This object, as Airflow's templates call it."""
        return self

    @property
    def task_instance(self) -> "TaskContext":
        """This object, as Airflow's templates call it."""
        return self

    @property
    def task_instance_key_str(self) -> str:
        """Flow, task and logical date in one word: ``sales__load__20250131``."""
        return f"{self.flow}__{self.task_id}__{self.ds_nodash}"

    @property
    def max_tries(self) -> int:
        """How often a failed attempt is tried again."""
        retries: int = self.task.policy.retries
        return retries

    @property
    def inlets(self) -> list[str]:
        """Keys of the data objects that the task reads."""
        task = self._dag.operators.get(self._spec.task_id)
        # What is called for the run itself has no task.
        return [] if task is None else list(task.settings.inlets)

    @property
    def outlets(self) -> list[str]:
        """Keys of the data objects that the task writes."""
        task = self._dag.operators.get(self._spec.task_id)
        return [] if task is None else list(task.settings.outlets)

    @property
    def exception(self) -> BaseException | None:
        """What went wrong, for the callback of a failure; None in a task."""
        return None

    @cached_property
    def macros(self) -> Any:
        """Functions and modules for templates, such as ``macros.ds_add``."""
        # Modules that only few templates need.
        from ostinato.runtime.macros import Macros  # noqa: PLC0415 - see above

        return Macros()

    @cached_property
    def var(self) -> VariableForms:
        """Variables: ``var.value.bucket`` as text, ``var.json.limits`` as what it holds."""
        return VariableForms(self)

    @cached_property
    def conn(self) -> Connections:
        """Connections: ``conn.warehouse.host``."""
        return Connections(self)

    # Values

    def pull(
        self,
        task_id: str,
        *,
        key: str = RETURN_VALUE,
        map_index: int | MapPath | None = None,
        run_id: str = "",
        flow: str = "",
        include_prior: bool = False,
    ) -> Any:
        """Return a value that a task stored, None if there is none.

        Args:
            task_id: Of the task.
            key: Under which it was stored.
            map_index: Of a mapped task, its index or indices; without it all its values.
            run_id: Of another run.
            flow: Of the newest run up to this one's logical date that has such a value.
            include_prior: Whether the newest run before this one that has such a value is
                asked if this one has none.
        """
        if run_id or flow:
            return self._pull_elsewhere(task_id, key, map_index, run_id=run_id, flow=flow)
        value = self._pull_here(task_id, key, map_index)
        if value is None and include_prior:
            return self._pull_elsewhere(task_id, key, map_index, flow=self.flow)
        return value

    def _pull_here(self, task_id: str, key: str, map_index: int | MapPath | None) -> Any:
        prefix: MapPath = ()
        if map_index is not None:
            prefix = (map_index,) if isinstance(map_index, int) else tuple(map_index)

        def fetch(offset: int, limit: int) -> list[StoredValue | None]:
            args = {
                "task_id": task_id,
                "prefix": prefix,
                "key": key,
                "offset": offset,
                "limit": limit,
            }
            return stored_values(self._port.call(self._spec.token, "pull", args))

        values = fetch(0, _ALL)
        is_mapped = any(
            task.id == task_id and (task.expansion is not None or task.group)
            for task in self._dag.definition.tasks
        )
        if map_index is None and is_mapped and len(values) != 1:
            return LazyResults(len(values), fetch, self._info.values_root, values)
        return decode_value(values[0], self._info.values_root) if values else None

    def _pull_elsewhere(
        self,
        task_id: str,
        key: str,
        map_index: int | MapPath | None,
        *,
        run_id: str = "",
        flow: str = "",
    ) -> Any:
        path = None
        if map_index is not None:
            path = format_path((map_index,) if isinstance(map_index, int) else tuple(map_index))
        args = {"task_id": task_id, "key": key, "path": path, "run_id": run_id, "flow": flow}
        answer = self._port.call(self._spec.token, "pull_elsewhere", args)
        values = [
            decode_value(value, self._info.values_root) for value in stored_values(answer["values"])
        ]
        if answer["is_mapped"] and path is None:
            return values
        return values[0] if values else None

    def push(self, key: str, value: Any) -> None:
        """Store a value of this task run under a key; durable when this returns.

        Raises:
            ValueNotSerialisable: It cannot be stored.
            UsageError: The value is None, which is what ``pull`` gives for nothing.
        """
        if value is None:
            message = f"task {self.task_id!r} pushed None under {key!r}"
            raise UsageError(message, hint="push nothing instead; pull() gives None for it")
        stored = encode_value(key, value, self._spec, self._info.values_root)
        self._port.call(self._spec.token, "push", {"value": stored})

    def name_run(self, name: str) -> None:
        """Give the run a name for people, beside ``etl#17``; durable with the attempt's end.

        Args:
            name: A few words.
        """
        self._port.call(self._spec.token, "name_run", {"text": masker.mask(name)})

    def xcom_pull(
        self,
        task_ids: str | Sequence[str],
        key: str = RETURN_VALUE,
        map_indexes: int | MapPath | None = None,
        *,
        default: Any = None,
        dag_id: str = "",
        run_id: str = "",
        include_prior_dates: bool = False,
    ) -> Any:
        """Do what ``pull`` does, in Airflow's words; of several tasks the list of their values."""
        names = [task_ids] if isinstance(task_ids, str) else task_ids
        values = [
            self.pull(
                name,
                key=key,
                map_index=map_indexes,
                run_id=run_id,
                flow=dag_id if dag_id != self.flow else "",
                include_prior=include_prior_dates,
            )
            for name in names
        ]
        values = [default if value is None else value for value in values]
        return values[0] if isinstance(task_ids, str) else values

    def xcom_push(self, key: str, value: Any) -> None:
        """Do what ``push`` does, in Airflow's words."""
        self.push(key, value)

    def trigger_run(
        self,
        flow: str,
        *,
        params: Mapping[str, Any] | None = None,
        logical_date: datetime | None = None,
        logical_key: str = "",
        declared: FlowDefinition | None = None,
    ) -> TriggeredRun:
        """Run another flow that was loaded with this one, and do not wait for it.

        A retried attempt that asks again gets the same run: without a ``logical_key``, the n-th
        run that the task run asks for is the n-th one for all its attempts.

        Args:
            flow: Its name.
            params: Values of its parameters.
            logical_date: The moment that the run stands for; now by default.
            logical_key: Whoever asks for a run of the flow with it gets the same run.
            declared: Of a flow that may not be loaded: its run waits for who serves it then.

        Raises:
            ExecutionError: The flow is not loaded, or the parameters do not fit.
        """
        self._triggered += 1
        number = f"#{self._triggered}" if self._triggered > 1 else ""
        date_us = None if logical_date is None else round(logical_date.timestamp() * 1e6)
        args: dict[str, Any] = {
            "flow": flow,
            "params": dict(params or {}),
            "date_us": date_us,
            "logical_key": logical_key or f"task:{self.idempotency_key}{number}",
        }
        if declared is not None:
            args["definition"] = msgspec.msgpack.encode(declared)
        return TriggeredRun(**self._port.call(self._spec.token, "trigger_run", args))

    def run_state(
        self, run_id: str, *, is_waiting: bool = False, timeout_s: float | None = None
    ) -> Mapping[str, Any]:
        """Return what is known of a run: ``name``, ``state``, ``is_over``, ``reason`` and more.

        Args:
            run_id: Its id as text.
            is_waiting: Whether the answer may take until the run has ended.
            timeout_s: How long at most.
        """
        args = {"run_id": run_id, "is_waiting": is_waiting, "timeout_s": timeout_s}
        try:
            known: Mapping[str, Any] = self._port.call(self._spec.token, "run_state", args)
        except TimeoutError:
            # A thread of the coordinator's process waits for a minute only.
            return self.run_state(run_id)
        return known

    def publish(self, kind: str, key: str, description: str, data: bytes) -> int:
        """Keep an artifact; durable when this returns.

        What publishes the n-th one of a task run or step again, being tried again or replayed,
        replaces it.

        Args:
            kind: Such as ``table``.
            key: What its versions have in common, or empty.
            description: For people.
            data: JSON, by its kind.

        Returns:
            Its id.
        """
        scope = current_scope.get()
        if scope is not None:
            task_id, path, number = scope.task_id, scope.path, scope.count_published()
        else:
            task_id, path, number = self._spec.task_id, self._spec.path, self._published
            self._published += 1
        artifact = {
            "task_id": task_id,
            "path": format_path(path),
            "number": number,
            "kind": kind,
            "key": key,
            "description": description,
            "data": data,
        }
        answer: int = self._port.call(self._spec.token, "publish", artifact)
        return answer

    def update_artifact(self, artifact_id: int, description: str | None, data: bytes) -> None:
        """Replace what an artifact holds; durable when this returns.

        Args:
            artifact_id: As ``publish`` gave it.
            description: None to leave it as it is.
            data: JSON, by its kind.

        Raises:
            UsageError: There is none with this id.
        """
        args = {"artifact_id": artifact_id, "description": description, "data": data}
        self._port.call(self._spec.token, "update_artifact", args)

    def files_dir(self) -> Path:
        """Return a folder of this attempt; what is written to it is kept with the run."""
        scope = current_scope.get()
        task_id, path = (
            (self._spec.task_id, self._spec.path) if scope is None else (scope.task_id, scope.path)
        )
        folder = folder_of_attempt(
            self.data_dir.absolute(),
            run_id=self.run_id,
            task_id=task_id,
            path=path,
            attempt=self.attempt,
        )
        make_folder(folder)
        return folder

    def keep_file(self, file: Path, *, key: str = "", description: str = "") -> int:
        """Publish a file, which is copied to ``files_dir()`` unless it lies there.

        Args:
            file: What is to be kept.
            key: What its versions have in common, or empty.
            description: For people.

        Returns:
            The id of the artifact.

        Raises:
            ExecutionError: The file cannot be read.
        """
        folder = self.files_dir()
        kept = keep(file, folder)
        data = described(kept, folder, self.data_dir.absolute())
        return self.publish("file", key, description, data)

    @property
    def data_dir(self) -> Path:
        """Folder of the project's data; what is kept in it outlives the run."""
        return Path(self._info.data_root or tempfile.gettempdir())

    # What lies outside the flow

    def ask(self, method: str, args: dict[str, Any]) -> Any:
        """Ask the coordinator; see ``messages.CALLS``."""
        return self._port.call(self._spec.token, method, args)

    def render(self, value: Any, *, field: str = "") -> Any:
        """Return a value with the templates in its texts rendered.

        Args:
            value: Text, or lists, tuples, dicts and sets of it.
            field: What it is, for messages.

        Raises:
            TemplateError: A template does not parse, or uses what is not there.

        Example:
            ``context.render("SELECT * FROM sales WHERE day = '{{ ds }}'")``
        """
        renderer = Renderer(self.task, self._dag, self, takes_files=False)
        renderer.field = field
        return render_value(value, renderer)

    def temp_dir(self) -> Path:
        """Return a folder of this attempt that is deleted after it."""
        folder = Path(tempfile.mkdtemp(prefix="ostinato-task-"))
        self._temp_dirs.append(folder)
        return folder

    def close(self) -> None:
        """Delete the folders of the attempt."""
        for folder in self._temp_dirs:
            shutil.rmtree(folder, ignore_errors=True)

    # As a mapping

    def __getitem__(self, name: str) -> Any:
        if name not in _NAMES:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)

    def __contains__(self, name: object) -> bool:
        return name in _NAMES

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def _moment(self, at_us: int) -> datetime:
        return datetime.fromtimestamp(at_us / 1e6, ZoneInfo(self._info.timezone or "UTC"))


#: What the context has as a mapping, and what templates can use.
_NAMES = {
    name: None
    for name, member in sorted(vars(TaskContext).items())
    if isinstance(member, property | cached_property) and not name.startswith("_")
}

current_context: ContextVar[TaskContext | None] = ContextVar("ostinato_context", default=None)


session.set_context_finder(current_context.get)


def get_current_context() -> Context:
    """Return the context of the task that executes.

    Raises:
        UsageError: No task executes here.
    """
    context = current_context.get()
    if context is None:
        raise UsageError("get_current_context() works inside a running task only")
    return context


def _with_own(params: dict[str, Any], own: Mapping[str, Any], dag: BuiltFlow) -> dict[str, Any]:
    """Lay a task's own parameters over those that the run was not given another value for."""
    defaults = {parameter.name: parameter.default for parameter in dag.definition.parameters}
    told = {name: value for name, value in params.items() if value != defaults.get(name)}
    return {**params, **own, **told}


def stored_values(answer: Any) -> list[StoredValue | None]:
    """Read the answer to a ``pull``, which a socket carries as builtin dicts."""
    return [
        value
        if value is None or isinstance(value, StoredValue)
        else msgspec.convert(value, StoredValue)
        for value in answer
    ]
