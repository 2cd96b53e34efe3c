"""This module stands for functions of task files, which are imported only when they are called."""

import importlib.util
import inspect
import os
import runpy
import sys
from types import ModuleType
from typing import Any

from ostinato.authoring.files.spec import FileSpec, PythonFunction
from ostinato.model.identity import PRIVATE_MODULE_PREFIX

#: Stands for a default that is known only to the file.
_DEFAULT = object()


class FileFunction:
    """Be a function of a file: its name and parameters are known, the rest when it is called.

    Args:
        file: As it was read.
        function: What was read of it, or its name where it is declared in another way.
    """

    def __init__(self, file: FileSpec, function: PythonFunction | str) -> None:
        self.path = file.path
        self.declared = function if isinstance(function, PythonFunction) else None
        self.__name__ = self.__qualname__ = self.declared.name if self.declared else str(function)
        self.__module__ = os.path.basename(file.path)
        self.__doc__ = None
        if self.declared is not None:
            self.__signature__ = signature_of_file(self.declared)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Import the file and call the function."""
        return self.loaded()(*args, **kwargs)

    def loaded(self) -> Any:
        """Return the function itself; its file is imported.

        Raises:
            AttributeError: The file does not declare it after all.
        """
        return getattr(_imported(self.path), self.__name__)

    def __repr__(self) -> str:
        return f"<function {self.__name__} of {self.__module__}>"


class FileScript:
    """Be a file that runs as a script.

    Args:
        file: As it was read.
    """

    def __init__(self, file: FileSpec) -> None:
        self.path = file.path
        self.__name__ = self.__qualname__ = os.path.basename(file.path)
        self.__module__ = "__main__"
        self.__signature__ = inspect.Signature()

    def __call__(self) -> None:
        """Run the file."""
        folder = os.path.dirname(self.path)
        sys.path.insert(0, folder)
        try:
            runpy.run_path(self.path, run_name="__main__")
        finally:
            sys.path.remove(folder)


def signature_of_file(function: PythonFunction) -> inspect.Signature:
    """Return the signature of a function that was read and not imported."""
    parameters = []
    kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD
    has_defaults = False
    for name, has_default in function.parameters:
        if has_defaults and not has_default:
            # Python allows this behind a `*` only.
            kind = inspect.Parameter.KEYWORD_ONLY
        has_defaults = has_defaults or has_default
        default = _DEFAULT if has_default else inspect.Parameter.empty
        parameters.append(inspect.Parameter(name, kind, default=default))
    if function.takes_any:
        parameters.append(inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD))
    return inspect.Signature(parameters)


def _imported(path: str) -> ModuleType:
    stem = os.path.splitext(path)[0]
    name = PRIVATE_MODULE_PREFIX + "".join(c if c.isalnum() else "_" for c in stem)
    known = sys.modules.get(name)
    if known is not None:
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        message = f"{path} is no Python file"
        raise ImportError(message)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = os.path.dirname(path)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
