"""This module renders the fields of one task, with no run around it."""

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.operators.sql_model import SqlModelOperator
from ostinato.authoring.parameters import json_default
from ostinato.authoring.ports import BuiltFlow
from ostinato.authoring.templates import FlowTemplates
from ostinato.client.parameters import parse_moment_us
from ostinato.clock import VirtualClock
from ostinato.engine.timetable import data_interval
from ostinato.errors import UsageError
from ostinato.model.flow import FlowDefinition
from ostinato.model.value import RETURN_VALUE
from ostinato.runtime.context import TaskContext
from ostinato.runtime.messages import AttemptSpec, RunInfo
from ostinato.runtime.templates import Renderer, resolve_arguments

#: The id of the run that there is not.
_RUN_ID = 1

#: Answers what a template asks of the world: method and arguments as in ``CALLS``.
Answer = Callable[[str, dict[str, Any]], Any]

#: Returns the result of a task by its id, or by id and key: ``extract``, ``extract/rows``.
Result = Callable[[str], Any]


def render_task(
    task: Operator,
    *,
    date: datetime | str,
    params: Mapping[str, Any],
    result: Result,
    answer: Answer,
    map_index: int = 0,
    context: Mapping[str, Any] | None = None,
    is_incremental: bool = False,
) -> dict[str, Any]:
    """Return the fields of a task as an attempt would find them.

    Args:
        task: The task.
        date: Logical date.
        params: Parameters of the run; the flow's defaults for those that are not here.
        result: Returns the results of other tasks.
        answer: Answers what templates ask of the world.
        map_index: Of a mapped task, which index.
        context: Other names of the context, in place of what they would be.
        is_incremental: What ``is_incremental()`` says in a query.

    Raises:
        TemplateError: A template cannot be rendered.
    """
    dag: BuiltFlow = _flow_of(task)
    values = {each.name: each.default for each in dag.definition.parameters}
    values |= {name: json_default(name, value) for name, value in params.items()}
    info = _info(dag, values, date)
    spec = AttemptSpec(1, _RUN_ID, task.node_id, path=(map_index,) if task.factors else ())
    clock = VirtualClock(info.logical_date_us)
    task_context = TaskContext(spec, info, dag, _Outside(answer), clock)
    names = _Names(task_context, context or {})
    resolver = _Results(task, result, values, map_index)
    found = resolve_arguments(task, task.arguments(), resolver, Renderer(task, dag, names))
    if isinstance(task, SqlModelOperator):
        query = task.query.render(
            dag.templates, task_context, is_incremental=is_incremental, quoted=str
        )
        found["sql"] = query.text
    return found


class _Alone:
    """Stand for the flow of a task that is in none."""

    def __init__(self, task: Operator) -> None:
        self.name = "testing"
        self.definition = FlowDefinition(self.name)
        self.operators: Mapping[str, Any] = {task.node_id: task}
        self.resources: Mapping[str, Any] = {}
        self.callbacks = ()
        self.parameter_model: Any = None
        self.templates = FlowTemplates(os.path.dirname(os.path.abspath(task.place.file)))


def _flow_of(task: Operator) -> Any:
    return _Alone(task) if task.dag is None else task.dag


def _info(dag: BuiltFlow, params: Mapping[str, Any], date: datetime | str) -> RunInfo:
    definition = dag.definition
    date_us = parse_moment_us(date, definition.timezone) or 0
    start_us, end_us = data_interval(definition.schedule, definition.timezone or "UTC", date_us)
    return RunInfo(
        run_id=_RUN_ID,
        number=1,
        project="testing",
        flow=dag.name,
        params=msgspec.json.encode(params),
        logical_date_us=date_us,
        interval_start_us=start_us,
        interval_end_us=end_us,
        timezone=definition.timezone or "UTC",
        trigger="test",
        partition="",
        values_root="",
        logs_root="",
        started_us=date_us,
    )


class _Names(Mapping[str, Any]):
    """The names of a context, some of them replaced."""

    def __init__(self, context: TaskContext, others: Mapping[str, Any]) -> None:
        self._context = context
        self._others = others

    def __getitem__(self, name: str) -> Any:
        return self._others[name] if name in self._others else self._context[name]

    def __contains__(self, name: object) -> bool:
        return name in self._others or name in self._context

    def __iter__(self) -> Iterator[str]:
        return iter({**dict.fromkeys(self._context), **self._others})

    def __len__(self) -> int:
        return len({*self._context, *self._others})


class _Outside:
    """Answer what a template asks; there is no coordinator, and nothing was run before."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def call(self, token: int, method: str, args: dict[str, Any]) -> Any:
        if method == "previous_success":
            return None
        return self._answer(method, args)

    def resources(self, dag: BuiltFlow) -> Mapping[str, Any]:
        return dag.resources


class _Results:
    """Know the results of other tasks; a ``Resolver``."""

    def __init__(
        self,
        task: Operator,
        result: Result,
        params: Mapping[str, Any],
        map_index: int,
    ) -> None:
        self._task = task
        self._result = result
        self._params = params
        self._map_index = map_index
        self.text: Callable[[str], Any] | None = None

    def result(self, task_id: str, key: str) -> Any:
        return self._result(task_id if key == RETURN_VALUE else f"{task_id}/{key}")

    def result_length(self, task_id: str) -> int:
        return len(self.result(task_id, RETURN_VALUE))

    def result_item(self, task_id: str, index: int) -> Any:
        value = self.result(task_id, RETURN_VALUE)
        return list(value.items() if isinstance(value, dict) else value)[index]

    def index(self, container_id: str, factor: int) -> int:
        if container_id != self._task.node_id:
            message = f"task {self._task.node_id!r} takes an item of the mapped {container_id!r}"
            raise UsageError(message, hint="use testing.run")
        index = self._map_index
        lengths = [series.count(self) for series in self._task.factors.values()]
        for length in lengths[:factor:-1]:
            index //= length
        return index % lengths[factor]

    def param(self, name: str) -> Any:
        return self._params[name]
