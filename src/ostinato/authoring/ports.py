"""This module holds the protocols that users' classes meet and ``runtime`` implements."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from ostinato.authoring.templates import FlowTemplates
from ostinato.model.event_sensor import SensorDefinition
from ostinato.model.flow import FlowDefinition
from ostinato.model.sensor_tick import TickInput, TickResult
from ostinato.model.step import BODY

if TYPE_CHECKING:
    from ostinato.authoring.hooks import Hook
    from ostinato.model.connection import Connection


class TriggeredRun(NamedTuple):
    """A run that a task asked for.

    Attributes:
        run_id: Its id, as text.
        name: For people, such as ``etl#17``.
        is_own: Whether this task run was the first to ask for it.
    """

    run_id: str
    name: str
    is_own: bool = True


@runtime_checkable
class Context(Protocol):
    """What a running task knows of itself and its run."""

    @property
    def run_id(self) -> str:
        """Id of the run, as text."""
        ...

    @property
    def flow(self) -> str:
        """Name of the flow; ``dag`` in Airflow's words."""
        ...

    @property
    def task_id(self) -> str:
        """Id of the task."""
        ...

    @property
    def map_path(self) -> tuple[int, ...]:
        """Its indices, outermost first; empty where nothing is mapped."""
        ...

    @property
    def map_index(self) -> int:
        """The last of them, -1 where nothing is mapped."""
        ...

    @property
    def attempt(self) -> int:
        """Number of this dispatch, 1 for the first; lost attempts count too."""
        ...

    @property
    def try_number(self) -> int:
        """1 plus the failures before this attempt."""
        ...

    @property
    def logical_date(self) -> datetime:
        """The moment that the run stands for, in the flow's zone."""
        ...

    @property
    def is_latest(self) -> bool:
        """Whether no newer interval of the schedule is over, or somebody asked for the run."""
        ...

    @property
    def data_interval_start(self) -> datetime:
        """Beginning of the data that the run covers."""
        ...

    @property
    def data_interval_end(self) -> datetime:
        """End of the data that the run covers, itself outside."""
        ...

    @property
    def ds(self) -> str:
        """The logical date as ``2025-01-31``."""
        ...

    @property
    def ds_nodash(self) -> str:
        """The logical date as ``20250131``."""
        ...

    @property
    def ts(self) -> str:
        """The logical date with the time, in ISO 8601."""
        ...

    @property
    def ts_nodash(self) -> str:
        """The logical date as ``20250131T000000``."""
        ...

    @property
    def params(self) -> Mapping[str, Any]:
        """Parameters of the run."""
        ...

    @property
    def ts_nodash_with_tz(self) -> str:
        """The logical date as ``20250131T000000+0000``."""
        ...

    @property
    def run(self) -> Any:
        """The run: ``id``, ``number``, ``params``, ``trigger``, ``start_date`` and more."""
        ...

    @property
    def dag_run(self) -> Any:
        """The same, as Airflow calls it, with ``run_id``, ``conf`` and ``run_type``."""
        ...

    @property
    def dag(self) -> Any:
        """The flow object."""
        ...

    @property
    def task(self) -> Any:
        """The operator."""
        ...

    @property
    def ti(self) -> Any:
        """The context itself, with ``xcom_pull`` and ``xcom_push``."""
        ...

    @property
    def var(self) -> Any:
        """Variables: ``var.value.name`` as text, ``var.json.name`` as what it holds."""
        ...

    @property
    def conn(self) -> Any:
        """Connections: ``conn.name``."""
        ...

    @property
    def macros(self) -> Any:
        """Functions for templates, such as ``macros.ds_add``."""
        ...

    @property
    def partition_key(self) -> str:
        """Partition of the run, or empty."""
        ...

    @property
    def logger(self) -> logging.Logger:
        """Logger whose lines are kept with the attempt."""
        ...

    @property
    def idempotency_key(self) -> str:
        """The same for all attempts until the task run is cleared."""
        ...

    @property
    def first_started_at(self) -> datetime:
        """When the first attempt since the last clear started, in UTC."""
        ...

    @property
    def now(self) -> datetime:
        """The time at this moment, in UTC; virtual in ``ostinato.testing``."""
        ...

    @property
    def test_mode(self) -> bool:
        """Whether time is virtual and does not pass by itself."""
        ...

    @property
    def resources(self) -> Mapping[str, Any]:
        """Configured objects by name; one is opened when it is asked for."""
        ...

    def pull(
        self,
        task_id: str,
        *,
        key: str = "return_value",
        map_index: int | None = None,
        run_id: str = "",
        flow: str = "",
        include_prior: bool = False,
    ) -> Any:
        """Return a value that a task stored in this run or another, None if there is none."""
        ...

    def name_run(self, name: str) -> None:
        """Give the run a name for people, beside ``etl#17``."""
        ...

    def push(self, key: str, value: Any) -> None:
        """Store a value of this task run under a key; durable when this returns."""
        ...

    def trigger_run(
        self,
        flow: str,
        *,
        params: Mapping[str, Any] | None = None,
        logical_date: datetime | None = None,
        logical_key: str = "",
        declared: FlowDefinition | None = None,
    ) -> TriggeredRun:
        """Run another flow that was loaded with this one, and do not wait for it."""
        ...

    def run_state(
        self, run_id: str, *, is_waiting: bool = False, timeout_s: float | None = None
    ) -> Mapping[str, Any]:
        """Return what is known of a run: ``name``, ``state``, ``is_over``, ``reason`` ..."""
        ...

    @property
    def data_dir(self) -> Path:
        """Folder of the project's data; what is kept in it outlives the run."""
        ...

    def connection(self, conn_id: str) -> "Connection":
        """Return how to reach a system outside, secrets included."""
        ...

    def hook(self, conn_id: str) -> "Hook":
        """Return what speaks to the system that a connection leads to."""
        ...

    def variable(self, key: str, *, default: Any = ..., json: bool = False) -> Any:
        """Return a variable; without a default, one that is nowhere raises."""
        ...

    def temp_dir(self) -> Path:
        """Return a folder of this attempt that is deleted after it."""
        ...

    def files_dir(self) -> Path:
        """Return a folder of this attempt; what is written to it is kept with the run."""
        ...

    def keep_file(self, file: Path, *, key: str = "", description: str = "") -> int:
        """Publish a file, copied to ``files_dir()`` unless it lies there; return its id."""
        ...

    def render(self, value: Any, *, field: str = "") -> Any:
        """Return a value with the templates in its texts rendered, such as ``"{{ ds }}"``."""
        ...


class Resolver(Protocol):
    """Turn what stands for a value in a definition into the value, inside an attempt."""

    #: What becomes of texts in the definition itself; None to leave them as they are.
    text: Callable[[str], Any] | None

    def result(self, task_id: str, key: str) -> Any:
        """Return what a task stored: its value, or a lazy ordered sequence if it is mapped."""
        ...

    def result_length(self, task_id: str) -> int:
        """Return how many items a mapping over that result has."""
        ...

    def result_item(self, task_id: str, index: int) -> Any:
        """Return one item of a result that is mapped over; of a dict, a (key, value) pair."""
        ...

    def index(self, container_id: str, factor: int) -> int:
        """Return this attempt's position in a mapped argument of a task or group around it."""
        ...

    def param(self, name: str) -> Any:
        """Return a parameter of the run."""
        ...


class Resource:
    """A configured object that tasks receive by annotation or name.

    Subclass it and override ``open`` and ``close``; the object is opened once in each child
    that needs it, before the first attempt that asks for it, and closed when the run or the
    child ends. Any other object will do as a resource too; then nothing is opened or closed.
    """

    def open(self) -> Any:
        """Prepare the resource; return what tasks receive (the resource itself by default)."""
        return self

    def close(self) -> None:
        """Give back what ``open`` took."""


@runtime_checkable
class BuiltFlow(Protocol):
    """A flow as the session sees it; a ``DAG`` is one."""

    @property
    def name(self) -> str:
        """Unique in its project."""
        ...

    @property
    def definition(self) -> FlowDefinition:
        """What is declared; built and checked when it is first asked for."""
        ...

    @property
    def operators(self) -> Mapping[str, Any]:
        """The tasks by id."""
        ...

    @property
    def resources(self) -> Mapping[str, Any]:
        """Configured objects by name."""
        ...

    @property
    def callbacks(self) -> Sequence[Any]:
        """What is called at the moments of its runs."""
        ...

    @property
    def parameter_model(self) -> Any:
        """The Pydantic model of its parameters, None if there is none."""
        ...

    @property
    def timetable(self) -> Any:
        """What computes the moments of its schedule, None if no code of a user does."""
        ...

    @property
    def templates(self) -> FlowTemplates:
        """What the templates of its tasks share."""
        ...


class BuiltSensor(Protocol):
    """A sensor with its function; an ``EventSensor`` is one."""

    @property
    def name(self) -> str:
        """Unique in its project."""
        ...

    @property
    def definition(self) -> SensorDefinition:
        """What is declared."""
        ...

    def tick(self, given: TickInput) -> TickResult:
        """Call the function for a tick and return what it asks for."""
        ...


class RunHandle(Protocol):
    """A run that was started from Python, as ``DAG.run`` returns it."""

    @property
    def id(self) -> str:
        """Id of the run, as text."""
        ...

    @property
    def name(self) -> str:
        """Flow and number, such as ``etl#17``."""
        ...

    @property
    def run_name(self) -> str:
        """What people call it, by the template of its flow; or ""."""
        ...

    @property
    def state(self) -> Any:
        """Where the run stands; compares equal to its name, such as ``"succeeded"``."""
        ...

    @property
    def task_runs(self) -> Sequence[Any]:
        """Its task runs, in the order of task and index."""
        ...

    def wait(self, timeout: float | None = None) -> "RunHandle":
        """Return the run once it has ended."""
        ...

    def result(self, task_id: str = BODY, *, map_index: int | None = None) -> Any:
        """Return what the flow's function returned, or a task; of a mapped one all results."""
        ...

    def raise_for_state(self) -> "RunHandle":
        """Raise ``RunFailed`` unless the run succeeded; return the run."""
        ...
