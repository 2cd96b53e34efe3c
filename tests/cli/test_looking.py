"""This module tests the commands that look at runs: ``runs``, ``show``, ``logs``."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Ostinato

pytestmark = pytest.mark.slow


def test_runs_are_listed_newest_first(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl")
    ostinato("run", "etl", "-p", "bad_row=0", code=1)
    ostinato("run", "steps")

    table = ostinato("runs").out.splitlines()
    assert [line.split("  ")[0] for line in table] == ["RUN", "steps#1", "etl#2", "etl#1"]
    assert "✖ failed" in table[2]

    def names(*options: str) -> list[str]:
        return [run["name"] for run in ostinato("runs", "--format", "json", *options).json]

    assert names() == ["steps#1", "etl#2", "etl#1"]
    assert names("--flow", "etl") == ["etl#2", "etl#1"]
    assert names("--state", "failed") == ["etl#2"]
    assert names("--state", "failed", "--state", "succeeded") == ["steps#1", "etl#2", "etl#1"]
    assert names("--tag", "nightly") == ["etl#2", "etl#1"]
    assert names("--limit", "1") == ["steps#1"]
    assert "… and more: --limit 2" in ostinato("runs", "--limit", "1").out
    assert ostinato("runs", "--flow", "nope").out == "no such runs\n"


def test_no_runs_are_an_empty_list(project: Path, ostinato: Ostinato) -> None:
    assert ostinato("runs", "--format", "json").out == "[]\n"
    assert ostinato("runs").out == "no run has been recorded in project 'shop'\n"


def test_run_is_shown_with_its_tasks(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl", "--date", "2025-01-02")

    shown = ostinato("show", "last").out

    assert shown.startswith("✔ etl#1 succeeded\n")
    assert "data interval  2025-01-01 00:00:00 up to 2025-01-02 00:00:00" in shown
    assert re.search(r"✔ extract +succeeded\n", shown)
    assert re.search(r"✔ double +3 succeeded\n", shown)
    assert re.search(r"⤼ never +skipped: nothing to do\n", shown)


def test_failed_run_is_shown_with_the_users_line(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl", "-p", "bad_row=1", code=1)

    shown = ostinato("show", "etl").out

    assert shown.startswith("✖ etl#1 failed: ")
    assert re.search(r"✖ double +2 succeeded, 1 failed\n", shown)
    assert "double[1]\n  ValueError: row 1 is bad\n    flows/etl.py:18 in" in shown
    assert 'raise ValueError(f"row {row} is bad")' in shown


def test_run_as_json(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl", "-p", "bad_row=1", code=1)

    run = ostinato("show", "last", "--format", "json").json

    states = {(t["task_id"], *t["map_path"]): t["state"] for t in run["task_runs"]}
    assert states["extract",] == "succeeded"
    assert states["double", 1] == "failed"
    assert states["report.draw",] == "upstream_failed"
    assert run["counts"] == {"succeeded": 3, "failed": 1, "upstream_failed": 2, "skipped": 1}


def test_names_of_runs(project: Path, ostinato: Ostinato) -> None:
    run = ostinato("run", "etl", "--format", "json").json

    for name in ("last", "etl", "etl#1", run["id"]):
        assert ostinato("show", name, "--format", "json").json["id"] == run["id"]
    assert (
        ostinato("show", "last", "--project", "flows", "--format", "json").json["name"] == "etl#1"
    )


def test_run_that_is_not_named_is_the_last_one(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "steps")
    ostinato("run", "etl")

    assert ostinato("show").out == ostinato("show", "last").out
    assert ostinato("show", "--format", "json").json["name"] == "etl#1"
    assert ostinato("logs").out == ostinato("logs", "last").out != ""


def test_task_is_shown_with_its_task_runs(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl", "-p", "bad_row=1", code=1)

    shown = ostinato("show", "last", "double").out

    assert shown.startswith("double: 3 task runs\n  ✖ double[1]  failed")
    assert "flows/etl.py:18: ValueError: row 1 is bad" in shown
    assert "One of them: ostinato show 'etl#1' 'double[1]'" in shown


def test_task_run_is_shown_with_inputs_result_and_attempts(
    project: Path, ostinato: Ostinato
) -> None:
    flow = project / "flows" / "etl.py"
    flow.write_text(
        flow.read_text().replace(
            "    @task\n    def double", "    @task(retries=1)\n    def double"
        )
    )
    ostinato("run", "etl", "-p", "bad_row=1", code=1)

    good, bad = ostinato("show", "last", "double[2]").out, ostinato("show", "last", "double[1]").out

    assert good.startswith("✔ double[2] succeeded\n")
    assert "result   4\n" in good
    assert '"row":2' in good
    assert bad.startswith("✖ double[1] failed\n")
    assert "attempt  2\n" in bad
    assert re.search(r"earlier attempts\n    1 failed in .*: flows/etl.py:18: ValueError", bad)
    data = ostinato("show", "last", "double[1]", "--format", "json").json
    assert [a["attempt"] for a in data["task_runs"][0]["earlier_attempts"]] == [1]
    assert data["values"] == []


def test_value_that_is_no_json_is_described(project: Path, ostinato: Ostinato) -> None:
    (project / "flows" / "odd.py").write_text(
        "from ostinato import dag, task\n\n"
        "@dag\ndef odd():\n    @task\n    def a_set():\n        return {1, 2}\n    a_set()\n\n"
        "odd()\n"
    )
    ostinato("run", "odd")

    assert "result   set, pickle of" in ostinato("show", "last", "a_set").out
    [value] = ostinato("show", "last", "a_set", "--format", "json").json["values"]
    assert (value["format"], value["type_name"]) == ("pickle", "set")
    assert "content" not in value


def test_logs_are_printed_in_order(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl", "-p", "bad_row=1", code=1)

    all_lines = ostinato("logs", "last").out.splitlines()
    of_task = ostinato("logs", "last", "extract").out.splitlines()
    of_task_run = ostinato("logs", "last", "double[1]").out.splitlines()

    assert any(line.endswith(" extract | extracting 3") for line in all_lines)
    assert [line[9:] for line in of_task] == ["extracting 3"]
    assert len(of_task_run) == 1
    assert of_task_run[0].endswith("ValueError: row 1 is bad")
    assert ostinato("logs", "last", "double[0]").out == ""


def test_logs_as_json_lines(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl")

    [line] = map(json.loads, ostinato("logs", "last", "--format", "json").out.splitlines())

    assert (line["task_run"], line["attempt"], line["seq"]) == ("extract", 1, 1)
    assert (line["source"], line["message"]) == ("stdout", "extracting 3")


def test_logs_of_one_attempt(project: Path, ostinato: Ostinato) -> None:
    flow = project / "flows" / "etl.py"
    flow.write_text(
        flow.read_text().replace(
            "    @task\n    def double", "    @task(retries=1)\n    def double"
        )
    )
    ostinato("run", "etl", "-p", "bad_row=1", code=1)

    assert len(ostinato("logs", "last", "double[1]").out.splitlines()) == 2
    assert len(ostinato("logs", "last", "double[1]", "--attempt", "2").out.splitlines()) == 1


def test_log_of_an_ended_run_can_be_followed_to_its_end(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl")

    assert "extracting 3" in ostinato("logs", "last", "--follow").out
