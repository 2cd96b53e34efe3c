"""This module takes the results of tasks of graphs over from other runs, where they are kept."""

import inspect
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from ostinato.authoring.cache_policies import Caching
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.operators.python import FunctionOperator
from ostinato.authoring.ports import BuiltFlow
from ostinato.errors import ValueMissing
from ostinato.model.value import StoredValue
from ostinato.runtime.capture import current_log
from ostinato.runtime.context import Port, TaskContext
from ostinato.runtime.messages import CachingNote, RunInfo
from ostinato.runtime.step_cache import identity_of, source_of, sum_of
from ostinato.runtime.step_digest import Digest
from ostinato.runtime.values import LazyResults, decode_value

#: Seconds until it is looked again whether an equal task has ended: at first, and at most.
FIRST_LOOK_S = 0.02
LOOK_EVERY_S = 1.0

#: Attributes of an operator that say where it is and how it is run, and not what it does.
_NOT_WHAT_IT_DOES = frozenset(
    {
        *("asset", "factors", "graph", "group", "label", "node_id", "place", "settings"),
        *("text_places", "written_class"),
    }
)

#: Method of operators and callables that says what they read of their run.
_READ = "inputs_of_context"

#: Attributes that are data.
_DATA = (str, int, float, bytes, type(None), list, tuple, dict)


class Found(Struct, frozen=True):
    """What is known of a task's result before it is executed.

    Attributes:
        note: What is reported beside the result.
        is_hit: Whether the result is there.
        result: The result.
    """

    note: CachingNote
    is_hit: bool = False
    result: Any = None


def find_result(
    operator: Operator,
    arguments: Mapping[str, Any],
    context: TaskContext,
    *,
    dag: BuiltFlow,
    info: RunInfo,
    port: Port,
    token: int,
    is_resumed: bool,
    is_cleared: bool = False,
) -> Found | None:
    """Return the result that is kept for a task; or what its own will be kept under.

    Of several equal ones, in all runs, one is executed, and the others wait for it.

    Args:
        operator: With resolved arguments.
        arguments: Those.
        context: Of the attempt.
        dag: Its flow.
        info: Of its run.
        port: Asks the coordinator.
        token: Of the attempt.
        is_resumed: Whether the task has begun already, and goes on.
        is_cleared: Whether it was executed and then cleared: then it is executed anew.
    """
    caching = operator.settings.caching
    assert caching is not None
    key = _key(operator, arguments, context, caching, dag, info)
    if key is None:
        return None
    kept = Found(CachingNote(key, caching.expires_s))
    if is_resumed:
        return kept
    args = {"key": key, "token": token, "is_refreshed": caching.is_refreshed or is_cleared}
    pause_s = FIRST_LOOK_S
    while True:
        answer = port.call(token, "cached", args)
        if "source" in answer:
            value = answer["value"]
            if isinstance(value, dict):
                value = msgspec.convert(value, StoredValue)
            try:
                result = decode_value(value, info.values_root)
            except ValueMissing:
                args["is_refreshed"] = True
                continue
            return Found(CachingNote(source=answer["source"]), is_hit=True, result=result)
        if answer["is_claimed"]:
            return kept
        if answer.get("is_own") and getattr(port, "is_in_loop", False):
            # What computes it is reported by the thread that would wait here.
            return None
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LOOK_EVERY_S)


def _key(
    operator: Operator,
    arguments: Mapping[str, Any],
    context: TaskContext,
    caching: Caching,
    dag: BuiltFlow,
    info: RunInfo,
) -> str | None:
    """Return the key of a task run, None if its result cannot be kept under any."""
    policy = caching.policy
    inputs = _inputs(operator, arguments, context)
    parts: list[Any] = [info.project]
    for function in policy.functions:
        part = function(context, dict(inputs))
        if part is None:
            return None
        parts.append(str(part))
    if policy.inputs or policy.code or policy.params or policy.run:
        # A key function's keys are its own; all others are of one task.
        parts.append(_identity(operator, dag))
    if policy.inputs:
        wanted = {name: each for name, each in inputs.items() if name not in policy.without}
        summed = sum_of(wanted)
        if summed is None:
            log = current_log.get()
            if log is not None:
                message = f"{operator.node_id} is not cached: its arguments cannot be compared"
                log.write("WARNING", "ostinato", message)
            return None
        parts.append(summed)
    parts.append(_code(operator, dag) if policy.code else "")
    parts.append(bytes(info.params) if policy.params else b"")
    parts.append(info.run_id if policy.run else 0)
    return Digest("cache", {"parts": parts}).value.hex()


def _identity(operator: Operator, dag: BuiltFlow) -> str:
    if isinstance(operator, FunctionOperator):
        return identity_of(operator.node_id, operator.python_callable)
    return f"{dag.name}\n{operator.node_id}\n{operator.operator_name}"


def _code(operator: Operator, dag: BuiltFlow) -> str:
    """Return what stands for the code of a task: its file, its function or its class."""
    folder = getattr(dag, "folder", None)
    digest = folder.digests.get(operator.place.file) if folder is not None else None
    if digest:
        return str(digest)
    if isinstance(operator, FunctionOperator):
        return source_of(operator.python_callable)
    kind: Any = type(operator)
    return _class_source(kind)


@lru_cache(maxsize=256)
def _class_source(kind: type) -> str:
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return f"{kind.__module__}.{kind.__qualname__}"


def _inputs(
    operator: Operator, arguments: Mapping[str, Any], context: TaskContext
) -> dict[str, Any]:
    """Return what a task works on, by name: its arguments, and what it reads of its context."""
    found = {name: _plain(value) for name, value in arguments.items()}
    if isinstance(operator, FunctionOperator):
        signature = operator.signature
        for name, parameter in signature.parameters.items():
            if name not in found and parameter.default is not parameter.empty:
                found[name] = parameter.default
        read = getattr(operator.python_callable, _READ, None)
        for name, attribute in signature.context_parameters.items():
            # What takes the context to hand a part of it on says which.
            if name not in arguments and (attribute or read is None):
                found[name] = _of_context(context, attribute)
        if read is not None:
            found.update(read(context))
        if signature.takes_any_keyword:
            found["**"] = _of_context(context, "")
        return found
    for name, value in vars(operator).items():
        is_own = not name.startswith("_") and name not in _NOT_WHAT_IT_DOES
        if is_own and name not in found and isinstance(value, _DATA):
            found[name] = value
    read = getattr(operator, _READ, None)
    return found if read is None else {**found, **read(context)}


def _of_context(context: TaskContext, attribute: str) -> Any:
    """Return what a part of the context amounts to; of what is no data, the run's date."""
    value = getattr(context, attribute) if attribute else None
    if attribute and Digest("context", {"value": value}).is_exact:
        return value
    return [context.ts, dict(context.params)]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, LazyResults) else value
