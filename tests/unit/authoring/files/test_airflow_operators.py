"""This module tests operators of Airflow's own; a package with its shape stands in for Airflow."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostinato import folder_flow, testing
from tests.unit.authoring.files.folders import write
from tests.unit.authoring.files.test_building_problems import problems_of

AIRFLOW = {
    "airflow/__init__.py": "",
    "airflow/sdk/__init__.py": "",
    "airflow/sdk/bases/__init__.py": "",
    "airflow/sdk/bases/operator.py": (
        "class ExecutorSafeguard:\n"
        "    sentinel_value = object()\n"
        "class BaseOperator:\n"
        "    template_fields = ()\n"
        "    def __init__(self, *, task_id, retries=0, **kwargs):\n"
        "        if kwargs:\n"
        "            raise TypeError(f'Invalid arguments {sorted(kwargs)}')\n"
        "        self.task_id = task_id\n"
    ),
    "airflow/things.py": (
        "from airflow.sdk.bases.operator import BaseOperator, ExecutorSafeguard\n"
        "class AirflowSkipException(Exception): pass\n"
        "class SpeakOperator(BaseOperator):\n"
        "    template_fields = ('word',)\n"
        "    def __init__(self, *, word, **kwargs):\n"
        "        super().__init__(**kwargs)\n"
        "        self.word = word\n"
        "    def execute(self, context, SpeakOperator__sentinel=None):\n"
        "        assert SpeakOperator__sentinel is ExecutorSafeguard.sentinel_value\n"
        "        if self.word == 'nothing':\n"
        "            raise AirflowSkipException('there is nothing to say')\n"
        "        return f\"{self.word} on {context['ds']}\"\n"
    ),
}


@pytest.fixture(autouse=True)
def _airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    write(tmp_path, AIRFLOW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [*sys.modules]:
        if name.split(".")[0] == "airflow":
            del sys.modules[name]


def test_operator_of_airflow_is_executed(tmp_path: Path) -> None:
    text = "operator: airflow.things.SpeakOperator\nword: '{{ dag_id }}'\nretries: 2\nqqq: 3"
    write(tmp_path / "flow", {"a.yml": text})

    flow = folder_flow(tmp_path / "flow")

    task = json.loads(flow.to_json())["tasks"]["a"]
    assert (task["operator"], task["retries"]) == ("SpeakOperator", 2)
    assert [str(each) for each in flow.folder.warnings] == [
        "flow/a.yml:4:1 F013 SpeakOperator takes no argument 'qqq'"
    ]
    result = testing.run(flow, date="2025-01-31")
    assert result.result("a") == "flow on 2025-01-31"


def test_operator_of_airflow_can_skip_its_task(tmp_path: Path) -> None:
    text = "operator: airflow.things.SpeakOperator\nword: nothing"
    write(tmp_path / "flow", {"a.yml": text})

    result = testing.run(folder_flow(tmp_path / "flow"))

    assert result.states["a"] == "skipped"


def test_operator_of_airflow_refuses_its_arguments(tmp_path: Path) -> None:
    write(tmp_path / "flow", {"a.yml": "operator: airflow.things.SpeakOperator"})

    (found,) = problems_of(tmp_path / "flow")

    assert found.startswith("flow/a.yml:1:1 F026 SpeakOperator refuses its arguments: TypeError")
    assert "'word'" in found
