"""This module tests flows that run others, in processes of their own."""

from pathlib import Path

import pytest

from tests.cli.conftest import Ostinato

pytestmark = pytest.mark.slow

FLOWS = """
from ostinato import DAG, ExternalTaskSensor, PythonOperator, TriggerRunOperator

with DAG("parent") as parent:
    ask = TriggerRunOperator(
        task_id="ask", flow="child", logical_date="{{ ts }}", conf={"n": 5},
        wait_for_completion=True,
    )
    ask >> ExternalTaskSensor(task_id="look", external_dag_id="child", external_task_id="work")
    TriggerRunOperator(task_id="forget", flow="child")

def work(params):
    print("working on", params["n"])

with DAG("child", params={"n": 1}) as child:
    PythonOperator(task_id="work", python_callable=work)
"""


@pytest.mark.parametrize("select", [[], ["--select", "ask+,forget"]])
def test_flow_runs_another_one_of_its_file(
    select: list[str], folder: Path, ostinato: Ostinato
) -> None:
    (folder / "flows.py").write_text(FLOWS)

    ran = ostinato("run", "flows.py:parent", *select, "--format", "json").json
    shown = ostinato("runs", "--format", "json").json

    assert ran["state"] == "succeeded"
    states = {(each["flow"], each["number"], each["state"], each["trigger"]) for each in shown}
    assert states == {
        ("parent", 1, "succeeded", "manual"),
        ("child", 1, "succeeded", "task"),
        ("child", 2, "succeeded", "task"),
    }
    assert "working on 5" in ostinato("logs", "child#1").out + ostinato("logs", "child#2").out


def test_flow_that_waits_for_what_it_started_leaves_room_for_it(
    folder: Path, ostinato: Ostinato
) -> None:
    (folder / "ostinato.yaml").write_text("name: narrow\nmax_children: 1\n")
    (folder / "flows.py").write_text("""
from ostinato import flow

@flow
def child(n: int):
    return n

@flow
def nested(n: int):
    return child.start(n=n).wait().result()

@flow
def parent():
    found = [child.start(n=n).wait(n * 30 or None).result() for n in range(3)]
    return [*found, nested(3)]
""")

    ran = ostinato("run", "flows.py:parent", "--format", "json").json

    assert ran["state"] == "succeeded"
