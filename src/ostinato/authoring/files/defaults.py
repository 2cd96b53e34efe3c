"""This module knows what a file becomes that names no operator, by its suffix."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ostinato.authoring.files.operator_names import OperatorNames
from ostinato.authoring.files.plan import Plan
from ostinato.authoring.files.spec import FileProblem
from ostinato.authoring.files.sql_files import plan_of_sql
from ostinato.authoring.files.tables import Tables
from ostinato.authoring.files.task_specs import TaskSpec


class Scope(NamedTuple):
    """What is around a file.

    Attributes:
        flow: Name of the flow.
        names: Finds operators.
        inherited: What the METADATA around the file says, the innermost winning.
        problems: Takes what is wrong.
        tables: What tasks make, and queries may read.
    """

    flow: str
    names: OperatorNames
    inherited: Mapping[str, Any]
    problems: list[FileProblem]
    tables: Tables


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


def _sql(spec: TaskSpec, scope: Scope) -> Plan | None:
    return plan_of_sql(spec, scope.tables, scope.inherited, scope.problems)


#: By suffix in lower case.
DEFAULTS: dict[str, Default] = {
    ".py": _python,
    ".sql": _sql,
}
