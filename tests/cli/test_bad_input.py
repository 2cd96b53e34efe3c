"""This module tests that what is wrong is said in one line, with its place, and ends with 2."""

from pathlib import Path

import pytest

from tests.cli.conftest import ETL, Ostinato

pytestmark = pytest.mark.slow

CYCLE = """\
from ostinato import DAG, EmptyOperator

with DAG("round"):
    a = EmptyOperator(task_id="a")
    b = EmptyOperator(task_id="b")
    a >> b >> a
"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("def f(:\n", "flows/bad.py:1: SyntaxError: invalid syntax"),
        (
            "import os\nimport pandass\n",
            "flows/bad.py:2: ModuleNotFoundError: No module named 'pandass' "
            "(did you mean 'pandas'?)",
        ),
        ("\n\nraise RuntimeError('no')\n", "flows/bad.py:3: RuntimeError: no"),
        (CYCLE, "flows/bad.py:4: tasks of flow 'round' wait for each other: a -> b -> a"),
        (
            "from ostinato import task\n\n@task(retires=3)\ndef f():\n    pass\n",
            "flows/bad.py:3: unknown argument 'retires' in @task (did you mean 'retries'?)",
        ),
        (
            "import os\nos._exit(3)\n",
            "the process that loads the files ended: did one call os._exit?",
        ),
    ],
)
@pytest.mark.parametrize("command", ["run", "graph"])
def test_broken_file(command: str, text: str, line: str, project: Path, ostinato: Ostinato) -> None:
    (project / "flows" / "bad.py").write_text(text)

    result = ostinato(command, "flows/bad.py", code=2)

    assert result.out == ""
    assert result.err == f"error: {line}\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["run", "elt"], "there is no flow 'elt' (did you mean 'etl'?)"),
        (["run", "flows/elt.py"], "there is no file flows/elt.py (did you mean 'etl.py'?)"),
        (["run", "flows/etl.py:elt"], "there is no flow 'elt' (did you mean 'etl'?)"),
        (["run"], "there are 2 flows, and none was named (name one of etl, steps)"),
        (
            ["run", "etl", "-p", "row=3"],
            "flow 'etl' has no parameter 'row' (did you mean 'rows'?)",
        ),
        (
            ["run", "etl", "-p", "rows=many"],
            "parameter 'rows' of flow 'etl': 'many' is not an integer (its parameters are "
            'rows: integer = 3, day: date = "2025-01-01", bad_row: integer = -1, '
            'words: string = "x")',
        ),
        (
            ["run", "etl", "-p", "day=tomorrow"],
            "parameter 'day' of flow 'etl': 'tomorrow' is not a date such as 2025-01-31 "
            "(its parameters are rows: integer = 3, "
            'day: date = "2025-01-01", bad_row: integer = -1, words: string = "x")',
        ),
        (["run", "etl", "-p", "rows"], "'rows' gives no value (write -p name=value)"),
        (
            ["run", "etl", "--select", "extrac"],
            "flow 'etl' has no task or group 'extrac' (did you mean 'extract'?)",
        ),
        (["run", "etl", "--select", "(extract"], "cannot read the selection '(extract' at its end"),
        (
            ["run", "etl", "--select", "double"],
            "'double' is mapped over the result of 'extract', which is left out "
            "(select 'extract' too)",
        ),
        (
            ["run", "etl", "--select", "never and extract"],
            "the selection 'never and extract' chooses no task",
        ),
        (
            ["run", "etl", "--date", "soon"],
            "'soon' is no date (write 2025-01-31 or 2025-01-31T06:00)",
        ),
        (
            ["run", "etl", "--date", "2025-01-01..soon"],
            "'2025-01-01..soon' is no range of dates (write 2025-01-01..2025-01-31)",
        ),
        (
            ["run", "etl", "--date", "2025-01-02..2025-01-01"],
            "'2025-01-02..2025-01-01' ends before it begins",
        ),
        (
            ["run", "etl", "--executor", "procces"],
            "--executor: there is no 'procces' (did you mean 'process'?)",
        ),
        (
            ["run", "etl", "--environment", "prod"],
            "ostinato.yaml: there is no environment 'prod' (declare it under 'environments')",
        ),
        (["run", "etl", "--params", "flows/etl.py"], "flows/etl.py holds no JSON object"),
        (["run", "etl", "--selct", "x"], "no such option '--selct'"),
        (["rnu"], "there is no command 'rnu' (did you mean 'run'?)"),
        (["cancel"], "missing argument 'RUN' (see ostinato cancel --help)"),
        (
            ["show", "last"],
            "no run has been recorded in project 'shop' (go to its folder, or use",
        ),
    ],
)
def test_wrong_arguments(
    arguments: list[str], line: str, project: Path, ostinato: Ostinato
) -> None:
    result = ostinato(*arguments, code=2)

    assert result.out == ""
    assert result.err.startswith(f"error: {line}")
    assert result.err.count("\n") == 1


def test_missing_parameter(project: Path, ostinato: Ostinato) -> None:
    (project / "flows" / "etl.py").write_text(
        ETL.replace("day: date = date(2025, 1, 1)", "*, day: date")
    )

    result = ostinato("run", "etl", code=2)

    assert result.err.startswith("error: flow 'etl' needs the parameter 'day' (its parameters are")


def test_unknown_pool_and_executor_make_no_run(project: Path, ostinato: Ostinato) -> None:
    flow = project / "flows" / "steps.py"
    flow.write_text(
        flow.read_text()
        .replace("@task\n    def first", '@task(pool="dw")\n    def first')
        .replace("@task\n    def third", '@task(executor="dask")\n    def third')
    )

    result = ostinato("run", "steps", code=2)

    assert result.err == (
        "error: flows/steps.py:34: task 'first' asks for the pool 'dw', which does not exist "
        "(declare it under 'pools' in ostinato.yaml, or by ostinato pools set)\n"
        "error: flows/steps.py:34: task 'third' asks for the executor 'dask', which does not "
        "exist (there are process, thread, inline)\n"
    )
    assert ostinato("runs", "--format", "json").json == []


def test_wrong_settings(project: Path, ostinato: Ostinato) -> None:
    (project / "ostinato.yaml").write_text("name: shop\nmax_childern: 3\n")

    for command in (["run", "etl"], ["check"], ["runs"]):
        assert ostinato(*command, code=2).err == (
            "error: ostinato.yaml:2: unknown key 'max_childern' (did you mean 'max_children'?)\n"
        )


def test_unknown_run_and_task(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl")

    for arguments, line in [
        (["show", "etl#7"], "there is no run 'etl#7' (the newest is etl#1)"),
        (["logs", "nope"], "there is no run 'nope' (the newest is etl#1)"),
        (["show", "last", "extrat"], "flow 'etl' has no task 'extrat' (did you mean 'extract'?)"),
        (["show", "last", "double[9]"], "run etl#1 has no task run double[9]"),
        (["logs", "last", "extrat"], "flow 'etl' has no task 'extrat' (did you mean 'extract'?)"),
        (["resume", "etl"], "run etl#1 has ended: it is succeeded"),
        (["retry", "etl"], "nothing of run etl#1 failed: there is nothing to retry"),
        (["cancel", "etl"], "run etl#1 has ended: it is succeeded"),
    ]:
        assert ostinato(*arguments, code=2).err.startswith(f"error: {line}")


def test_without_a_project(folder: Path, ostinato: Ostinato) -> None:
    for arguments, line in [
        (["check"], "there is no ostinato.yaml in this folder or above (name a file"),
        (["run", "nightly"], "'nightly' is no file, and there is no ostinato.yaml in this folder"),
        (["show", "last"], "no run has been recorded outside of projects (go to its folder"),
    ]:
        assert ostinato(*arguments, code=2).err.startswith(f"error: {line}")
