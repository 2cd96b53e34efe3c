"""This module tests flows that are folders, made in Python."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import ostinato.gusty
from ostinato import (
    DAG,
    FileArrival,
    FileSensor,
    TaskGroup,
    Webhook,
    folder_flow,
    task,
    testing,
)
from ostinato.authoring.files.building import FolderOrigin
from ostinato.errors import FolderProblems, InvalidArgument
from tests.unit.authoring.files.folders import write

SHOP = {
    "METADATA.yml": "description: All that is sold\ntags: [shop]\ndefault_args: {retries: 2}",
    "orders.yml": "operator: bash\nbash_command: echo {{ ds }}",
    "marts/METADATA.yml": "tooltip: For people",
    "marts/revenue.py": "# ---\n# python_callable: add\n# dependencies: [orders]\n# ---\n"
    "def add():\n    return 1\n",
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    write(tmp_path / "shop", SHOP)
    return tmp_path / "shop"


def upstream(flow: DAG) -> dict[str, list[str]]:
    """Return what each task waits for."""
    tasks: dict[str, Any] = json.loads(flow.to_json())["tasks"]
    return {name: task["upstream"] for name, task in tasks.items()}


def test_folder_is_a_flow_with_its_origin(shop: Path) -> None:
    flow = folder_flow(shop)

    assert upstream(flow) == {"orders": [], "revenue": ["orders"]}
    assert isinstance(flow.folder, FolderOrigin)
    assert flow.folder.path == str(shop)
    assert {Path(path).name for path in flow.folder.digests} == {
        "METADATA.yml", "orders.yml", "revenue.py",
    }  # fmt: skip


def test_flow_as_json(shop: Path) -> None:
    found = json.loads(folder_flow(shop, schedule="@daily").to_json())

    assert found == {
        "flow": "shop",
        "schedule": "@daily",
        "tags": ["shop"],
        "tasks": {
            "orders": {
                "operator": "BashOperator",
                "upstream": [],
                "group": None,
                "trigger_rule": "all_success",
                "retries": 2,
                "params": {
                    "bash_command": "echo {{ ds }}",
                    "append_env": False,
                    "skip_on_exit_code": [99],
                },
            },
            "revenue": {
                "operator": "PythonOperator",
                "upstream": ["orders"],
                "group": "marts",
                "trigger_rule": "all_success",
                "retries": 2,
                "params": {"multiple_outputs": False, "python_callable": "add"},
            },
        },
        "groups": {"marts": {"tooltip": "For people", "tasks": ["revenue"]}},
        "parameters": [],
    }


def test_decorated_tasks_and_operators_mix_with_files(shop: Path) -> None:
    @task
    def report(total: int) -> None:
        print(total)

    with folder_flow(shop) as flow:
        sent = report(flow.operators["revenue"].output)
        FileSensor(task_id="wait", filepath="x") >> flow.operators["orders"]
        with TaskGroup("after") as after:
            FileSensor(task_id="done", filepath="y")
        sent >> after

    assert upstream(flow) == {
        "orders": ["wait"],
        "revenue": ["orders"],
        "report": ["revenue"],
        "wait": [],
        "after.done": ["report"],
    }


def test_task_knows_the_line_of_its_file(shop: Path) -> None:
    flow = folder_flow(shop)

    places = {task.id: task.source for task in flow.definition.tasks}
    assert places["orders"].file.endswith("shop/orders.yml")
    assert places["orders"].line == 1
    assert places["revenue"].file.endswith("shop/marts/revenue.py")


def test_relative_path_is_from_the_file_that_calls(shop: Path) -> None:
    source = "from ostinato import folder_flow\nflow = folder_flow('shop')\n"
    names: dict[str, Any] = {}

    exec(compile(source, str(shop.parent / "flows.py"), "exec"), names)

    assert names["flow"].name == "shop"


def test_create_dag_checks_for_the_newest_run_by_default(shop: Path) -> None:
    flow = ostinato.gusty.create_dag(str(shop) + "/")

    assert upstream(flow)["orders"] == ["latest_only"]


def test_create_dag_takes_the_types_that_gusty_knows_only(shop: Path) -> None:
    write(shop, {"more.sh": "#!/bin/sh\necho hi\n"})

    assert "more" not in ostinato.gusty.create_dag(shop).operators


def test_create_dags_makes_a_flow_of_every_folder(tmp_path: Path) -> None:
    write(tmp_path / "one", {"a.yml": "operator: empty"})
    write(tmp_path / "two", {"a.yml": "operator: empty"})
    write(tmp_path / "__pycache__", {"a.yml": "operator: empty"})
    (tmp_path / "file.txt").write_text("")
    found: dict[str, Any] = {}

    ostinato.gusty.create_dags(tmp_path, found, latest_only=False)

    assert sorted(found) == ["one", "two"]
    assert upstream(found["one"]) == {"a": []}


def test_create_dags_makes_the_one_that_is_wanted(tmp_path: Path) -> None:
    write(tmp_path / "one", {"a.yml": "operator: empty"})
    write(tmp_path / "two", {"a.yml": "operator: empty"})
    found: dict[str, Any] = {}

    ostinato.gusty.create_dags(str(tmp_path), found, concurrent=True, current_dag_id="two")

    assert sorted(found) == ["two"]


def test_folders_of_one_name_are_different_groups(tmp_path: Path) -> None:
    write(
        tmp_path / "flow",
        {
            "a/x/one.yml": "operator: empty",
            "b/x/two.yml": "operator: empty\ndependencies: [one]",
            "x/three.yml": "operator: empty",
            "x/x/four.yml": "operator: empty",
            "flow/five.yml": "operator: empty",
        },
    )

    flow = folder_flow(tmp_path / "flow")

    groups = {task.id: task.group for task in flow.definition.tasks}
    assert groups == {"one": "a.x", "two": "b.x", "five": "flow", "three": "x", "four": "x.x"}


def test_macros_and_constructors_can_be_used_when_the_task_runs(tmp_path: Path) -> None:
    def double(n: int) -> int:
        return n * 2

    write(tmp_path / "flow", {"a.yml": "operator: bash\nbash_command: echo {{ double(2) }}"})

    flow = folder_flow(tmp_path / "flow", dag_constructors=[double])

    assert flow.templates.macros["double"] is double


def test_all_mistakes_are_in_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "flow", {"a.yml": "operator: bahs", "b.yml": "retries: 3"})

    with pytest.raises(FolderProblems) as raised:
        folder_flow(tmp_path / "flow")

    assert str(raised.value) == (
        "flow 'flow' has 2 errors:\n"
        "  flow/a.yml:1:1 F011 operator 'bahs' is unknown; did you mean 'bash'?\n"
        "  flow/b.yml:1:1 F010 'b' names no operator; add a line such as operator: bash"
    )


def test_function_of_a_file_runs_in_another_python(tmp_path: Path) -> None:
    text = (
        "# ---\n# operator: airflow.operators.python.ExternalPythonOperator\n"
        f"# python: {sys.executable}\n# python_callable: add\n# op_kwargs: {{n: 2}}\n# ---\n"
        "import nowhere_at_all\n\n\ndef add(n):\n    return n + 1\n"
    )
    write(tmp_path / "flow", {"a.py": text})

    run = testing.run(folder_flow(tmp_path / "flow"))

    assert run.result("a") == 3


def test_older_words_of_airflow_are_understood(tmp_path: Path) -> None:
    text = (
        "operator: airflow.providers.sqlite.operators.sqlite.SqliteOperator\n"
        "sqlite_conn_id: db\nsql: select 1\ntrigger_rule: none_failed_or_skipped\n"
    )
    write(tmp_path / "flow", {"a.yml": text})

    flow = folder_flow(tmp_path / "flow")

    task = json.loads(flow.to_json())["tasks"]["a"]
    assert task["params"]["conn_id"] == "db"
    assert task["trigger_rule"] == "none_failed_min_one_success"
    assert flow.folder.warnings == ()


def test_connection_of_metadata_is_that_of_operators_that_name_none(tmp_path: Path) -> None:
    write(
        tmp_path / "flow",
        {
            "METADATA.yml": "connection: db",
            "a.yml": "operator: sql\nsql: select 1",
            "g/METADATA.yml": "connection: other",
            "g/b.yml": "operator: sql\nsql: select 1",
            "g/c.yml": "operator: sql\nsql: select 1\nconn_id: own",
        },
    )

    tasks = json.loads(folder_flow(tmp_path / "flow").to_json())["tasks"]

    found = {name: task["params"]["conn_id"] for name, task in tasks.items()}
    assert found == {"a": "db", "b": "other", "c": "own"}


def test_folder_says_whose_messages_start_it(tmp_path: Path) -> None:
    metadata = "events:\n- webhook: orders\n- files: in/*.csv\n  stable_for_s: 5\n"
    write(tmp_path / "flow", {"METADATA.yml": metadata, "a.py": "print(1)"})

    on = folder_flow(tmp_path / "flow").definition.on

    assert on == (Webhook("orders"), FileArrival("in/*.csv", 5.0))


def test_source_of_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    write(tmp_path / "flow", {"METADATA.yml": "events:\n- webhok: orders\n", "a.py": "print(1)"})

    with pytest.raises((FolderProblems, InvalidArgument), match="did you mean 'webhook'"):
        folder_flow(tmp_path / "flow")


def test_operator_may_be_a_function_that_makes_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = (
        "from ostinato import EmptyOperator, TaskGroup\n"
        "def pair(task_id, count=2, **policies):\n"
        "    with TaskGroup(task_id) as group:\n"
        "        for number in range(count):\n"
        "            EmptyOperator(task_id=f'part_{number}', **policies)\n"
        "    return group\n"
    )
    write(tmp_path, {"parts_of_flows.py": source})
    monkeypatch.syspath_prepend(str(tmp_path))
    write(
        tmp_path / "flow",
        {
            "a.yml": "operator: parts_of_flows.pair\ncount: 3\nretries: 2",
            "b.yml": "operator: empty\ndependencies: [a]",
        },
    )

    flow = folder_flow(tmp_path / "flow")

    assert upstream(flow)["b"] == ["a.part_0", "a.part_1", "a.part_2"]
    assert flow.operators["a.part_0"].policy.retries == 2


def test_operators_may_lie_above_the_folder(tmp_path: Path) -> None:
    source = "from ostinato import EmptyOperator\nclass RestOperator(EmptyOperator):\n    pass\n"
    write(tmp_path, {"operators/rest_operator.py": source})
    write(tmp_path / "dags" / "flow", {"a.yml": "operator: local.RestOperator"})

    flow = folder_flow(tmp_path / "dags" / "flow")

    assert type(flow.operators["a"]).__name__ == "RestOperator"


def test_task_may_be_called_like_a_group_somewhere_else(tmp_path: Path) -> None:
    write(
        tmp_path / "flow",
        {
            "raw/a.yml": "operator: empty",
            "marts/raw.yml": "operator: empty\ndependencies: [a]",
            "marts/b.yml": "operator: empty\ndependencies: [raw]",
            "c.yml": "operator: empty\ndependencies: [raw]",
        },
    )

    flow = folder_flow(tmp_path / "flow")

    assert upstream(flow) == {"c": ["a"], "b": ["raw"], "raw": ["a"], "a": []}
    assert testing.run(flow).states == dict.fromkeys(["a", "raw", "b", "c"], "succeeded")
