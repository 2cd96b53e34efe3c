"""This module holds the protocols that users' classes meet and ``runtime`` implements."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ostinato.model.flow import FlowDefinition


@runtime_checkable
class Context(Protocol):
    """What a running task knows of itself and its run.

    Attributes:
        run_id: Id of the run, as text.
        flow: Name of the flow; ``dag`` in Airflow's words.
        task_id: Id of the task.
        map_path: Its indices, outermost first; empty where nothing is mapped.
        map_index: The last of them, -1 where nothing is mapped.
        try_number: 1 plus the failures before this attempt.
        logical_date: The moment that the run stands for, in the flow's zone.
        data_interval_start, data_interval_end: The data that it covers, half open.
        ds, ds_nodash, ts, ts_nodash: The logical date as text, as in Airflow.
        params: Parameters of the run.
        partition_key: Partition of the run, or empty.
        logger: Logger whose lines are kept with the attempt.
        idempotency_key: The same for all attempts until the task run is cleared.
        first_started_at: When the first attempt since the last clear started, in UTC.
        resources: Configured objects by name.
    """

    run_id: str
    flow: str
    task_id: str
    map_path: tuple[int, ...]
    map_index: int
    try_number: int
    logical_date: datetime
    data_interval_start: datetime
    data_interval_end: datetime
    ds: str
    ds_nodash: str
    ts: str
    ts_nodash: str
    params: Mapping[str, Any]
    partition_key: str
    logger: logging.Logger
    idempotency_key: str
    first_started_at: datetime
    resources: Mapping[str, Any]

    def pull(self, task_id: str, *, key: str = "return_value", map_index: int | None = None) -> Any:
        """Return a value that an upstream task of this run stored, None if there is none."""
        ...

    def push(self, key: str, value: Any) -> None:
        """Store a value of this task run under a key; durable when this returns."""
        ...

    def temp_dir(self) -> Path:
        """Return a folder of this attempt that is deleted after it."""
        ...


class Resolver(Protocol):
    """Turn what stands for a value in a definition into the value, inside an attempt."""

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


class RunHandle(Protocol):
    """A run that was started from Python, as ``DAG.run`` returns it."""

    @property
    def id(self) -> str:
        """Id of the run, as text."""
        ...

    @property
    def state(self) -> Any:
        """Where the run stands; compares equal to its name, such as ``"succeeded"``."""
        ...

    @property
    def task_runs(self) -> Sequence[Any]:
        """Its task runs, in the order of task and index."""
        ...

    def result(self, task_id: str, *, map_index: int | None = None) -> Any:
        """Return what a task returned; of a mapped task the list of all results."""
        ...

    def raise_for_state(self) -> "RunHandle":
        """Raise ``RunFailed`` unless the run succeeded; return the run."""
        ...
