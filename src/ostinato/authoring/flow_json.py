"""This module writes flows of any style as JSON: for people, editors and other programs."""

import functools
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from enum import Enum
from pathlib import PurePath
from typing import Any

import msgspec

from ostinato.authoring.operators.operator import MappedOperator, Operator, own_arguments
from ostinato.authoring.policies import POLICY_NAMES
from ostinato.authoring.ports import BuiltFlow
from ostinato.authoring.references import Reference
from ostinato.model.selection import dependencies

#: Arguments that say where a task stands, and not what it does.
_PLACING = frozenset({"task_id", "dag", "task_group"})


def flow_as_json(flow: BuiltFlow) -> dict[str, Any]:
    """Return what a flow is made of, as JSON can hold it.

    Args:
        flow: A flow.

    Raises:
        DefinitionError: It cannot be run.
    """
    definition = flow.definition
    upstream = dependencies(definition)
    order = {task.id: index for index, task in enumerate(definition.tasks)}
    tasks = {
        task.id: {
            "operator": _class_name(flow.operators.get(task.id)) or task.operator,
            "upstream": sorted(upstream[task.id], key=order.__getitem__),
            "group": task.group or None,
            "trigger_rule": task.policy.trigger_rule.value,
            "retries": task.policy.retries,
            "params": _arguments(flow.operators.get(task.id)),
        }
        for task in definition.tasks
    }
    groups = {
        group.id: {
            "tooltip": group.tooltip or None,
            "tasks": [task.id for task in definition.tasks if task.group == group.id],
        }
        for group in definition.groups
    }
    return {
        "flow": definition.name,
        "schedule": definition.schedule or None,
        "tags": list(definition.tags),
        "tasks": tasks,
        "groups": groups,
        "parameters": msgspec.to_builtins(definition.parameters),
    }


def flow_json(flow: BuiltFlow) -> str:
    """Return a flow as the text of its JSON; equal flows give equal text."""
    return msgspec.json.encode(flow_as_json(flow)).decode()


def _class_name(operator: Any) -> str:
    if isinstance(operator, MappedOperator):
        return operator.operator_class.__name__
    # An operator of two names is shown by the one that the user wrote.
    written = getattr(operator, "written_class", "")
    return written or (type(operator).__name__ if operator is not None else "")


def _arguments(operator: Any) -> dict[str, Any]:
    if not isinstance(operator, Operator):
        return {}
    if isinstance(operator, MappedOperator):
        return {name: as_json(value) for name, value in operator.arguments().items()}
    names = own_arguments(type(operator)) - POLICY_NAMES - _PLACING
    found = {name: getattr(operator, name, None) for name in sorted(names)}
    given = {**operator.arguments(), **found}
    return {name: as_json(value) for name, value in given.items() if not _is_nothing(value)}


def _is_nothing(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, str | bytes | Sequence | Mapping | AbstractSet) and len(value) == 0


def as_json(value: Any) -> Any:
    """Return a value as JSON can hold it; what it cannot becomes text."""
    match value:
        case Enum():
            return as_json(value.value)
        case None | bool() | int() | float() | str():
            return value
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Reference():
            return repr(value)
        case Mapping():
            return {str(name): as_json(inner) for name, inner in value.items()}
        case list() | tuple():
            return [as_json(inner) for inner in value]
        case AbstractSet():
            return sorted((as_json(inner) for inner in value), key=repr)
        case PurePath():
            return str(value)
        case functools.partial():
            return as_json(value.func)
        case _:
            return _as_name(value)


def _as_name(value: Any) -> str:
    name = getattr(value, "__qualname__", None)
    # A repr with an address in it would be another one each time.
    return str(name) if name else type(value).__name__
