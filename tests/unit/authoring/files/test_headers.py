"""This module tests how each type of file says its header, and where its keys stand."""

import json
from pathlib import Path

import pytest

from ostinato.authoring.files.spec import Position
from tests.unit.authoring.files.folders import read_one, write, wrong_in


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yml", "operator: x\nretries: 2\n"),
        ("a.yml", "---\noperator: x\nretries: 2\n"),
        ("a.yml", '{"operator": "x", "retries": 2}'),
        ("a.sql", "---\noperator: x\nretries: 2\n---\nselect 1\n"),
        ("a.sql", "-----\noperator: x\nretries: 2\n-----  \nselect 1\n"),
        ("a.sql", "/*\noperator: x\nretries: 2\n*/\nselect 1\n"),
        ("a.sql", "/* {operator: x, retries: 2} */\nselect 1\n"),
        ("a.Rmd", "---\noperator: x\nretries: 2\n---\n# Words\n"),
        ("a.md", "---\noperator: x\nretries: 2\n---\n# Words\n"),
        ("a.py", "# ---\n# operator: x\n# retries: 2\n# ---\n"),
        ("a.py", "#---\n#operator: x\n#retries: 2\n#---\n"),
        ("a.py", "#!/usr/bin/env python\n# ---\n# operator: x\n# retries: 2\n# ---\n"),
        ("a.py", "# -*- coding: utf-8 -*-\n# ---\n# operator: x\n# retries: 2\n# ---\n"),
        ("a.py", "#!/bin/py\n# coding: utf-8\n\n# ---\n# operator: x\n# retries: 2\n# ---\n"),
        ("a.py", '"""Doc."""\n\n# ---\n# operator: x\n# retries: 2\n# ---\n'),
        ("a.py", '"""Doc\n\n# ---\nmore."""\n# ---\n# operator: x\n# retries: 2\n# ---\n'),
        ("a.py", "'Doc'\n# ---\n# operator: x\n# retries: 2\n# ---\n"),
        (
            "a.py",
            "# /// script\n# dependencies = []\n# ///\n# ---\n# operator: x\n# retries: 2\n# ---\n",
        ),
        (
            "a.py",
            "# ---\n# jupyter:\n#   kernel: x\n# operator: x\n# retries: 2\n# ---\n",
        ),
        ("a.sh", "#!/bin/sh\n# ---\n# operator: x\n# retries: 2\n# ---\necho\n"),
        ("a.R", "# ---\n# operator: x\n# retries: 2\n# ---\n1\n"),
        ("a.rb", "# ---\n# operator: x\n# retries: 2\n# ---\n1\n"),
        ("a.js", "// ---\n// operator: x\n// retries: 2\n// ---\n1\n"),
        ("a.ts", "/*\noperator: x\nretries: 2\n*/\n1\n"),
        ("a", "#!/bin/awk\n# ---\n# operator: x\n# retries: 2\n# ---\n"),
    ],
)
def test_header_is_found_in_every_type(tmp_path: Path, name: str, text: str) -> None:
    assert read_one(tmp_path, name, text).keys.values == {"operator": "x", "retries": 2}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.sql", "select 1"),
        ("a.sql", "--- a remark\nselect 1"),
        ("a.sql", "/* Revenue: of each day */\nselect 1"),
        ("a.sql", "/* Who wrote this\n   https://example.com */ select 1"),
        ("a.sql", "{{ config() }} select 1"),
        ("a.py", "print(1)\n# ---\n# operator: x\n# ---\n"),
        ("a.py", "# Words\n# ---\n# operator: x\n# ---\n"),
        ("a.py", "# ---\n# A title\n# ---\n"),
        ("a.py", "# ---\n# A title\nprint(1)\n"),
        ("a.py", "# /// script\n# dependencies = []\n# ///\nprint(1)\n"),
        ("a.py", "'''Doc\nmore.'''\n"),
        ("a.py", ""),
        ("a.Rmd", "# Words\n---\nnot: header\n---\n"),
        ("a.sh", "echo ---\n"),
    ],
)
def test_remarks_are_no_headers(tmp_path: Path, name: str, text: str) -> None:
    file = read_one(tmp_path, name, text)

    assert file.keys.values == {}
    if name == "a.sql":
        assert (file.body, file.body_line) == (text, 1)


@pytest.mark.parametrize(
    ("text", "body", "line"),
    [
        ("---\nretries: 1\n---\nselect 1\n", "select 1", 4),
        ("---\nretries: 1\n---\n\n\n  select 1\n\n", "  select 1", 6),
        ("---\nretries: 1\n---\nselect 1\n---\nselect 2", "select 1\n---\nselect 2", 4),
        ("/*\nretries: 1\n*/\n\nselect /* x */ 1", "select /* x */ 1", 5),
        ("/* retries: 1 */ select 1", " select 1", 1),
        ("---\nretries: 1\n---", "", 4),
    ],
)
def test_body_of_sql_is_what_stands_behind_the_header(
    tmp_path: Path, text: str, body: str, line: int
) -> None:
    file = read_one(tmp_path, "a.sql", text)

    assert (file.body, file.body_line) == (body, line)


@pytest.mark.parametrize(
    ("name", "text", "line", "column"),
    [
        ("a.yml", "operator: x\nparams:\n  a: [1, 2]\n", 3, 10),
        ("a.sql", "---\nparams:\n  a:\n  - 1\n  - 2\n---\n", 5, 5),
        ("a.sql", "/* params: {a: [1, 2]} */", 1, 20),
        ("a.py", '"""Doc."""\n# ---\n# params:\n#   a: [1, 2]\n# ---\n', 4, 12),
        ("a.js", "// ---\n//params:\n//   a: [1, 2]\n// ---\n", 3, 13),
    ],
)
def test_key_knows_its_line_and_column_in_the_file(
    tmp_path: Path, name: str, text: str, line: int, column: int
) -> None:
    keys = read_one(tmp_path, name, text).keys

    assert keys.position("params", "a", 1) == Position(name, line, column)


def notebook(*cells: tuple[str, str | list[str]], indent: int | None = 1) -> str:
    written: list[dict[str, object]] = [
        {"cell_type": kind, "metadata": {}, "source": source} for kind, source in cells
    ]
    return json.dumps({"cells": written, "nbformat": 4, "nbformat_minor": 5}, indent=indent)


def test_header_of_a_notebook_is_its_first_cell_with_a_fence_of_yaml(tmp_path: Path) -> None:
    text = notebook(
        ("code", ["1"]),
        ("markdown", ["# Title"]),
        ("markdown", ["```yaml\n", "operator: x\n", "params: {a: 1}\n", "```"]),
        ("markdown", ["```yaml\n", "operator: y\n", "```"]),
    )

    keys = read_one(tmp_path, "a.ipynb", text).keys

    assert keys.values == {"operator": "x", "params": {"a": 1}}
    line = 1 + text[: text.index("params")].count("\n")
    column = text.split("\n")[line - 1].index("a: 1") + 1
    assert keys.position("params", "a") == Position("a.ipynb", line, column)


@pytest.mark.parametrize(
    "text",
    [
        notebook(("markdown", "```yml\nretries: 2\n```\nwords"), indent=None),
        notebook(("markdown", ["```yaml\n", "retries: 2\n", "```\n"]), indent=None),
        json.dumps(
            {
                "worksheets": [
                    {"cells": [{"cell_type": "markdown", "source": "```yaml\nretries: 2\n```"}]}
                ],
                "nbformat": 3,
            }
        ),
    ],
)
def test_notebooks_may_be_written_otherwise(tmp_path: Path, text: str) -> None:
    assert read_one(tmp_path, "a.ipynb", text).keys.values == {"retries": 2}


def test_notebook_without_a_header_says_nothing(tmp_path: Path) -> None:
    assert read_one(tmp_path, "a.ipynb", notebook(("code", ["1"]))).keys.values == {}


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        (
            "a.sql",
            "---\noperator: x\nselect 1",
            "a.sql:1:1 F002 the header is never closed; end it with a line `---`",
        ),
        (
            "a.sql",
            "/*\noperator: x\nselect 1",
            "a.sql:1:1 F002 the header is never closed; end it with `*/`",
        ),
        (
            "a.Rmd",
            "---\ntitle: x\n",
            "a.Rmd:1:1 F002 the header is never closed; end it with a line `---`",
        ),
        (
            "a.py",
            '"""Doc."""\n\n# ---\n# retries: 2\nprint(1)',
            "a.py:3:1 F002 the header is never closed; end it with a line `# ---`",
        ),
        (
            "a.ts",
            "// ---\n// retries: 2\n1",
            "a.ts:1:1 F002 the header is never closed; end it with a line `// ---`",
        ),
    ],
)
def test_header_that_is_never_closed_is_named_with_its_line(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    assert wrong_in(tmp_path, name, text) == [problem]


def test_header_of_a_notebook_that_is_never_closed_is_named(tmp_path: Path) -> None:
    text = notebook(("markdown", ["```yaml\n", "retries: 2"]))

    assert wrong_in(tmp_path, "a.ipynb", text) == [
        "a.ipynb:7:1 F002 the header is never closed; end it with a line of three backticks"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "a.ipynb:1:1 F028 this is no notebook: Input data was truncated"),
        ("[1]", "a.ipynb:1:1 F028 this is no notebook: it has no list of `cells`"),
        ("{}", "a.ipynb:1:1 F028 this is no notebook: it has no list of `cells`"),
    ],
)
def test_notebook_that_is_none_is_named(tmp_path: Path, text: str, problem: str) -> None:
    assert wrong_in(tmp_path, "a.ipynb", text) == [problem]


def test_script_without_newline_keeps_its_shebang(tmp_path: Path) -> None:
    write(tmp_path, {"a": "#!/bin/true"})

    assert read_one(tmp_path, "a", "#!/bin/true").shebang == "/bin/true"
