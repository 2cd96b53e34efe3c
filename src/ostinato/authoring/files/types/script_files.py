"""This module knows what Python files, notebooks and scripts become that name no operator."""

import importlib.util
import shutil
from functools import cache

from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.operator_names.resolution import OperatorNames
from ostinato.authoring.files.spec import FileProblem, FileSpec, Position, PythonFunction
from ostinato.authoring.files.task_specs import TaskSpec
from ostinato.authoring.files.wiring.plan import Plan
from ostinato.authoring.operators.interpreters import INTERPRETERS, TYPESCRIPT

#: Name of the function of a ``.py`` file that is the task where nothing else says which.
MAIN = "main"

#: What the decorator of a function says of its operator, by what follows ``task.``.
_DECORATORS = {"": "python", "branch": "branch_python", "short_circuit": "short_circuit"}

#: Libraries that execute notebooks.
_NOTEBOOKS = ("papermill", "nbconvert", "ipykernel")


def plan_of_python(
    spec: TaskSpec, names: OperatorNames, problems: list[FileProblem], *, only_gusty: bool
) -> Plan | None:
    """Return what a ``.py`` file becomes.

    Its task is the function that ``python_callable`` names, else ``main``, else the one that is
    decorated with ``@task``; without any, or if the file calls it itself, it is a script.

    Args:
        spec: Of the task; the function that was found is put into its values.
        names: Finds operators.
        problems: Takes what is wrong.
        only_gusty: Whether only a function that is named is looked for.
    """
    file = spec.file
    if file is None or file.python is None or only_gusty:
        return Plan(names.find("python"))
    named = spec.values.get("python_callable")
    if named:
        chosen = file.python.function(named) if isinstance(named, str) else None
        return _plan_of_function(chosen, file, names, problems)
    # What calls its function itself is a script: else the function would be called twice.
    functions = [f for f in file.python.functions if f.name not in file.python.called]
    decorated = [f for f in functions if kind_of_decorator(f) is not None]
    function = next((f for f in functions if f.name == MAIN), None)
    if function is None and len(decorated) > 1:
        several = " and ".join(f"{one.name!r} (line {one.line})" for one in decorated)
        position = Position(file.shown, decorated[1].line, decorated[1].column)
        message = f"which function is the task: {several}?"
        problems.append(problem("F032", message, position, "say it by python_callable"))
        return None
    if function is None and not decorated:
        _warn_of_idle(file, problems)
        return Plan(names.find("python"))
    chosen = function or decorated[0]
    spec.values["python_callable"] = chosen.name
    return _plan_of_function(chosen, file, names, problems)


def _plan_of_function(
    function: PythonFunction | None,
    file: FileSpec,
    names: OperatorNames,
    problems: list[FileProblem],
) -> Plan | None:
    kind = None if function is None else kind_of_decorator(function)
    if function is None or kind is None:
        return Plan(names.find("python"))
    position = Position(file.shown, function.line, function.column)
    if kind not in _DECORATORS:
        message = f"@task.{kind} is no decorator for the task of a file"
        problems.append(problem("F032", message, position, "name an operator in the header"))
        return None
    for name in function.unread:
        message = f"{name!r} of @task is not followed: it is no plain value"
        hint = "say it in the header; functions by extra_callables"
        problems.append(problem("F044", message, position, hint))
    return Plan(names.find(_DECORATORS[kind]), dict(function.options))


def _warn_of_idle(file: FileSpec, problems: list[FileProblem]) -> None:
    """Tell of a script that does nothing, since its functions are meant to be called."""
    if file.python is None or not file.python.is_idle or not file.python.functions:
        return
    first = file.python.functions[0]
    message = f"the file is a script that does nothing: {first.name!r} is never called"
    hint = f"call the task's function main, or say python_callable: {first.name}"
    problems.append(problem("F043", message, Position(file.shown, first.line, first.column), hint))


def kind_of_decorator(function: PythonFunction) -> str | None:
    """Return what follows ``task.`` in the decorator of a function, None if no task decorates it.

    Args:
        function: As it was read.
    """
    for name in function.decorators:
        parts = name.split(".")
        if "task" in parts[-2:] and parts[0] in ("task", "ostinato", "airflow", "dag"):
            return ".".join(parts[parts.index("task") + 1 :])
    return None


def plan_of_notebook(spec: TaskSpec, names: OperatorNames, problems: list[FileProblem]) -> Plan:
    """Return what a notebook becomes.

    Args:
        spec: Of the task.
        names: Finds operators.
        problems: Takes what is not installed.
    """
    lacking = _lacking_library()
    if lacking:
        message = f"notebooks are executed by {lacking}, which is not installed"
        position = spec.keys.position()
        hint = "pip install 'ostinato[notebook]'"
        problems.append(problem("F034", message, position, hint))
    return Plan(names.find("notebook"))


def plan_of_script(
    spec: TaskSpec, names: OperatorNames, problems: list[FileProblem]
) -> Plan | None:
    """Return what a script becomes: it runs as it is; None if nothing says what runs it.

    Args:
        spec: Of the task.
        names: Finds operators.
        problems: Takes what is not installed.
    """
    file = spec.file
    if file is None or not (file.shebang or file.suffix in {*INTERPRETERS, *TYPESCRIPT}):
        return None
    program = "" if file.shebang or spec.values.get("interpreter") else _program(file.suffix)
    if program and not _is_there(program):
        message = f"{file.suffix} files are run by {program}, which is not there"
        problems.append(problem("F034", message, spec.keys.position()))
    if file.suffix.lower() == ".rmd":
        # R works their defaults out itself.
        spec.values.pop("params", None)
    return Plan(names.find("script"), {"path": file.path})


def _program(suffix: str) -> str:
    return "node" if suffix in TYPESCRIPT else INTERPRETERS[suffix][0]


@cache
def _is_there(program: str) -> bool:
    return shutil.which(program) is not None


@cache
def _lacking_library() -> str:
    return next((name for name in _NOTEBOOKS if importlib.util.find_spec(name) is None), "")
