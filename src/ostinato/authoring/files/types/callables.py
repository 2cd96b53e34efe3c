"""This module gives tasks the functions of their files that their keys name."""

import functools
from typing import Any

from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.spec import FileProblem, Position
from ostinato.authoring.files.task_specs import TaskSpec
from ostinato.authoring.files.types.file_functions import (
    STAY_OUTSIDE,
    FileFunction,
    FileScript,
    FunctionElsewhere,
)
from ostinato.authoring.suggestions import did_you_mean

#: The key whose function is the task itself.
_CALLABLE = "python_callable"


def set_callables(spec: TaskSpec, problems: list[FileProblem]) -> bool:
    """Replace names of functions by the functions, in the values of a spec.

    A ``.py`` file that names none is a script.

    Args:
        spec: Of the task; its values are changed.
        problems: Takes functions that are not there.

    Returns:
        Whether all are there.
    """
    file = spec.file
    if file is None or file.python is None:
        return True
    found: list[Any] = []
    named = spec.values.get("python_callable")
    if named is None:
        spec.values["python_callable"] = FileScript(file)
    elif isinstance(named, str):
        function = _function(spec, named, problems, _CALLABLE)
        found.append(function)
        spec.values["python_callable"] = function
    if spec.partial:
        function = spec.values["python_callable"]
        spec.values["python_callable"] = functools.partial(function, **spec.partial)
    extra = spec.values.get("extra_callables")
    if isinstance(extra, dict):
        for argument, name in extra.items():
            if isinstance(name, str):
                function = _function(spec, name, problems, "extra_callables", argument)
                found.append(function)
                spec.values[argument] = function
    return None not in found


def _function(
    spec: TaskSpec, name: str, problems: list[FileProblem], *path: str
) -> FileFunction | None:
    assert spec.file is not None
    assert spec.file.python is not None
    declared = spec.file.python.function(name)
    if declared is not None:
        if spec.file.python.dependencies is None or path != (_CALLABLE,):
            return FileFunction(spec.file, declared)
        lacking = STAY_OUTSIDE.intersection(declared.required)
        if lacking:
            position = Position(spec.file.shown, declared.line, declared.column)
            message = f"{name}() takes {min(lacking)!r}, which stays outside of its environment"
            hint = "take parts of the context: ds, params, run_id ..."
            problems.append(problem("F033", message, position, hint))
            return None
        return FunctionElsewhere(spec.file, declared)
    if name in spec.file.python.names:
        return FileFunction(spec.file, name)
    known = [function.name for function in spec.file.python.functions]
    message = f"{path[-1]} is {name!r}, which is not in the file"
    problems.append(spec.problem("F019", message, *path, hint=did_you_mean(name, known)))
    return None
