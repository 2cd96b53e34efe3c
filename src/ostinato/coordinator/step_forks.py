"""This module says whether a script that calls a flow must fork for the steps of it."""

import sys
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from ostinato.authoring.step_places import modules_needing_processes
from ostinato.model.step import BODY
from ostinato.project.loading import is_users

if TYPE_CHECKING:
    from ostinato.authoring.ports import BuiltFlow


def are_processes_needed(dag: "BuiltFlow") -> bool:
    """Whether the module of a flow, or one that it knows, has a task that needs processes.

    Args:
        dag: The flow.
    """
    wanted = modules_needing_processes()
    body = dag.operators.get(BODY)
    if not wanted or body is None:
        return False
    function: Any = getattr(body, "python_callable", None)
    todo: list[str] = [getattr(function, "__module__", None) or "__main__"]
    seen = set(todo)
    while todo:
        name = todo.pop()
        if name in wanted:
            return True
        for value in [*getattr(sys.modules.get(name), "__dict__", {}).values()]:
            other = _module_of(value)
            file = getattr(sys.modules.get(other), "__file__", None) if other else None
            if file and other not in seen and is_users(file):
                seen.add(other)
                todo.append(other)
    return False


def _module_of(value: object) -> str:
    """Return the name of a module, or where a function, a class or a task was defined."""
    if isinstance(value, ModuleType):
        return value.__name__
    is_known = isinstance(value, FunctionType | type)
    if is_known or type(value).__module__.startswith("ostinato.authoring."):
        return str(getattr(value, "__module__", ""))
    return ""
