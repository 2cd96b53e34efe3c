"""This module tests ``ostinato run``."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Ostinato

pytestmark = pytest.mark.slow


def test_single_file_runs_outside_of_projects(
    folder: Path, ostinato: Ostinato, environ: dict[str, str]
) -> None:
    (folder / "hello.py").write_text(
        "from ostinato import dag, task\n\n"
        "@dag\ndef hello():\n    @task\n    def say():\n        print('good day')\n    say()\n\n"
        "hello()\n"
    )

    first = ostinato("run", "hello.py")
    second = ostinato("run", "hello.py")

    assert "say | good day" in first.out
    assert re.search(r"✔ hello#1 succeeded in [\d.]+ m?s\n", first.out)
    assert f"kept in {environ['OSTINATO_HOME']}" in first.err
    assert second.err == ""


def test_lines_say_what_happens(project: Path, ostinato: Ostinato) -> None:
    result = ostinato("run", "etl")

    lines = [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in result.out.splitlines()]
    plain = [re.sub(r" in [\d.]+ m?s$", "", line) for line in lines]
    assert sorted(plain[:-1]) == [
        "double[0] succeeded",
        "double[1] succeeded",
        "double[2] succeeded",
        "extract succeeded",
        "extract | extracting 3",
        "load succeeded",
        "never skipped: nothing to do",
        "report.draw succeeded",
    ]
    assert plain[-1] == "✔ etl#1 succeeded"


@pytest.mark.parametrize(
    "target", ["etl", "flows/etl.py", "flows/etl.py:etl", ".:etl", "flows.etl", "flows.etl:etl"]
)
def test_targets(target: str, project: Path, ostinato: Ostinato) -> None:
    assert ostinato("run", target, "--format", "json").json["flow"] == "etl"


def test_json_is_all_that_is_printed(project: Path, ostinato: Ostinato) -> None:
    (project / "flows" / "etl.py").write_text(
        "print('loading')\n" + (project / "flows" / "etl.py").read_text()
    )

    result = ostinato("run", "etl", "-p", "rows=2", "--format", "json")

    run = result.json
    assert result.err == "loading\n"
    assert (run["name"], run["state"], run["trigger"]) == ("etl#1", "succeeded", "manual")
    assert run["params"] == {"rows": 2, "day": "2025-01-01", "bad_row": -1, "words": "x"}
    assert run["counts"] == {"succeeded": 5, "skipped": 1}
    assert run["tags"] == ["nightly"]
    assert run["failures"] == []


def test_failed_run_says_why_and_ends_with_1(project: Path, ostinato: Ostinato) -> None:
    result = ostinato("run", "etl", "-p", "bad_row=1", code=1)

    assert "double[1] failed: flows/etl.py:18: ValueError: row 1 is bad" in result.out
    assert "load upstream_failed" in result.out
    assert "✖ etl#1 failed in" in result.out
    assert 'raise ValueError(f"row {row} is bad")' in result.out
    assert "ostinato retry 'etl#1'" in result.out


def test_failures_are_in_the_json(project: Path, ostinato: Ostinato) -> None:
    run = ostinato("run", "etl", "-p", "bad_row=1", "--format", "json", code=1).json

    [failed] = run["failures"]
    assert run["state"] == "failed"
    assert (failed["task_id"], failed["map_path"]) == ("double", [1])
    assert failed["failure"]["message"] == "row 1 is bad"
    assert failed["failure"]["frames"][-1]["line"] == 18


def test_parameters_come_from_file_and_arguments(project: Path, ostinato: Ostinato) -> None:
    (project / "params.json").write_text(json.dumps({"rows": 5, "words": "from the file"}))

    run = ostinato(
        "run", "etl", "--params", "params.json", "-p", "rows=1", "-p", "day=2025-02-28",
        "--format", "json",
    ).json  # fmt: skip

    assert run["params"] == {
        "rows": 1, "day": "2025-02-28", "bad_row": -1, "words": "from the file",
    }  # fmt: skip


def test_selection_runs_a_part_with_values_of_an_earlier_run(
    project: Path, ostinato: Ostinato
) -> None:
    ostinato("run", "etl")

    run = ostinato("run", "etl", "--select", "report", "--format", "json").json

    assert run["counts"] == {"succeeded": 1}
    assert run["tags"] == ["nightly", "partial"]
    assert ostinato("show", "last", "report.draw", "--format", "json").json["values"][0][
        "content"
    ] == {"total": 6}


def test_failures_that_are_not_explained_are_counted(folder: Path, ostinato: Ostinato) -> None:
    (folder / "flow.py").write_text(
        "from ostinato import BashOperator, dag\n"
        "@dag\n"
        "def many():\n"
        "    for number in range(5):\n"
        "        BashOperator(task_id=f't{number}', bash_command='false')\n"
        "many()\n"
    )

    result = ostinato("run", "flow.py", code=1)

    assert "  and 2 more that failed: ostinato show 'many#1'\n" in result.out


def test_selections_add_up(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl")

    run = ostinato("run", "etl", "-s", "extract", "-s", "report", "--format", "json").json

    assert run["counts"] == {"succeeded": 2}


def test_what_was_changed_since_the_last_run_is_selected(folder: Path, ostinato: Ostinato) -> None:
    task = "from ostinato import task\n\n@task\ndef {name}({argument}):\n    return {value}\n"
    for name, argument in (("first", ""), ("second", "x"), ("third", "x")):
        text = task.format(name=name, argument=argument, value=1)
        (folder / f"{name}_task.py").write_text(text)
    (folder / "flow.py").write_text(
        "from first_task import first\nfrom second_task import second\n"
        "from third_task import third\nfrom ostinato import dag\n\n"
        "@dag\ndef chain():\n    third(second(first()))\n\nchain()\n"
    )
    select = ("run", "flow.py", "-s", "state:modified+", "--format", "json")
    assert "has no run that state: could be compared with" in ostinato(*select, code=2).err
    ostinato("run", "flow.py")
    assert "chooses no task (nothing has changed)" in ostinato(*select, code=2).err
    (folder / "flow.py").write_text((folder / "flow.py").read_text().replace("(second(", "(("))

    changed = ostinato(*select).json
    again = ostinato(*select, "--state", changed["name"], code=2)

    # All tasks are declared in the file that was changed, but one that is no longer there.
    assert changed["counts"] == {"succeeded": 2}
    assert "nothing has changed" in again.err


def test_date_is_midnight_in_the_flows_zone(project: Path, ostinato: Ostinato) -> None:
    (project / "ostinato.yaml").write_text("timezone: Europe/Berlin\n")

    run = ostinato("run", "etl", "--date", "2025-07-02", "--format", "json").json

    assert run["logical_date"] == "2025-07-01T22:00:00.000000+00:00"
    assert run["data_interval_start"] == "2025-06-30T22:00:00.000000+00:00"
    assert run["data_interval_end"] == run["logical_date"]


def test_range_of_dates_runs_each_day(project: Path, ostinato: Ostinato) -> None:
    runs = ostinato("run", "etl", "--date", "2025-02-27..2025-03-01", "--format", "json").json

    assert [run["logical_date"][:10] for run in runs] == ["2025-02-27", "2025-02-28", "2025-03-01"]
    assert [run["state"] for run in runs] == ["succeeded"] * 3


def test_range_of_dates_ends_with_the_first_that_fails(project: Path, ostinato: Ostinato) -> None:
    result = ostinato("run", "etl", "--date", "2025-02-27..2025-03-01", "-p", "bad_row=1", code=1)

    assert "✖ etl#1 failed" in result.out
    assert "etl#2" not in result.out
    assert "2 later dates not run" in result.err


def test_environment_holds(project: Path, ostinato: Ostinato) -> None:
    (project / "ostinato.yaml").write_text("environments:\n  prod:\n    store: {path: prod.db}\n")

    ostinato("run", "etl", "--environment", "prod")
    assert (project / "prod.db").exists()
    assert ostinato("runs", "--format", "json").json == []
    variables = {"OSTINATO_ENVIRONMENT": "prod"}
    assert len(ostinato("runs", "--format", "json", variables=variables).json) == 1


def test_broken_file_does_not_keep_another_flow_from_running(
    project: Path, ostinato: Ostinato
) -> None:
    (project / "flows" / "broken.py").write_text("1 / 0\n")

    result = ostinato("run", "etl")

    assert result.err == "warning: flows/broken.py:1: ZeroDivisionError: division by zero\n"


def test_problems_of_other_flows_are_counted_where_they_are_many(
    project: Path, ostinato: Ostinato
) -> None:
    for name in ("a", "b", "c"):
        (project / "flows" / f"{name}.py").write_text("1 / 0\n")

    result = ostinato("run", "etl")

    assert result.err == "warning: 3 problems elsewhere (see ostinato check)\n"


def test_flow_that_is_not_there_is_told_beside_what_could_not_be_loaded(
    project: Path, ostinato: Ostinato
) -> None:
    (project / "flows" / "broken.py").write_text("1 / 0\n")

    result = ostinato("run", "elt", code=2)

    assert result.err == (
        "error: flows/broken.py:1: ZeroDivisionError: division by zero\n"
        "error: there is no flow 'elt' in what could be loaded (did you mean 'etl'?)\n"
    )


def test_broken_folder_that_is_named_tells_of_itself_alone(
    project: Path, ostinato: Ostinato
) -> None:
    for name in ("first", "second"):
        (project / "flows" / name).mkdir()
        (project / "flows" / name / "METADATA.yml").write_text("description: shop\n")
        (project / "flows" / name / "task.yml").write_text("operator: bahs\n")

    result = ostinato("run", "first", code=2)

    assert result.err == (
        "error: flows/first/task.yml:1:1 F011 operator 'bahs' is unknown; did you mean 'bash'?\n"
    )


def test_data_folder_is_kept_out_of_repositories(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl")

    assert (project / ".ostinato" / ".gitignore").read_text() == "*\n"


def test_operator_stops_what_it_has_started_elsewhere(ostinato: Ostinato, folder: Path) -> None:
    (folder / "jobs.py").write_text(
        "import time\n"
        "from ostinato import DAG, Operator\n"
        "class Job(Operator):\n"
        "    def execute(self, context):\n"
        "        self.job = 'job-1'\n"
        "        time.sleep(60)\n"
        "    def on_kill(self):\n"
        "        print('stopped', self.job)\n"
        "with DAG('jobs') as jobs:\n"
        "    Job(task_id='job', timeout=0.2, retries=1)\n"
    )

    ended = ostinato("run", "jobs.py", code=1)

    assert ended.out.count("job | stopped job-1") == 2
    assert "longer than its timeout of 0.2 s" in ended.out
