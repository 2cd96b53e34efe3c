"""This module renders the fields of one task for a test, which gives what it takes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.references import ResultReference
from ostinato.client.rendering import render_task
from ostinato.client.vault import GivenSource
from ostinato.errors import InvalidArgument, UsageError


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
    task_id, given = task.node_id, results or {}

    def result(name: str) -> Any:
        if name not in given:
            message = f"task {task_id!r} takes the result of {name.partition('/')[0]!r}"
            raise UsageError(message, hint=f"give results={{{name!r}: ...}}")
        return given[name]

    return render_task(
        task,
        date=date,
        params=params or {},
        result=result,
        answer=_Outside(GivenSource(connections or {}, variables or {})).answer,
        map_index=map_index,
        context=context,
    )


class _Outside:
    """Answer what a template asks of the world from what a test gives."""

    def __init__(self, given: GivenSource) -> None:
        self._given = given

    def answer(self, method: str, args: dict[str, Any]) -> Any:
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
