"""This module finds what a step needs in another process, by its name."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from ostinato.authoring.dag import DAG
from ostinato.authoring.function_flows import FunctionFlow
from ostinato.authoring.ports import BuiltFlow
from ostinato.errors import UnknownTask


def find_function(module: str, name: str) -> Callable[..., Any]:
    """Return the plain function that a step calls.

    Args:
        module: In which it is found.
        name: Its name there, dotted where it is a method.

    Raises:
        UnknownTask: It is not there.
    """
    try:
        found: Any = sys.modules.get(module) or import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        raise UnknownTask(f"{module} has no task {name!r} in this process") from None
    function: Callable[..., Any] = getattr(found, "function", found)
    return function


def find_flow(name: str) -> BuiltFlow:
    """Return the flow of a step as the engine sees it.

    One that is no name of any module is stood in for: steps ask their flow for resources alone.

    Args:
        name: Of the flow.
    """
    for module in [*sys.modules.values()]:
        # Some packages put other objects in the place of their modules.
        names: dict[str, Any] = getattr(module, "__dict__", {})
        for value in [*names.values()]:
            if isinstance(value, FunctionFlow) and value.name == name:
                return value.dag
    return DAG(name)
