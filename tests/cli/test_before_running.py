"""This module tests the commands before the first run: ``init``, ``check``, ``graph``."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Ostinato

pytestmark = pytest.mark.slow


def test_new_project_is_sound_and_runs(folder: Path, ostinato: Ostinato) -> None:
    made = ostinato("init", "my-shop")
    shop = folder / "my-shop"

    assert "made  my-shop/flows/hello.py\n" in made.out
    assert "cd my-shop && ostinato run hello" in made.out
    assert ostinato("check", cwd=shop).out == "1 flow, 3 tasks: no problems\n"
    ran = ostinato("run", "hello", "-p", 'names=["Alan"]', cwd=shop).out
    assert "join | Hello, Alan!" in ran
    assert (shop / ".gitignore").read_text().splitlines()[1] == ".ostinato/"
    assert (shop / "ostinato.yaml").read_text().splitlines()[1] == "name: my-shop"


def test_project_in_this_folder_keeps_what_is_there(folder: Path, ostinato: Ostinato) -> None:
    (folder / "README.md").write_text("mine")

    made = ostinato("init")

    assert "kept  README.md\n" in made.out
    assert (folder / "README.md").read_text() == "mine"
    assert made.out.endswith("Run it: ostinato run hello\n")


@pytest.mark.parametrize("name", ["true", "it's: odd #1", "42"])
def test_any_name_of_a_folder_gives_sound_settings(
    name: str, folder: Path, ostinato: Ostinato
) -> None:
    ostinato("init", name)

    assert ostinato("check", "--format", "json", cwd=folder / name).json["project"] == name


def test_sound_project_is_checked(project: Path, ostinato: Ostinato) -> None:
    assert ostinato("check").out == "2 flows, 8 tasks: no problems\n"
    assert ostinato("check", "flows/steps.py").out == "1 flow, 3 tasks: no problems\n"


PROBLEMS = """\
from ostinato import DAG, EmptyOperator

with DAG("a", schedule="0 0 30 2 *", executor="proces"):
    EmptyOperator(task_id="t", pool="dw", executor="nowhere")
    EmptyOperator(task_id="u", pool="api", pool_slots=3)
"""


def test_problems_are_listed_with_their_places(project: Path, ostinato: Ostinato) -> None:
    (project / "ostinato.yaml").write_text("pools: {api: 2}\n")
    (project / "flows" / "bad.py").write_text(PROBLEMS)
    (project / "flows" / "worse.py").write_text("\n1 / 0\n")

    text = ostinato("check", code=2)

    assert text.out.splitlines() == [
        "flows/bad.py:3: flow 'a': '0 0 30 2 *' is no schedule: Bad day-of-month",
        "flows/bad.py:3: flow 'a' asks for the executor 'proces', which does not exist "
        "(did you mean 'process'?)",
        "flows/bad.py:4: task 't' asks for the executor 'nowhere', which does not exist "
        "(there are process, thread, inline)",
        "flows/bad.py:4: task 't' asks for the pool 'dw', which does not exist "
        "(declare it under 'pools' in ostinato.yaml, or by ostinato pools set)",
        "flows/bad.py:5: task 'u' takes 3 slots of pool 'api' of 2 (it would never run)",
        "flows/worse.py:2: ZeroDivisionError: division by zero",
        "3 flows, 10 tasks: 6 problems",
    ]
    assert text.err == ""


def test_problems_as_json(project: Path, ostinato: Ostinato) -> None:
    (project / "flows" / "worse.py").write_text("\n1 / 0\n")

    result = ostinato("check", "--format", "json", code=2).json

    assert sorted(result["flows"]) == ["etl", "steps"]
    assert result["problems"] == [
        {
            "code": "load",
            "severity": "error",
            "file": "flows/worse.py",
            "line": 2,
            "column": 0,
            "message": "ZeroDivisionError: division by zero",
            "hint": "",
        }
    ]


def test_problems_as_annotations_of_github(project: Path, ostinato: Ostinato) -> None:
    (project / "flows" / "worse.py").write_text('raise ValueError("100%: a\\nb")\n')

    lines = ostinato("check", "--format", "github", code=2).out.splitlines()

    assert lines[0] == "::error file=flows/worse.py,line=1,title=load::ValueError: 100%25: a b"


def test_flow_is_drawn_as_text(project: Path, ostinato: Ostinato) -> None:
    assert ostinato("graph", "etl").out.splitlines() == [
        "etl  (@daily)",
        "  never",
        "  extract",
        "  double ×n  <- extract",  # noqa: RUF001 - it is the sign that is meant
        "  load  <- double",
        "  report/",
        "    draw  <- load",
    ]


def test_flow_is_drawn_for_mermaid_and_graphviz(project: Path, ostinato: Ostinato) -> None:
    mermaid = ostinato("graph", "steps", "--format", "mermaid").out
    dot = ostinato("graph", "steps", "--format", "dot").out

    assert mermaid.startswith('flowchart LR\n  t0["first"]\n')
    assert "  t1 --> t2\n" in mermaid
    assert dot.startswith('digraph "steps" {\n')
    assert '  "second" -> "third";\n' in dot


def test_definition_as_json(project: Path, ostinato: Ostinato) -> None:
    flow = json.loads(ostinato("graph", "etl", "--format", "json").out)

    assert flow["flow"] == "etl"
    assert list(flow["tasks"]) == [
        "never", "extract", "double", "load", "report.draw",
    ]  # fmt: skip
