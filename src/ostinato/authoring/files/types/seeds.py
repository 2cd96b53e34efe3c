"""This module knows what a ``.csv`` or ``.parquet`` file becomes: a table of its rows."""

import csv
from collections.abc import Mapping
from typing import Any

from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.spec import FileProblem, Position
from ostinato.authoring.files.task_specs import TaskSpec
from ostinato.authoring.files.types.tables import Tables, connection_of
from ostinato.authoring.files.wiring.plan import Plan

#: Characters of a line with the names of columns.
_LONGEST_LINE = 100_000


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
        position = Position(spec.keys.file, 1, 1)
        problems.append(problem("F031", message, position, "add connection: to METADATA.yml"))
        return None
    fault = _fault_of(spec)
    if fault:
        problems.append(problem("F039", fault, Position(spec.keys.file, 1, 1)))
        return None
    from ostinato.authoring.operators.seed import SeedOperator  # noqa: PLC0415 - only for seeds

    assert spec.file is not None, "a seed is a file"
    table = tables.maker(spec).table
    return Plan(SeedOperator, {"conn_id": connection, "path": spec.file.path, "table": table})


def columns_of_seed(spec: TaskSpec) -> list[str]:
    """Return the columns of a ``.csv`` file, nothing for other files and those that cannot be read.

    Args:
        spec: Of the task.
    """
    if spec.file is None or spec.file.suffix.lower() != ".csv":
        return []
    try:
        with open(spec.file.path, encoding="utf-8-sig", newline="") as file:
            line = file.readline(_LONGEST_LINE)
        return next(csv.reader([line]), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def _fault_of(spec: TaskSpec) -> str:
    """Return what is wrong with the first line of a ``.csv`` file, empty if nothing is."""
    if spec.file is None or spec.file.suffix.lower() != ".csv":
        return ""
    columns = columns_of_seed(spec)
    if not columns:
        return "there is no line with the names of the columns"
    folded = [name.strip().lower() for name in columns]
    if "" in folded:
        return f"column {folded.index('') + 1} has no name"
    twice = next((name for name in folded if folded.count(name) > 1), "")
    return f"two columns are called {twice!r}" if twice else ""
