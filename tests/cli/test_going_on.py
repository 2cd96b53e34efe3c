"""This module tests what happens to runs that are interrupted, cancelled and taken up again."""

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import TIMEOUT_S, Ostinato

pytestmark = pytest.mark.slow

Begin = Callable[..., "subprocess.Popen[str]"]


def wait_until_started(project: Path) -> None:
    """Return when the second task has begun: it opens a pipe, which this opens too."""
    (project / "started").read_text()


@pytest.fixture
def pipe(project: Path) -> Path:
    """The pipe that makes the second task wait."""
    os.mkfifo(project / "started")
    return project / "started"


def ledger(project: Path) -> list[str]:
    return (project / "ledger.txt").read_text().split()


def interrupted(project: Path, begin: Begin, pipe: Path) -> None:
    """Leave a run whose process was killed while its second task ran."""
    process = begin("run", "steps")
    wait_until_started(project)
    process.kill()
    process.communicate(timeout=TIMEOUT_S)
    pipe.unlink()


def test_killed_run_is_resumed_and_what_was_recorded_is_not_run_again(
    project: Path, pipe: Path, begin: Begin, ostinato: Ostinato
) -> None:
    interrupted(project, begin, pipe)
    listed = ostinato("runs").out

    result = ostinato("resume", "steps")

    assert "◐ running" in listed
    assert "interrupted: resume goes on" in listed
    assert ledger(project) == ["first", "second", "second", "third"]
    assert "first succeeded" not in result.out
    assert re.search(r"✔ steps#1 succeeded", result.out)
    assert result.err == ""


def test_resume_from_another_folder(
    project: Path, pipe: Path, begin: Begin, ostinato: Ostinato, tmp_path: Path
) -> None:
    interrupted(project, begin, pipe)

    result = ostinato("resume", "last", "--project", str(project), "--format", "json", cwd=tmp_path)

    assert result.json["state"] == "succeeded"


def test_resume_goes_on_with_changed_code_of_the_same_shape(
    project: Path, pipe: Path, begin: Begin, ostinato: Ostinato
) -> None:
    interrupted(project, begin, pipe)
    flow = project / "flows" / "steps.py"
    flow.write_text(flow.read_text().replace("return value + 1", "return value + 100"))

    result = ostinato("resume", "last")

    assert result.err == "the code has changed since steps#1 began: it goes on with today's\n"
    shown = ostinato("show", "last", "third", "--format", "json").json
    assert shown["values"][0]["content"] == 201


def test_resume_refuses_code_of_another_shape(
    project: Path, pipe: Path, begin: Begin, ostinato: Ostinato
) -> None:
    interrupted(project, begin, pipe)
    flow = project / "flows" / "steps.py"
    flow.write_text(flow.read_text().replace("third", "last"))

    result = ostinato("resume", "last", code=2)

    assert result.err == (
        "error: the code has changed since run steps#1 began: task 'third' is gone "
        "(go back to that code, or start a new run of 'steps')\n"
    )


def test_resume_says_what_is_wrong_with_the_code(
    project: Path, pipe: Path, begin: Begin, ostinato: Ostinato
) -> None:
    interrupted(project, begin, pipe)
    (project / "flows" / "steps.py").write_text("1 / 0\n")

    result = ostinato("resume", "last", code=2)

    assert result.err == (
        "error: flows/steps.py:1: ZeroDivisionError: division by zero\n"
        "error: flow 'steps' of run steps#1 could not be loaded\n"
    )


def test_running_run_is_not_taken_over(
    project: Path, pipe: Path, begin: Begin, ostinato: Ostinato
) -> None:
    process = begin("run", "steps")
    wait_until_started(project)

    result = ostinato("resume", "last", code=2)

    assert f"run steps#1 is driven by process {process.pid}" in result.err
    process.kill()
    process.communicate(timeout=TIMEOUT_S)


def test_ctrl_c_cancels_the_run(
    project: Path, pipe: Path, begin: Begin, ostinato: Ostinato
) -> None:
    process = begin("run", "steps")
    wait_until_started(project)

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=TIMEOUT_S)

    assert process.returncode == 130, err
    assert "⊗ steps#1 cancelled" in out
    assert "cancelled by Ctrl-C" in out
    assert ostinato("runs", "--format", "json").json[0]["state"] == "cancelled"
    assert ledger(project) == ["first", "second"]


def test_second_ctrl_c_leaves_at_once(
    project: Path, pipe: Path, begin: Begin, ostinato: Ostinato
) -> None:
    flow = project / "flows" / "steps.py"
    wait = "time.sleep(60)"
    flow.write_text(
        flow.read_text().replace(
            wait,
            f"while True:\n                try: {wait}\n                except BaseException: pass",
        )
    )
    process = begin("run", "steps")
    wait_until_started(project)

    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    while "cancelling" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=TIMEOUT_S)

    assert process.returncode == 130, err
    assert "left steps#1 unfinished: ostinato resume 'steps#1' goes on with it" in err
    assert ostinato("runs", "--format", "json").json[0]["is_interrupted"]


def test_terminated_run_can_be_resumed(
    project: Path, pipe: Path, begin: Begin, ostinato: Ostinato
) -> None:
    process = begin("run", "steps")
    wait_until_started(project)

    process.terminate()
    _, err = process.communicate(timeout=TIMEOUT_S)
    pipe.unlink()

    assert process.returncode == 143, err
    assert "left steps#1 unfinished" in err
    assert ostinato("resume", "last", "--format", "json").json["state"] == "succeeded"


def test_retry_runs_what_failed_with_the_code_of_today(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl", "-p", "bad_row=1", code=1)
    flow = project / "flows" / "etl.py"
    flow.write_text(flow.read_text().replace("if row == bad_row:", "if False:"))

    result = ostinato("retry", "etl")

    assert "the code has changed since etl#1 began" in result.err
    assert "double[1] succeeded" in result.out
    assert "double[0] succeeded" not in result.out
    assert "✔ etl#1 succeeded" in result.out


def test_retry_may_fail_again(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl", "-p", "bad_row=1", code=1)

    run = ostinato("retry", "etl", "--format", "json", code=1).json

    assert run["state"] == "failed"
    assert [t["generation"] for t in run["failures"]] == [1]


def test_retry_runs_again_what_is_named(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "steps")

    shown = ostinato("retry", "steps", "--from", "second", "--dry-run").out
    as_json = ostinato("retry", "last", "--only", "second", "--dry-run", "--format", "json").json
    result = ostinato("retry", "steps", "--only", "second")

    assert shown == ("2 of steps#1 would run again:\n  ✔ second succeeded\n  ✔ third succeeded\n")
    assert as_json == [{"task_run": "second", "state": "succeeded"}]
    assert "✔ steps#1 succeeded" in result.out
    assert ledger(project) == ["first", "second", "third", "second"]


def test_retry_takes_indices_and_only_what_failed(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl", "-p", "bad_row=1", code=1)

    def names(*options: str) -> list[str]:
        shown = ostinato("retry", "etl", *options, "--dry-run", "--format", "json").json
        return [each["task_run"] for each in shown]

    assert names("--only", "double[0]") == ["double[0]"]
    assert names("--from", "double", "--failed")[0] == "double[1]"
    assert "double[0]" in names("--from", "double")
    error = ostinato("retry", "etl", "--only", "double[7]", code=2).err
    assert error == "error: the run has no task run double[7]\n"
    assert "did you mean 'double'" in ostinato("retry", "etl", "--from", "duble", code=2).err
    nothing = ostinato("retry", "etl", "--only", "double[0]", "--failed", code=2).err
    assert "nothing of what is named of run etl#1 failed" in nothing


def test_retry_of_a_partial_run_stays_partial(project: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl", "-p", "bad_row=1", "--select", "+double", code=1)
    flow = project / "flows" / "etl.py"
    flow.write_text(flow.read_text().replace("if row == bad_row:", "if False:"))

    run = ostinato("retry", "etl", "--format", "json").json

    assert run["counts"] == {"succeeded": 4}


def test_cancel_of_a_running_run(
    project: Path, pipe: Path, begin: Begin, ostinato: Ostinato
) -> None:
    process = begin("run", "steps")
    wait_until_started(project)

    result = ostinato("cancel", "last")
    out, _ = process.communicate(timeout=TIMEOUT_S)

    assert result.out == "⊗ steps#1 cancelled\n"
    assert process.returncode == 130
    assert "cancelled by ostinato cancel" in out


def test_cancel_of_an_interrupted_run(
    project: Path, pipe: Path, begin: Begin, ostinato: Ostinato
) -> None:
    interrupted(project, begin, pipe)

    run = ostinato("cancel", "last", "--format", "json").json

    assert run["state"] == "cancelled"
    assert ledger(project) == ["first", "second"]


def test_cancel_needs_no_sound_code(
    project: Path, pipe: Path, begin: Begin, ostinato: Ostinato
) -> None:
    interrupted(project, begin, pipe)
    (project / "flows" / "steps.py").unlink()

    assert "⊗ steps#1 cancelled in" in ostinato("cancel", "last").out


def test_log_is_followed_while_it_grows(
    project: Path, pipe: Path, begin: Begin, ostinato: Ostinato
) -> None:
    flow = project / "flows" / "steps.py"
    flow.write_text(
        flow.read_text()
        .replace("            time.sleep(60)", "            (FOLDER / 'go').read_text()")
        .replace('note("third")', 'note("third")\n        print("the end")')
    )
    os.mkfifo(project / "go")
    process = begin("run", "steps")
    wait_until_started(project)

    follower = begin("logs", "last", "--follow")
    (project / "go").write_text("")
    out, _ = follower.communicate(timeout=TIMEOUT_S)
    process.communicate(timeout=TIMEOUT_S)

    assert "third | the end" in out


CACHED = """
from pathlib import Path

from ostinato import dag, flow, task


def note(name: str, upstream: str = "") -> str:
    with Path("ledger.txt").open("a") as ledger:
        ledger.write(name + "\\n")
    return name


kept = task(cache=True, task_id="kept")(note)
after = task(cache=True, task_id="after")(note)


@flow
def called() -> None:
    kept("kept")
    after("after")


@dag
def drawn() -> None:
    after("after", kept("kept"))


drawn()
"""


@pytest.mark.parametrize(
    ("name", "options", "executed"),
    [
        ("drawn", ("--only", "kept"), ["kept"]),
        ("drawn", ("--from", "kept"), ["kept", "after"]),
        ("called", ("--reset", "kept"), ["kept"]),
        ("called", ("--from", "kept"), ["kept", "after"]),
    ],
)
def test_what_is_cleared_is_executed_anew_though_its_result_is_kept(
    project: Path, ostinato: Ostinato, name: str, options: tuple[str, ...], executed: list[str]
) -> None:
    (project / "flows" / "cached.py").write_text(CACHED)
    ostinato("run", name)
    ostinato("run", name)
    ledger_before = ledger(project)

    ostinato("retry", f"{name}#1", *options)
    retried = ledger(project)
    ostinato("run", name)

    assert ledger_before == ["kept", "after"]
    assert retried[2:] == executed
    assert ledger(project) == retried
    shown = ostinato("show", "last", "kept").out
    assert re.search(rf"cached from {name}#1 kept", shown)
