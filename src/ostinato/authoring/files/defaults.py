"""This module knows what a file becomes that names no operator, by its suffix."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ostinato.authoring.files.operator_names import OperatorNames
from ostinato.authoring.files.spec import FileProblem, Position
from ostinato.authoring.files.task_specs import TaskSpec


class Implied(NamedTuple):
    """Something that a task reads, without a dependency that is written.

    Attributes:
        name: A task's id, or of what it makes: ``folder.task``, or its key ``asset``.
        position: Where it is read.
        is_required: Whether it is an error that nothing makes it.
    """

    name: str
    position: Position
    is_required: bool = False


class Plan(NamedTuple):
    """What a file becomes.

    Attributes:
        operator: The class, or a function that returns a task.
        arguments: In addition to those that the file's keys name; keys win.
        implied: What it waits for, besides its dependencies.
    """

    operator: Any
    arguments: Mapping[str, Any] = {}
    implied: tuple[Implied, ...] = ()


class Scope(NamedTuple):
    """What is around a file.

    Attributes:
        flow: Name of the flow.
        names: Finds operators.
        inherited: What the METADATA around the file says, the innermost winning.
        problems: Takes what is wrong.
    """

    flow: str
    names: OperatorNames
    inherited: Mapping[str, Any]
    problems: list[FileProblem]


#: Returns what a file becomes, None if that is already among the problems.
Default = Callable[[TaskSpec, Scope], Plan | None]


def default_for(spec: TaskSpec, scope: Scope) -> Plan | None:
    """Return what a file becomes that names no operator; a problem is noted if there is none.

    Args:
        spec: Of the task.
        scope: What is around it.
    """
    suffix = spec.file.suffix.lower() if spec.file is not None else ""
    default = DEFAULTS.get(suffix)
    if default is not None:
        return default(spec, scope)
    message = f"{spec.task_id!r} names no operator"
    scope.problems.append(spec.problem("F010", message, hint="add a line such as operator: bash"))
    return None


def _python(spec: TaskSpec, scope: Scope) -> Plan:
    del spec
    return Plan(scope.names.find("python"))


def _sql(spec: TaskSpec, scope: Scope) -> Plan:
    del spec
    return Plan(scope.names.find("sql"))


#: By suffix in lower case.
DEFAULTS: dict[str, Default] = {
    ".py": _python,
    ".sql": _sql,
}
