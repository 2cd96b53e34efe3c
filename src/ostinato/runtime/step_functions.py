"""This module finds the function of a step in another process by its name."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

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
