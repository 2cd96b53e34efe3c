"""This module makes what an attempt needs: a flow, a run, a place for logs, a coordinator."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ostinato import DAG, task
from ostinato.authoring.ports import BuiltFlow
from ostinato.model.layout import log_path
from ostinato.model.value import StoredValue
from ostinato.runtime import messages as msg
from ostinato.runtime.attempt import Executing
from ostinato.runtime.context import stored_values
from ostinato.runtime.resources import ResourceShelf

RUN_ID = 7


def flow_of(*functions: Callable[..., Any], resources: Mapping[str, Any] | None = None) -> DAG:
    """Return a flow named "flow" with a task for each function, none after another."""
    with DAG("flow", resources=resources or {}) as flow:
        for function in functions:
            task(function)()
    return flow


def run_info(folder: Path, **values: Any) -> msg.RunInfo:
    """Return what attempts of a run share; its files lie below a folder."""
    given: dict[str, Any] = {
        "run_id": RUN_ID,
        "number": 3,
        "project": "project",
        "flow": "flow",
        "params": b"{}",
        "logical_date_us": 1_738_281_600_000_000,
        "interval_start_us": 1_738_195_200_000_000,
        "interval_end_us": 1_738_281_600_000_000,
        "timezone": "UTC",
        "trigger": "manual",
        "partition": "",
        "values_root": str(folder / "values"),
        "logs_root": str(folder / "logs"),
        "started_us": 1_738_281_600_000_000,
    }
    return msg.RunInfo(**(given | values))


def spec_of(task_id: str, *, token: int = 1, **values: Any) -> msg.AttemptSpec:
    """Return an attempt of a task of the run."""
    return msg.AttemptSpec(token, RUN_ID, task_id, **values)


def log_file(info: msg.RunInfo, spec: msg.AttemptSpec) -> Path:
    """Return where the log of an attempt lies."""
    name = log_path(spec.run_id, spec.task_id, spec.path, spec.generation, spec.attempt)
    return Path(info.logs_root) / name


def log_lines(info: msg.RunInfo, spec: msg.AttemptSpec) -> list[dict[str, Any]]:
    """Return the log of an attempt; each line must be whole."""
    file = log_file(info, spec)
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_bytes().splitlines()]


class Coordinator:
    """The port of attempts that execute here: answers from memory.

    Args:
        resources: Objects that replace the flow's own.
    """

    def __init__(self, resources: Mapping[str, Any] | None = None) -> None:
        self.shelf = ResourceShelf(resources or {})
        self.pushed: list[StoredValue] = []
        self.calls: list[tuple[int, str, dict[str, Any]]] = []
        #: What a call of a method returns, by its name.
        self.answers: dict[str, Any] = {}

    def call(self, token: int, method: str, args: dict[str, Any]) -> Any:
        """Keep what is pushed, answer the rest."""
        self.calls.append((token, method, args))
        if method == "push":
            (value,) = stored_values([args["value"]])
            assert value is not None
            self.pushed.append(value)
            return None
        return self.answers[method]

    def resources(self, dag: BuiltFlow) -> Mapping[str, Any]:
        """Return the flow's resources."""
        return self.shelf.of(dag)


class Attempts:
    """Executes attempts in this process.

    Args:
        folder: For logs and values.
        flow: What they belong to.
    """

    def __init__(self, folder: Path, flow: BuiltFlow) -> None:
        self.info = run_info(folder)
        self.coordinator = Coordinator()
        self.executing = Executing(self.coordinator)
        self._flow = flow

    def run(self, task_id: str, **spec: Any) -> msg.Ended:
        """Execute an attempt of a task."""
        return self.executing.execute(spec_of(task_id, **spec), self._flow, self.info)

    def log(self, task_id: str, **spec: Any) -> list[str]:
        """Return what an attempt has logged, as "source: message"."""
        lines = log_lines(self.info, spec_of(task_id, **spec))
        return [f"{line['source']}: {line['message']}" for line in lines]
