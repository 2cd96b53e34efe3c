"""Tests of the commands that make, show and describe files of flows."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Ostinato


@pytest.fixture
def project(folder: Path, ostinato: Ostinato) -> Path:
    """A project with a flow that `ostinato new` has made."""
    ostinato("init", ".")
    ostinato("new", "flow", "shop")
    return folder


def test_a_new_flow_is_sound_and_runs(project: Path, ostinato: Ostinato) -> None:
    assert ostinato("check").out.splitlines()[-1] == "2 flows, 4 tasks: no problems"
    assert "hello from shop, for" in ostinato("run", "shop").out


def test_a_new_task_says_how_it_is_run(project: Path, ostinato: Ostinato) -> None:
    made = ostinato("new", "task", "flows/shop/raw/orders.py")

    assert made.out.splitlines() == [
        "made  flows/shop/raw/orders.py",
        "Run it: ostinato run shop -s raw/orders.py",
    ]


@pytest.mark.slow
def test_new_tasks_of_each_type_run_as_they_are(project: Path, ostinato: Ostinato) -> None:
    (project / "ostinato.yaml").write_text("connections: {shop: 'duckdb:///shop.duckdb'}\n")
    for suffix in (".yml", ".sql", ".py", ".sh", ".ipynb"):
        ostinato("new", "task", f"flows/shop/of_{suffix[1:]}{suffix}")

    run = ostinato("run", "shop", "--format", "json").json

    assert ostinato("check").out.endswith("no problems\n")
    assert run["counts"] == {"succeeded": 6}


def test_a_new_query_says_where_it_is_executed(project: Path, ostinato: Ostinato) -> None:
    alone = ostinato("new", "task", "flows/shop/alone.sql").out
    metadata = project / "flows/shop/METADATA.yml"
    metadata.write_text(f"connection: shop\n{metadata.read_text()}")
    inherited = ostinato("new", "task", "flows/shop/inherited.sql").out

    assert "Say where: ostinato connections set warehouse duckdb:///warehouse.duckdb" in alone
    assert "Say where" not in inherited
    assert "\nconnection:" not in (project / "flows/shop/inherited.sql").read_text()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ["task", "flows/shop/notes.txt"],
            "no task is made of 'notes.txt' "
            "(there are .yml, .yaml, .sql, .py, .sh, .r, .js, .ipynb)",
        ),
        (
            ["task", "flows/shop/orders.sqll"],
            "no task is made of 'orders.sqll' (did you mean '.sql'?)",
        ),
        (
            ["task", "flows/shop/hello.yml"],
            "flows/shop/hello.yml is there already (name another one)",
        ),
        (
            ["task", "flows/other/a.sql"],
            "flows/other lies in no folder that is a flow (ostinato new flow NAME makes one)",
        ),
        (["flow", "shop"], "flows/shop is there already (name another one)"),
        (
            ["flow", "my shop"],
            "'my shop' makes no id (use letters, digits, '_', '-' and '.'; names that begin with "
            "'_' or '.' are ignored)",
        ),
    ],
)
def test_what_cannot_be_made_is_told(
    arguments: list[str], problem: str, project: Path, ostinato: Ostinato
) -> None:
    before = sorted(project.rglob("*"))

    assert ostinato("new", *arguments, code=2).err == f"error: {problem}\n"
    assert sorted(project.rglob("*")) == before


def test_a_file_is_rendered_as_its_task_would_find_it(project: Path, ostinato: Ostinato) -> None:
    (project / "flows/shop/METADATA.yml").write_text("params: {limit: 3}\nschedule: '@daily'\n")
    (project / "flows/shop/top.sql").write_text(
        "---\noperator: sql\nconn_id: shop\ndependencies: [hello]\n---\n\n"
        "SELECT *\nFROM orders\nWHERE day = '{{ ds }}' LIMIT {{ params.limit }}\n"
    )
    command = ("render", "flows/shop/top.sql", "--date", "2025-01-31")

    assert ostinato(*command).out == (
        "task: top\nflow: shop\noperator: SqlOperator\nfile: flows/shop/top.sql\nupstream:\n"
        "- hello\nsql: |-\n  SELECT *\n  FROM orders\n  WHERE day = '2025-01-31' LIMIT 3\n"
        "conn_id: shop\n"
    )
    assert ostinato(*command, "--field", "sql", "-p", "limit=9").out == (
        "SELECT *\nFROM orders\nWHERE day = '2025-01-31' LIMIT 9\n"
    )
    assert ostinato(*command, "--format", "json").json[0]["fields"]["conn_id"] == "shop"
    assert ostinato(*command, "--field", "sqll", code=2).err == (
        "error: task 'top' has no field 'sqll' (did you mean 'sql'?)\n"
    )


def test_results_and_secrets_stand_there_as_such(project: Path, ostinato: Ostinato) -> None:
    (project / "flows/shop/secret.yml").write_text(
        "operator: bash\nbash_command: login {{ var.value.api_password }}\n"
    )
    variables = {"OSTINATO_VAR_API_PASSWORD": "tiger-1234"}

    shown = ostinato("render", "flows/shop/secret.yml", variables=variables).out
    functions = ostinato("render", "flows/hello.py").out

    assert "bash_command: login ***\n" in shown
    assert "greetings: <result of greet>\n" in functions
    assert "name: <result of people>[0]\n" in functions


def test_a_file_without_a_task_is_told(project: Path, ostinato: Ostinato) -> None:
    assert ostinato("render", "README.md", code=2).err == (
        "error: README.md holds no task (a task's file lies in a folder with METADATA.yml)\n"
    )


def test_the_schema_knows_the_operators_of_the_project(project: Path, ostinato: Ostinato) -> None:
    (project / "operators").mkdir()
    (project / "operators" / "hello_operator.py").write_text(
        "raise SystemExit('it is read, and not imported')\n\n\n"
        'class HelloOperator:\n    """Greet.\n\n    Args:\n        name: Whom.\n    """\n\n'
        "    def __init__(self, task_id, name, **policies):\n        pass\n"
    )

    schema = json.loads(ostinato("schema").out)
    metadata = json.loads(ostinato("schema", "metadata").out)

    known = schema["properties"]["operator"]["anyOf"][0]["enum"]
    assert {"bash", "BashOperator", "local.HelloOperator", "sql"} <= set(known)
    hello = next(
        each
        for each in schema["allOf"]
        if each["if"]["properties"]["operator"]["enum"] == ["local.HelloOperator"]
    )
    assert hello["then"]["properties"]["name"] == {"description": "Whom."}
    assert "schedule" in metadata["properties"]


def test_a_schema_is_written_where_an_editor_looks_for_it(
    project: Path, ostinato: Ostinato
) -> None:
    ostinato("schema", "metadata", "-o", ".vscode/metadata.json")

    assert json.loads((project / ".vscode/metadata.json").read_text())["type"] == "object"
