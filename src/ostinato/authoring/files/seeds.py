"""This module knows what a ``.csv`` or ``.parquet`` file becomes: a table of its rows."""

from collections.abc import Mapping
from typing import Any

from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.plan import Plan
from ostinato.authoring.files.spec import FileProblem, Position
from ostinato.authoring.files.tables import Tables, connection_of
from ostinato.authoring.files.task_specs import TaskSpec


def plan_of_seed(
    spec: TaskSpec, tables: Tables, inherited: Mapping[str, Any], problems: list[FileProblem]
) -> Plan | None:
    """Return what the file becomes, None if that is among the problems.

    Args:
        spec: Of the task.
        tables: Of the flow.
        inherited: What the METADATA around the file says.
        problems: Takes what is wrong.
    """
    connection = connection_of(spec, inherited)
    if not connection:
        message = "no connection is named for the table"
        position = Position(spec.keys.file)
        problems.append(problem("F031", message, position, "add connection: to METADATA.yml"))
        return None
    from ostinato.authoring.operators.seed import SeedOperator  # noqa: PLC0415 - only for seeds

    assert spec.file is not None, "a seed is a file"
    table = tables.maker(spec).table
    return Plan(SeedOperator, {"conn_id": connection, "path": spec.file.path, "table": table})
