"""This module tests ``ostinato diff``: what is different in another run."""

from pathlib import Path

import pytest

from tests.cli.conftest import Ostinato

pytestmark = pytest.mark.slow


def test_the_same_run_again_is_the_same(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl")
    ostinato("run", "etl")

    assert "nothing else is different" in ostinato("diff", "etl#1", "etl#2").out
    found = ostinato("diff", "etl#1", "etl#2", "--format", "json").json
    assert found["is_same"]
    assert found["task_runs"] == found["params"] == found["sources"] == []


def test_what_is_different_is_told(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl")
    file = project / "flows" / "etl.py"
    file.write_text(file.read_text().replace("row * 2", "row * 3"))
    ostinato("run", "etl", "-p", "rows=4", "-p", "bad_row=0", code=1)

    lines = ostinato("diff", "etl#1", "etl#2").out.splitlines()
    assert lines[0] == "etl#1 → etl#2"
    told = [" ".join(line.split()) for line in lines[1:]]
    assert "state succeeded → failed" in told
    assert "params bad_row: -1 → 0" in told
    assert "params rows: 3 → 4" in told
    assert "code flows/etl.py changed" in told
    assert "extract result [0,1,2] → [0,1,2,3]" in told
    assert "double[2] result 4 → 6" in told
    assert "double[3] only in etl#2: succeeded" in told
    assert any(line.startswith("double[0] succeeded → failed: flows/etl.py:") for line in told)
    assert any(line.startswith("load succeeded → upstream_failed") for line in told)

    found = ostinato("diff", "etl#1", "etl#2", "--format", "json").json
    assert not found["is_same"]
    by_name = {each["name"]: each for each in found["task_runs"]}
    assert [value["content"] for value in by_name["double[1]"]["values"]] == [2, 3]
    assert by_name["double[3]"]["first"] is None


def test_steps_are_compared(folder: Path, ostinato: Ostinato) -> None:
    (folder / "flows.py").write_text(FLOW)
    ostinato("run", "flows.py:sums", cwd=folder)
    ostinato("run", "flows.py:sums", "-p", "count=3", cwd=folder)

    told = ostinato("diff", "sums#1", "sums#2").out
    assert "only in sums#2: succeeded" in told
    assert "result 2 → 6" in " ".join(told.split())


FLOW = """
from ostinato import flow, task


@task
def double(number):
    return number * 2


@flow
def sums(count: int = 2):
    return sum(double(number) for number in range(count))
"""
