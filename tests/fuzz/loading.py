"""This module gives the loader of files any bytes at all, and says what must hold all the same."""

import os
from pathlib import Path

from ostinato.authoring.files.codes import CODES
from ostinato.authoring.files.folders import folder_flow
from ostinato.authoring.files.reading.folder_reading import read_folder
from ostinato.authoring.files.spec import FileProblem, FolderSpec
from ostinato.clock import VirtualClock
from ostinato.errors import FolderProblems

#: Names of files of all types that are read.
NAMES = (
    "METADATA.yml",
    "a.yml",
    "a.sql",
    "a.py",
    "a.ipynb",
    "a.Rmd",
    "a.md",
    "a.sh",
    "a.js",
    "script",
)

#: What inputs are made of: where they reach code, they make a file of this name.
CANARY = "canary"

PARTS = (
    "---\n",
    "# ---\n",
    "// ---\n",
    "/*\n",
    "*/\n",
    "#!/bin/sh\n",
    "# /// script\n",
    "# ///\n",
    "# ",
    "\n",
    "  ",
    "\t",
    "- ",
    "operator: bash\n",
    "dependencies: [a, b]\n",
    "external_dependencies:\n  - a: all\n",
    "python_callable: f\n",
    "multi_task_spec: {a: {}}\n",
    "retries: ",
    "a: &a {b: 1}\n",
    "c: *a\n",
    "<<: *a\n",
    "? [a]\n",
    "!days_ago ",
    "!timedelta 'minutes: 5'\n",
    "!datetime [2022, 1, 15]\n",
    "!env_var HOME\n",
    "!env_switch {a: b}\n",
    "!!python/object/apply:os.system ['touch canary']\n",
    "!!python/name:os.system\n",
    "!!set {a}\n",
    "!!binary aGk=\n",
    "2022-13-45\n",
    "0x1F\n",
    "{{ a }}",
    "{{ unknown.x(1)['y'] }}",
    "{{ cycler.__init__.__globals__.os.system('touch canary') }}",
    "{{ lipsum.__globals__['os'].popen('touch canary') }}",
    "{% for i in range(10) %}x{% endfor %}",
    "{% if a %}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ 'a' * 10 ** 9 }}",
    "def f(a, *, b=1): ...\n",
    "open('canary', 'w')\n",
    "'''",
    '"""',
    "import os\n",
    '{"cells": [',
    '{"cell_type": "markdown", "source": ["```yaml\\n", ',
    '"operator: x\\n", "```"]}',
    "]}",
    "materialized: incremental\n",
    "unique_key: x\n",
    "when: params.full\n",
    "expand: {x: [1, 2]}\n",
    "schedule: '@weekly'\n",
    "columns: {x: int}\n",
    "--",
    ";",
    "(",
    "\0",
    "\ufeff",
    "[" * 50,
    "{",
    "}",
    "]",
    "'",
    ": ",
    "€",
)

#: Parts of queries and what stands in their templates.
QUERIES = (
    "select * from {{ ref('a') }}\n",
    "select a.x, count(*) as n from a.b as a join c on a.id = c.id group by 1\n",
    "with t as (select 1) select * from t",
    "from {{ source('a', 'b') }} where d = '{{ ds }}'\n",
    "{% if is_incremental() %} where x > (select max(x) from {{ this }}) {% endif %}",
    "create table t as select * from raw.a;\n",
    "insert into t values (1);\n",
    "{{ config(materialized='view') }}",
    "select 1",
    "union all",
    "where x in (select y from z)",
    "left join lateral (select 1) as l on true",
    "values (1, 'a')",
    "{% set x = ref('a') %}",
    "{% for x in [1, 2] %} {{ x }}, {% endfor %}",
    "{{ ref('a', 'b') }}",
    "{{ ref(a) }}",
    "{{ source('a') }}",
    "{{ params.x }}",
    "{{ var.value.x }}",
    "`a`.`b`",
    '"a"."b"',
    "a.b.c.d",
    "/* words */",
    "-- words\n",
    "$$ x $$",
    "'",
    "(",
    ")",
    ",",
    ";",
)


def check(folder: Path, name: str, data: bytes) -> None:
    """Read a folder with one file, and check what must hold whatever the file says."""
    (folder / name).write_bytes(data)
    clock = VirtualClock(1_700_000_000_000_000)
    options = {"root": os.getcwd(), "clock": clock, "render_on_create": len(data) % 2 == 0}

    spec, problems = read_folder(str(folder), **options)  # type: ignore[arg-type]  # one of each
    (folder / name).unlink()

    lines = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").count("\n")
    for problem in problems:
        _check_problem(problem, os.path.join(folder, name), lines + 2)
    _check_folder(spec)
    assert not (folder / CANARY).exists(), "code of a file was executed"


def check_flow(folder: Path, name: str, data: bytes) -> None:
    """Make a flow of a folder with one file, or be told all that is wrong with it."""
    if name != "METADATA.yml":
        (folder / "METADATA.yml").write_text("connection: 'duckdb:///a.db'\n")
    (folder / name).write_bytes(data)

    try:
        problems: tuple[FileProblem, ...] = ()
        assert folder_flow(folder).definition.name == folder.name
    except FolderProblems as error:
        problems = tuple(error.problems)
    finally:
        for path in (folder / name, folder / "METADATA.yml"):
            path.unlink(missing_ok=True)

    lines = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").count("\n")
    for problem in problems:
        _check_problem(problem, os.path.join(folder, name), lines + 2)
    assert not (folder / CANARY).exists(), "code of a file was executed"


def _check_problem(problem: FileProblem, name: str, last_line: int) -> None:
    assert problem.code in CODES
    assert problem.message
    assert "\n" not in str(problem)
    assert os.path.abspath(problem.position.file) in (os.path.abspath(name), os.path.dirname(name))
    assert 0 <= problem.position.line <= last_line


def _check_folder(spec: FolderSpec) -> None:
    for file in spec.files:
        assert not file.is_broken
        assert all(isinstance(key, str) for key in file.keys.values)
        for line, column in file.keys.places.values():
            assert line >= 1
            assert column >= 1
    for file in spec.broken:
        assert file.is_broken
