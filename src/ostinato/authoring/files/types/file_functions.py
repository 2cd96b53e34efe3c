"""This module stands for functions of task files, which are imported only when they are called."""

import ast
import importlib.util
import inspect
import os
import sys
from types import ModuleType
from typing import Any

from ostinato.authoring.files.spec import FileSpec, PythonFunction
from ostinato.authoring.operators.handover import read_by
from ostinato.authoring.ports import Context
from ostinato.authoring.task_functions import TaskFunction
from ostinato.model.identity import PRIVATE_MODULE_PREFIX

#: Stands for a default that is known only to the file.
_DEFAULT = object()

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

#: Parameters that a function in another Python cannot receive.
STAY_OUTSIDE = frozenset({"context", "ctx", "ti", "task_instance", "logger"})


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
        """Return the function itself, without a decorator; its file is imported.

        Raises:
            AttributeError: The file does not declare it after all.
        """
        found = getattr(_imported(self.path), self.__name__)
        return found.fn if isinstance(found, TaskFunction) else found

    def source_lines(self) -> tuple[list[str], int]:
        """Return its lines, and the number of the first."""
        with open(self.path, encoding="utf-8") as file:
            text = file.read()
        lines = text.splitlines(keepends=True)
        for node in ast.parse(text).body:
            if isinstance(node, _FUNCTIONS) and node.name == self.__name__:
                return lines[node.lineno - 1 : node.end_lineno], node.lineno
        message = f"{self!r} is not written with def, so its source cannot be sent"
        raise ValueError(message)

    @property
    def takes_any(self) -> bool:
        """Whether it has ``**kwargs``."""
        return self.declared is not None and self.declared.takes_any

    def __repr__(self) -> str:
        return f"<function {self.__name__} of {self.__module__}>"


class FileScript:
    """Be a file that runs as a script, in a Python of its own.

    Args:
        file: As it was read.
    """

    def __init__(self, file: FileSpec) -> None:
        self.path = file.path
        self.__name__ = self.__qualname__ = os.path.basename(file.path)
        self.__module__ = "__main__"
        parameter = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY)
        self.__signature__ = inspect.Signature([parameter])

    def inputs_of_context(self, context: Context) -> dict[str, Any]:
        """Return what the script reads of its run.

        Args:
            context: Of the attempt.
        """
        with open(self.path, encoding="utf-8", errors="replace") as file:
            return read_by(file.read(), context)

    def __call__(self, *, context: Context) -> Any:
        """Run the file; return what it wrote to ``$OSTINATO_RESULT``.

        Args:
            context: Of the attempt.
        """
        # Few files of a flow are scripts.
        from ostinato.authoring.operators.script import PythonScript  # noqa: PLC0415 - see above

        return PythonScript(self.path).run(context)


class FunctionElsewhere(FileFunction):
    """Be a function of a file that says which packages it needs: it runs in a Python with them.

    Args:
        file: As it was read.
        function: What was read of it.
    """

    def __init__(self, file: FileSpec, function: PythonFunction) -> None:
        super().__init__(file, function)
        own = signature_of_file(function)
        context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY)
        parameters = [
            p
            for p in own.parameters.values()
            if p.kind is not p.VAR_KEYWORD and p.name not in STAY_OUTSIDE
        ]
        self.__signature__ = own.replace(parameters=[*parameters, context])

    def inputs_of_context(self, context: Context) -> dict[str, Any]:
        """Return nothing: what the function reads of its run are its arguments.

        Args:
            context: Of the attempt.
        """
        del context
        return {}

    def __call__(self, *args: Any, context: Context, **kwargs: Any) -> Any:
        """Call the function in the environment of its file.

        Args:
            args: Positional arguments.
            context: Of the attempt.
            kwargs: Arguments by name.
        """
        # As above.
        from ostinato.authoring.operators.script import PythonScript  # noqa: PLC0415 - see above

        return PythonScript(self.path).call(self.__name__, args, kwargs, context)


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
