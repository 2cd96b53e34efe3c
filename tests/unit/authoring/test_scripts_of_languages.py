"""This module tests scripts of each language: what they are told, give back, and fail with."""

from pathlib import Path
from typing import Any

import pytest

from ostinato import DAG, BashOperator, ScriptOperator, testing
from ostinato.authoring.operators import interpreters
from ostinato.authoring.operators.command import telling_line
from ostinato.authoring.signatures import UNTYPED
from ostinato.errors import ExecutionError
from tests.unit.authoring.fakes import FakeContext, execute

#: Each writes the day and a parameter as its result, and a file.
SCRIPTS = {
    "sh": """
printf '{"day": "%s", "region": "%s"}' $OSTINATO_DS $OSTINATO_PARAM_REGION > $OSTINATO_RESULT
echo kept > $OSTINATO_OUT/note.txt
""",
    "py": """
import json, os, pathlib

if __name__ == "__main__":
    given = {"day": os.environ["OSTINATO_DS"], **json.loads(os.environ["OSTINATO_PARAMS"])}
    pathlib.Path(os.environ["OSTINATO_RESULT"]).write_text(json.dumps(given))
    pathlib.Path(os.environ["OSTINATO_OUT"], "note.txt").write_text("kept")
""",
    "js": """
const fs = require("fs")
const given = {day: process.env.OSTINATO_DS, ...JSON.parse(process.env.OSTINATO_PARAMS)}
fs.writeFileSync(process.env.OSTINATO_RESULT, JSON.stringify(given))
fs.writeFileSync(process.env.OSTINATO_OUT + "/note.txt", "kept")
""",
    "ts": """
import * as fs from "fs"
const given: {day?: string, region?: string} = JSON.parse(process.env.OSTINATO_PARAMS as string)
given.day = process.env.OSTINATO_DS
fs.writeFileSync(process.env.OSTINATO_RESULT as string, JSON.stringify(given))
fs.writeFileSync(process.env.OSTINATO_OUT + "/note.txt", "kept")
""",
    "rb": """
require "json"
given = JSON.parse(ENV["OSTINATO_PARAMS"]).merge(day: ENV["OSTINATO_DS"])
File.write(ENV["OSTINATO_RESULT"], given.to_json)
File.write(ENV["OSTINATO_OUT"] + "/note.txt", "kept")
""",
    "R": """
given <- jsonlite::fromJSON(Sys.getenv("OSTINATO_PARAMS"))
given$day <- Sys.getenv("OSTINATO_DS")
write(jsonlite::toJSON(given, auto_unbox = TRUE), Sys.getenv("OSTINATO_RESULT"))
write("kept", file.path(Sys.getenv("OSTINATO_OUT"), "note.txt"))
""",
    "pl": """
open(my $out, '>', $ENV{OSTINATO_RESULT}); print $out qq({"day": "$ENV{OSTINATO_DS}",
"region": "$ENV{OSTINATO_PARAM_REGION}"});
open(my $note, '>', "$ENV{OSTINATO_OUT}/note.txt"); print $note "kept";
""",
}

#: The same mistake in each, and how it is told.
MISTAKES = {
    "sh": ("cat /none", "cat: /none: No such file or directory"),
    "py": ("def f():\n    raise ValueError('no rows')\nf()", "ValueError: no rows"),
    "js": ("function f() { throw new TypeError('no rows') }\nf()", "TypeError: no rows"),
    "ts": ("const n: number = 5\nthrow new Error('no rows ' + n)", "Error: no rows 5"),
    "rb": ("def f\n  raise 'no rows'\nend\nf", "in `f': no rows (RuntimeError)"),
    "R": ("f <- function() stop('no rows')\nf()", "Error in f() : no rows"),
    "pl": ("die 'no rows'", "no rows at "),
}

#: In which line each of them is; R does not say.
LINES = {"sh": None, "py": 2, "js": 1, "ts": 2, "rb": 2, "pl": 1}

LANGUAGES = [
    "sh",
    "py",
    pytest.param("pl", marks=pytest.mark.system("perl")),
    pytest.param("js", marks=pytest.mark.system("node")),
    pytest.param("ts", marks=[pytest.mark.system("node", "esbuild"), pytest.mark.slow]),
    pytest.param("rb", marks=[pytest.mark.system("ruby"), pytest.mark.slow]),
    pytest.param("R", marks=[pytest.mark.system("Rscript"), pytest.mark.slow]),
]


@pytest.fixture
def context(tmp_path: Path) -> FakeContext:
    folder = tmp_path / "attempt"
    folder.mkdir()
    return FakeContext(temporary=folder, params={"region": "EU"})


def run_file(context: FakeContext, path: Path, text: str, **arguments: Any) -> Any:
    path.write_text(text)
    return execute(ScriptOperator(task_id="script", path=path, **arguments), context=context)


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_script_is_told_of_its_attempt_and_gives_result_and_files(
    suffix: str, context: FakeContext, tmp_path: Path
) -> None:
    result = run_file(context, tmp_path / f"report.{suffix}", SCRIPTS[suffix])

    assert result == {"day": "2025-01-31", "region": "EU"}
    assert [file.read_text().strip() for file in context.kept] == ["kept"]


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_failure_is_told_in_the_line_that_says_most(
    suffix: str, context: FakeContext, tmp_path: Path
) -> None:
    text, words = MISTAKES[suffix]

    with pytest.raises(ExecutionError) as caught:
        run_file(context, tmp_path / f"report.{suffix}", text)

    assert f"report.{suffix} exited with code " in str(caught.value)
    assert words in str(caught.value)
    assert (caught.value.place and caught.value.place.line) == LINES.get(suffix)


@pytest.mark.slow
@pytest.mark.system("Rscript", "pandoc")
def test_r_markdown_is_rendered_with_the_parameters_that_it_declares(
    context: FakeContext, tmp_path: Path
) -> None:
    text = """---
title: Report
output: html_document
params: {region: none, ds: none}
---

```{r}
cat(params$region, params$ds, "in rows")
```
"""
    context.params = {"region": "EU", "other": 5}

    run_file(context, tmp_path / "report.Rmd", text)

    (page,) = context.kept
    assert page.name == "report.html"
    assert "EU 2025-01-31 in rows" in page.read_text()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["attempt", "report.Rmd"]


def test_everything_of_the_attempt_is_in_the_environment(context: FakeContext) -> None:
    context.params = {"max rows": 5, "region": "EU"}

    told = execute(
        BashOperator(task_id="a", bash_command="env | grep ^OSTINATO_ | sort | tr '\\n' ';'"),
        context=context,
    )

    found = dict(each.split("=", 1) for each in told.rstrip(";").split(";"))
    for name in ("OSTINATO_RESULT", "OSTINATO_OUT"):
        assert Path(found.pop(name)).is_absolute()
    assert found == {
        "OSTINATO_ATTEMPT": "1",
        "OSTINATO_DATA_INTERVAL_END": "2025-01-31T00:00:00+00:00",
        "OSTINATO_DATA_INTERVAL_START": "2025-01-31T00:00:00+00:00",
        "OSTINATO_DS": "2025-01-31",
        "OSTINATO_FLOW": "flow",
        "OSTINATO_LOGICAL_DATE": "2025-01-31T00:00:00+00:00",
        "OSTINATO_MAP_INDEX": "-1",
        "OSTINATO_PARAMS": '{"max rows":5,"region":"EU"}',
        "OSTINATO_PARAM_MAX_ROWS": "5",
        "OSTINATO_PARAM_REGION": "EU",
        "OSTINATO_PARTITION": "",
        "OSTINATO_RUN_ID": "7",
        "OSTINATO_TASK_ID": "task",
        "OSTINATO_TRY_NUMBER": "1",
    }


def test_given_environment_is_all_but_what_is_told_of_the_attempt(context: FakeContext) -> None:
    given = BashOperator(task_id="a", bash_command="echo $HOME-$X-$OSTINATO_DS", env={"X": 1})

    assert execute(given, context=context) == "-1-2025-01-31"


@pytest.mark.parametrize(
    ("command", "result"),
    [
        ("echo '[1, 2]' > $OSTINATO_RESULT; echo line", [1, 2]),
        ("echo null > $OSTINATO_RESULT; echo line", None),
        (": > $OSTINATO_RESULT; echo line", "line"),
        ("echo line", "line"),
    ],
)
def test_result_is_what_was_written_else_the_last_line(
    command: str, result: Any, context: FakeContext
) -> None:
    assert execute(BashOperator(task_id="a", bash_command=command), context=context) == result


def test_result_that_is_no_json_is_told(context: FakeContext) -> None:
    operator = BashOperator(task_id="a", bash_command="echo 'a: 1' > $OSTINATO_RESULT")

    with pytest.raises(ExecutionError, match=r"written to \$OSTINATO_RESULT is no JSON: .*'a: 1"):
        execute(operator, context=context)


def test_files_of_what_failed_are_kept_too(context: FakeContext) -> None:
    command = "mkdir -p $OSTINATO_OUT/a/b; echo x > $OSTINATO_OUT/a/b/c.txt; exit 1"

    with pytest.raises(ExecutionError):
        execute(BashOperator(task_id="a", bash_command=command), context=context)

    assert [file.parts[-3:] for file in context.kept] == [("a", "b", "c.txt")]


def test_commands_that_may_write_results_have_results_of_any_type(tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text("true")

    assert BashOperator(task_id="a", bash_command="echo 5").result_type is str
    writing = BashOperator(task_id="a", bash_command="echo 5 > $OSTINATO_RESULT")
    assert writing.result_type is UNTYPED
    assert ScriptOperator(task_id="a", path=tmp_path / "a.sh").result_type is UNTYPED
    assert ScriptOperator(task_id="a", script="#!/bin/sh\necho").result_type is str


def test_output_of_a_python_script_is_seen_while_it_runs(
    context: FakeContext, tmp_path: Path
) -> None:
    text = "import sys; print(sys.stdout.write_through, len(sys.argv))"

    assert run_file(context, tmp_path / "a.py", text) == "True 1"


def test_script_of_an_unknown_language_says_how_to_name_its_interpreter(
    context: FakeContext, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match=r"nothing says what runs the script \(begin it with"):
        run_file(context, tmp_path / "a.cob", "STOP RUN.")


@pytest.mark.parametrize(
    ("there", "version", "command"),
    [
        (["deno", "node"], "", ["deno", "run", "--allow-all"]),
        (["node"], "v24.1.0", ["node"]),
        (["node"], "v22.18.0", ["node"]),
        (["node"], "v22.6.0", ["node", "--experimental-strip-types", "--no-warnings"]),
        (["node"], "v20.1.0", None),
        ([], "", None),
    ],
)
def test_typescript_is_run_by_what_is_there(
    there: list[str],
    version: str,
    command: list[str] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in there:
        (tmp_path / name).write_text(f"#!/bin/sh\necho {version}")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    if command is None:
        with pytest.raises(ExecutionError, match=r"nothing here runs TypeScript \(install node"):
            interpreters.interpreter_for(".ts", tmp_path)
    else:
        assert interpreters.interpreter_for(".ts", tmp_path) == command


def test_last_line_that_is_no_epilogue_says_most() -> None:
    fields = ["Error: none", "    at f (a.js:1:2) {", "  errno: -2,", "}", "Node.js v20.1.0"]

    assert telling_line(fields) == "Error: none"
    assert telling_line(["first", "last"]) == "last"
    assert telling_line(["Execution halted"]) == "Execution halted"
    assert telling_line([]) == ""


@pytest.mark.slow
def test_script_in_a_flow_hands_its_result_on(tmp_path: Path) -> None:
    script = tmp_path / "rows.py"
    script.write_text("import os; open(os.environ['OSTINATO_RESULT'], 'w').write('[1, 2, 3]')")
    with DAG("flow") as flow:
        rows = ScriptOperator(task_id="rows", path=script)
        BashOperator.partial(task_id="each").expand(
            bash_command=rows.output.map(lambda row: f"echo {row}")
        )

    assert testing.run(flow).result("each") == ["1", "2", "3"]
