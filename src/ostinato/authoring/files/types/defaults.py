"""This module knows what a file becomes that names no operator, by its suffix."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ostinato.authoring.files.operator_names.resolution import OperatorNames
from ostinato.authoring.files.spec import FileProblem
from ostinato.authoring.files.task_specs import TaskSpec
from ostinato.authoring.files.types.script_files import (
    plan_of_notebook,
    plan_of_python,
    plan_of_script,
)
from ostinato.authoring.files.types.seeds import plan_of_seed
from ostinato.authoring.files.types.sql_files import plan_of_sql
from ostinato.authoring.files.types.tables import Tables
from ostinato.authoring.files.wiring.plan import Plan


class Scope(NamedTuple):
    """What is around a file.

    Attributes:
        flow: Name of the flow.
        names: Finds operators.
        inherited: What the METADATA around the file says, the innermost winning.
        problems: Takes what is wrong.
        tables: What tasks make, and queries may read.
        only_gusty: Whether files are no more than gusty makes of them.
    """

    flow: str
    names: OperatorNames
    inherited: Mapping[str, Any]
    problems: list[FileProblem]
    tables: Tables
    only_gusty: bool = False


#: Types that have a default in folders of gusty.
_OF_GUSTY = frozenset({".py", ".sql"})

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
    if default is not None and (suffix in _OF_GUSTY or not scope.only_gusty):
        return default(spec, scope)
    script = plan_of_script(spec, scope.names, scope.problems)
    if script is not None and not scope.only_gusty:
        return script
    message = f"{spec.task_id!r} names no operator"
    scope.problems.append(spec.problem("F010", message, hint="add a line such as operator: bash"))
    return None


def _python(spec: TaskSpec, scope: Scope) -> Plan | None:
    return plan_of_python(spec, scope.names, scope.problems, only_gusty=scope.only_gusty)


def _notebook(spec: TaskSpec, scope: Scope) -> Plan:
    return plan_of_notebook(spec, scope.names, scope.problems)


def _sql(spec: TaskSpec, scope: Scope) -> Plan | None:
    return plan_of_sql(spec, scope.tables, scope.inherited, scope.problems)


def _seed(spec: TaskSpec, scope: Scope) -> Plan | None:
    return plan_of_seed(spec, scope.tables, scope.inherited, scope.problems)


#: By suffix in lower case; all others are scripts, if something runs them.
DEFAULTS: dict[str, Default] = {
    ".csv": _seed,
    ".ipynb": _notebook,
    ".parquet": _seed,
    ".py": _python,
    ".sql": _sql,
}
