"""This module tests runs that wait: for a person, for a trigger, over the end of a process."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ostinato

Begin = Callable[..., "subprocess.Popen[str]"]

#: Seconds after which a test gives up.
PATIENCE_S = 30.0

FLOW = """
import asyncio
from pathlib import Path

from ostinato import DAG, ApprovalOperator, Defer, InputOperator, Operator, Trigger


class Appears(Trigger):
    path: str

    async def run(self):
        while not Path(self.path).exists():
            await asyncio.sleep(0.05)
        return Path(self.path).read_text()


class Wait(Operator):
    def execute(self, context):
        raise Defer(trigger=Appears(path="signal.txt"))

    def execute_complete(self, context, event):
        return event


with DAG("ask") as ask:
    ApprovalOperator(task_id="release", title="Release it?", message="All of it.") >> [
        InputOperator(task_id="rows", title="How many rows?", schema=int)
    ]

with DAG("wait") as wait:
    Wait("file")
"""


@pytest.fixture
def flows(folder: Path) -> Path:
    (folder / "ostinato.yaml").write_text("name: shop\n")
    (folder / "flows").mkdir()
    (folder / "flows" / "waiting.py").write_text(FLOW)
    return folder


def wait_until(look: Callable[[], Any]) -> Any:
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it never came")


def inputs(ostinato: Ostinato) -> list[str]:
    return [one["task_id"] for one in ostinato("inputs", "--format", "json").json]


def recorded(folder: Path) -> bool:
    return (folder / ".ostinato" / "store.db").exists()


def test_person_approves_and_answers_a_run_of_another_process(
    ostinato: Ostinato, begin: Begin, flows: Path
) -> None:
    process = begin("run", "ask", "--format", "json")
    wait_until(lambda: recorded(flows) and inputs(ostinato) == ["release"])

    asked = ostinato("inputs", "ask#1").out
    shown = ostinato("show", "ask").out
    ostinato("answer", "ask", "release", "--approve", "--by", "ann")
    wait_until(lambda: inputs(ostinato) == ["rows"])
    wrong = ostinato("answer", "ask", "rows", "many", code=2)
    broken = ostinato("answer", "ask", "rows", '{"rows": 5', code=2)
    ostinato("answer", "ask", "rows", "5")

    out, _ = process.communicate(timeout=PATIENCE_S)
    assert "ask#1 release: Release it?" in asked
    assert "takes boolean" in asked
    assert "deferred: waits for a person: Release it?" in shown
    assert "'rows' asks 'How many rows?': 'many' is not an integer (it takes integer)" in wrong.err
    assert "'How many rows?': the answer is no JSON" in broken.err
    assert "ostinato answer 'ask#1' release --approve" in asked
    assert json.loads(out)["state"] == "succeeded"
    assert content(ostinato, "ask", "rows") == 5
    assert "✔ release  succeeded: answered by ann" in ostinato("show", "ask").out
    assert "nothing waits for a person" in ostinato("inputs").out
    assert "does not wait for an answer" in ostinato("answer", "ask", "rows", "5", code=2).err


def test_wait_for_a_person_outlives_its_process(
    ostinato: Ostinato, begin: Begin, flows: Path
) -> None:
    process = begin("run", "ask")
    wait_until(lambda: recorded(flows) and inputs(ostinato))
    process.kill()
    process.communicate()

    said = ostinato("answer", "ask", "release", "--reject").out
    ostinato("resume", "ask")

    assert "ostinato resume 'ask#1' goes on with it" in said
    shown = ostinato("show", "ask", "--format", "json").json["task_runs"]
    states = {each["task_id"]: each["state"] for each in shown}
    assert states == {"release": "succeeded", "rows": "skipped"}


def test_trigger_starts_again_after_the_coordinator_was_killed(
    ostinato: Ostinato, begin: Begin, flows: Path
) -> None:
    process = begin("run", "wait")
    wait_until(lambda: recorded(flows) and is_deferred(ostinato))
    process.kill()
    process.communicate()
    (flows / "signal.txt").write_text("here")

    ostinato("resume", "wait")

    assert content(ostinato, "wait", "file") == "here"


def content(ostinato: Ostinato, run: str, task: str) -> Any:
    return ostinato("show", run, task, "--format", "json").json["values"][0]["content"]


def is_deferred(ostinato: Ostinato) -> bool:
    shown = ostinato("runs", "--format", "json").json
    return bool(shown) and "deferred" in ostinato("show", "wait", "--format", "json").out
