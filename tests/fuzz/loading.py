"""This module gives the loader of files any bytes at all, and says what must hold all the same."""

from pathlib import Path

from ostinato.authoring.files.codes import CODES
from ostinato.authoring.files.reading import read_folder
from ostinato.authoring.files.spec import FileProblem, FolderSpec
from ostinato.clock import VirtualClock

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
    "select * from {{ ref('a') }}\n",
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


def check(folder: Path, name: str, data: bytes) -> None:
    """Read a folder with one file, and check what must hold whatever the file says."""
    (folder / name).write_bytes(data)
    clock = VirtualClock(1_700_000_000_000_000)
    options = {"root": str(folder), "clock": clock, "render_on_create": len(data) % 2 == 0}

    spec, problems = read_folder(str(folder), **options)  # type: ignore[arg-type]  # one of each
    (folder / name).unlink()

    lines = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").count("\n")
    for problem in problems:
        _check_problem(problem, name, lines + 2)
    _check_folder(spec)
    assert not (folder / CANARY).exists(), "code of a file was executed"


def _check_problem(problem: FileProblem, name: str, last_line: int) -> None:
    assert problem.code in CODES
    assert problem.message
    assert "\n" not in str(problem)
    assert problem.position.file == name
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
