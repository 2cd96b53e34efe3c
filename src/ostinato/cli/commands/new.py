"""This module is ``ostinato new``: a flow or a task made of files."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ostinato.project.discovery import Project

METADATA = """\
# What holds for the flow; docs/reference/files.md explains every key.
description: {name}
# schedule: "@daily"
default_args:
  retries: 1
"""

FIRST = """\
operator: bash
bash_command: echo "hello from {name}, for {{{{ ds }}}}"
"""

_YAML = """\
operator: bash
bash_command: echo {name}
# dependencies: [another_task]
"""

#: Texts of new tasks by suffix.
TASKS = {
    ".yml": _YAML,
    ".yaml": _YAML,
    ".sql": """\
---
connection: {connection}
# materialized: table, view, incremental or none
---

SELECT 1 AS number
""",
    ".py": """\
# ---
# retries: 1
# ---


def main(ds):
    \"\"\"Return something for the day of the run.\"\"\"
    print("{name} for", ds)
    return {{"day": ds}}
""",
    ".sh": """\
#!/usr/bin/env bash
# ---
# retries: 1
# ---
set -euo pipefail

echo "{name} for $OSTINATO_DS"
""",
    ".r": """\
#!/usr/bin/env Rscript
# ---
# retries: 1
# ---

cat("{name} for", Sys.getenv("OSTINATO_DS"), "\\n")
""",
    ".js": """\
#!/usr/bin/env node
// ---
// retries: 1
// ---

console.log(`{name} for ${{process.env.OSTINATO_DS}}`);
""",
}

#: Cells of a new notebook: kind, text, tags.
_CELLS = (
    ("markdown", "```yaml\nretries: 1\n```", ()),
    ("code", 'ds = "2025-01-01"', ("parameters",)),
    ("code", 'print("{name} for", ds)', ()),
)


@click.group("new", short_help="Make a flow or a task of files.")
def command() -> None:
    """Make a flow or a task of files."""


@command.command("flow", short_help="Make a folder that is a flow.")
@click.argument("name")
def flow(name: str) -> None:
    """Make a folder NAME that is a flow, with a first task.

    It lies in the first folder that the setting `flows` names. A NAME with a slash is a path from
    here.
    """
    from ostinato.errors import UsageError

    project = _project()
    folder = Path(name) if "/" in name else project.root / project.settings.flows[0] / name
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{_shown(folder)} is there already", hint="name another one")
    _check_name(folder.name)
    _make(folder / "METADATA.yml", METADATA.format(name=folder.name))
    _make(folder / "hello.yml", FIRST.format(name=folder.name))
    click.echo(f"Run it: ostinato run {folder.name}")


@command.command("task", short_help="Make a file that is a task.")
@click.argument("file", type=click.Path(path_type=Path))
def task(file: Path) -> None:
    """Make FILE, such as flows/shop/marts/revenue.sql; its ending decides what is in it."""
    from ostinato.authoring.suggestions import did_you_mean
    from ostinato.errors import UsageError

    suffix = file.suffix.lower()
    kinds = [*TASKS, ".ipynb"]
    if suffix not in kinds:
        hint = did_you_mean(suffix, kinds) or f"there are {', '.join(kinds)}"
        raise UsageError(f"no task is made of {file.name!r}", hint=hint)
    if file.exists():
        raise UsageError(f"{file} is there already", hint="name another one")
    _check_name(file.stem)
    root = _flow_around(file)
    if suffix == ".ipynb":
        text = _notebook(file.stem)
    elif suffix == ".sql" and _has_connection(file):
        text = TASKS[suffix].replace("connection: {connection}\n", "")
    else:
        text = TASKS[suffix].format(name=file.stem, connection=_connection())
    _make(file, text)
    if "connection: warehouse" in text:
        click.echo("Say where: ostinato connections set warehouse duckdb:///warehouse.duckdb")
    if suffix in (".sh", ".r", ".js"):
        file.chmod(0o755)
    where = file.resolve().relative_to(root)
    click.echo(f"Run it: ostinato run {root.name} -s {where.as_posix()}")


def _project() -> "Project":
    from ostinato.project.discovery import find_project

    return find_project(None)


def _check_name(name: str) -> None:
    import re

    from ostinato.errors import UsageError

    if not re.fullmatch(r"[\w.-]+", name) or name.startswith(("_", ".")):
        hint = "use letters, digits, '_', '-' and '.'; names that begin with '_' or '.' are ignored"
        raise UsageError(f"{name!r} makes no id", hint=hint)


def _flow_around(file: Path) -> Path:
    """Return the outermost folder with METADATA around a file."""
    from ostinato.errors import UsageError
    from ostinato.project.discovery import is_folder_flow

    around = [folder for folder in file.resolve().parents if is_folder_flow(folder)]
    if not around:
        hint = "ostinato new flow NAME makes one"
        raise UsageError(f"{file.parent} lies in no folder that is a flow", hint=hint)
    return around[-1]


def _has_connection(file: Path) -> bool:
    """Whether the METADATA around a file says which connection its queries use."""
    around = (folder / "METADATA.yml" for folder in file.resolve().parents)
    texts = (path.read_text(encoding="utf-8") for path in around if path.is_file())
    return any(line.startswith("connection:") for text in texts for line in text.splitlines())


def _connection() -> str:
    """Return the connection that a query would use: the only one of the project, or a name."""
    names = list(_project().settings.connections)
    return names[0] if names else "warehouse"


def _notebook(name: str) -> str:
    import json

    cells: list[dict[str, Any]] = [
        {
            "cell_type": kind,
            "id": f"cell-{number}",
            "metadata": {"tags": list(tags)} if tags else {},
            "source": text.replace("{name}", name),
            **({"execution_count": None, "outputs": []} if kind == "code" else {}),
        }
        for number, (kind, text, tags) in enumerate(_CELLS, 1)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {
        "cells": cells,
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, indent=1) + "\n"


def _make(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    click.echo(f"made  {_shown(path)}")


def _shown(path: Path) -> str:
    here = Path.cwd()
    whole = path.resolve()
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else str(path)
