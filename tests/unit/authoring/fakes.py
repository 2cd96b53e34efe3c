"""This module stands in for the runtime: a context and a resolver that are told everything."""

import atexit
import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ostinato.authoring.hooks import Hook, hook_for
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.ports import TriggeredRun
from ostinato.authoring.references import resolve
from ostinato.model.connection import Connection
from ostinato.model.flow import FlowDefinition

LOGGER = logging.getLogger("test")
DATE = datetime(2025, 1, 31, tzinfo=UTC)


@dataclass
class FakeContext:
    run_id: str = "7"
    flow: str = "flow"
    task_id: str = "task"
    map_path: tuple[int, ...] = ()
    map_index: int = -1
    attempt: int = 1
    try_number: int = 1
    logical_date: datetime = DATE
    is_latest: bool = True
    data_interval_start: datetime = DATE
    data_interval_end: datetime = DATE
    ds: str = "2025-01-31"
    ds_nodash: str = "20250131"
    ts: str = "2025-01-31T00:00:00+00:00"
    ts_nodash: str = "20250131T000000"
    params: Mapping[str, Any] = field(default_factory=dict)
    partition_key: str = ""
    logger: logging.Logger = LOGGER
    idempotency_key: str = "default/7/task//0"
    first_started_at: datetime = DATE
    now: datetime = DATE
    test_mode: bool = False
    resources: Mapping[str, Any] = field(default_factory=dict)
    data_dir: Path = Path("/nonexistent")
    temporary: Path | None = None
    pushed: dict[str, Any] = field(default_factory=dict)
    connections: dict[str, Connection] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    kept: list[Path] = field(default_factory=list)
    _files: Path | None = None

    ts_nodash_with_tz: str = "20250131T000000+0000"
    run: Any = None
    dag_run: Any = None
    dag: Any = None
    task: Any = None
    ti: Any = None
    var: Any = None
    conn: Any = None
    macros: Any = None
    inlets: Any = ()
    outlets: Any = ()
    task_instance_key_str: str = "flow__task__20250131"

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
        return self.pushed.get(key)

    def name_run(self, name: str) -> None:
        raise NotImplementedError

    def push(self, key: str, value: Any) -> None:
        self.pushed[key] = value

    def trigger_run(
        self,
        flow: str,
        *,
        params: Mapping[str, Any] | None = None,
        logical_date: datetime | None = None,
        logical_key: str = "",
        declared: FlowDefinition | None = None,
    ) -> TriggeredRun:
        raise NotImplementedError

    def run_state(
        self, run_id: str, *, is_waiting: bool = False, timeout_s: float | None = None
    ) -> Mapping[str, Any]:
        raise NotImplementedError

    def connection(self, conn_id: str) -> Connection:
        return Connection.from_uri(conn_id) if "://" in conn_id else self.connections[conn_id]

    def hook(self, conn_id: str) -> Hook:
        return hook_for(self.connection(conn_id))

    def variable(self, key: str, *, default: Any = ..., json: bool = False) -> Any:
        return self.variables[key] if default is ... else self.variables.get(key, default)

    def temp_dir(self) -> Path:
        folder = Path(tempfile.mkdtemp(dir=self.temporary))
        if self.temporary is None:
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def files_dir(self) -> Path:
        if self._files is None:
            self._files = self.temp_dir()
        self._files.mkdir(exist_ok=True)
        return self._files

    def keep_file(self, file: Path, *, key: str = "", description: str = "") -> int:
        self.kept.append(file)
        return len(self.kept)

    def render(self, value: Any, *, field: str = "") -> Any:
        return value


class Results(Sequence[Any]):
    """The lazy sequence of the results of a mapped task."""

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = items

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)


@dataclass
class FakeResolver:
    """Knows the results of tasks, the parameters, and where the attempt stands."""

    results: Mapping[str, Any] = field(default_factory=dict)
    indices: Mapping[tuple[str, int], int] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    text: Callable[[str], Any] | None = None

    def result(self, task_id: str, key: str) -> Any:
        return self.results[task_id if key == "return_value" else f"{task_id}/{key}"]

    def result_length(self, task_id: str) -> int:
        return len(self.results[task_id])

    def result_item(self, task_id: str, index: int) -> Any:
        value = self.results[task_id]
        return list(value.items() if isinstance(value, dict) else value)[index]

    def index(self, container_id: str, factor: int) -> int:
        return self.indices[container_id, factor]

    def param(self, name: str) -> Any:
        return self.params[name]


def execute(
    operator: Operator, resolver: FakeResolver | None = None, context: FakeContext | None = None
) -> Any:
    """Do what an attempt does: resolve the arguments, bind them, execute."""
    bound = operator.bind(resolve(operator.arguments(), resolver or FakeResolver()))
    return bound.execute(context or FakeContext())
