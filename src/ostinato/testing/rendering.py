"""This module renders the fields of one task, with no run around it."""

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.parameters import json_default
from ostinato.authoring.ports import BuiltFlow
from ostinato.authoring.references import ResultReference
from ostinato.authoring.templates import FlowTemplates
from ostinato.client.parameters import parse_moment_us
from ostinato.client.vault import GivenSource
from ostinato.clock import VirtualClock
from ostinato.engine.timetable import data_interval
from ostinato.errors import InvalidArgument, UsageError
from ostinato.model.flow import FlowDefinition
from ostinato.model.value import RETURN_VALUE
from ostinato.runtime.context import TaskContext
from ostinato.runtime.messages import AttemptSpec, RunInfo
from ostinato.runtime.templates import Renderer, resolve_arguments

#: The id of the run that there is not.
_RUN_ID = 1


def render(
    operator: Operator | ResultReference,
    *,
    date: datetime | str = "2025-01-01",
    params: Mapping[str, Any] | None = None,
    results: Mapping[str, Any] | None = None,
    connections: Mapping[str, Any] | None = None,
    variables: Mapping[str, Any] | None = None,
    map_index: int = 0,
    **context: Any,
) -> dict[str, Any]:
    """Return the fields of a task as an attempt would find them.

    Args:
        operator: The task, or what a decorated function returned.
        date: Logical date.
        params: Parameters of the run; the flow's defaults for those that are not here.
        results: Results of the tasks that it takes, by task.
        connections: How to reach systems outside, by id: a URI, fields or a ``Connection``.
        variables: Values of variables by name.
        map_index: Of a mapped task, which index.
        context: Other names of the context, in place of what they would be.

    Raises:
        TemplateError: A template cannot be rendered.
        UsageError: The task takes a result that is not given.

    Example:
        >>> from ostinato import BashOperator, testing
        >>> task = BashOperator(task_id="say", bash_command="echo {{ ds }} {{ params.word }}")
        >>> testing.render(task, params={"word": "hello"})["bash_command"]
        'echo 2025-01-01 hello'
    """
    task = operator.task if isinstance(operator, ResultReference) else operator
    if not isinstance(task, Operator):
        message = f"{operator!r} is no task whose fields could be rendered"
        raise InvalidArgument(message)
    dag: BuiltFlow = _flow_of(task)
    values = {each.name: each.default for each in dag.definition.parameters}
    values |= {name: json_default(name, value) for name, value in (params or {}).items()}
    outside = _Outside(GivenSource(connections or {}, variables or {}))
    info = _info(dag, values, date)
    spec = AttemptSpec(1, _RUN_ID, task.node_id, path=(map_index,) if task.factors else ())
    clock = VirtualClock(info.logical_date_us)
    names = _Names(TaskContext(spec, info, dag, outside, clock), context)
    resolver = _Results(task, results or {}, values, map_index)
    return resolve_arguments(task, task.arguments(), resolver, Renderer(task, dag, names))


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

    def __init__(self, given: GivenSource) -> None:
        self._given = given

    def call(self, token: int, method: str, args: dict[str, Any]) -> Any:
        if method == "previous_success":
            return None
        if method == "variable":
            value = self._given.variable(args["key"])
            if value is None:
                return {"missing": [f"there is no variable {args['key']!r}", "give variables="]}
            return {"value": value, "secrets": []}
        if method == "connection":
            found = self._given.connection(args["conn_id"])
            if found is None:
                message = f"there is no connection {args['conn_id']!r}"
                return {"missing": [message, "give connections="]}
            return {"connection": msgspec.to_builtins(found), "secrets": []}
        message = f"there is no run in which {method!r} could be asked"
        raise UsageError(message, hint="give ti=, or use testing.run")

    def resources(self, dag: BuiltFlow) -> Mapping[str, Any]:
        return dag.resources


class _Results:
    """Know the results that a test gives; a ``Resolver``."""

    def __init__(
        self,
        task: Operator,
        results: Mapping[str, Any],
        params: Mapping[str, Any],
        map_index: int,
    ) -> None:
        self._task = task
        self._results = results
        self._params = params
        self._map_index = map_index
        self.text: Callable[[str], Any] | None = None

    def result(self, task_id: str, key: str) -> Any:
        name = task_id if key == RETURN_VALUE else f"{task_id}/{key}"
        if name not in self._results:
            message = f"task {self._task.node_id!r} takes the result of {task_id!r}"
            raise UsageError(message, hint=f"give results={{{name!r}: ...}}")
        return self._results[name]

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
