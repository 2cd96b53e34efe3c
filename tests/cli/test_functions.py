"""This module tests flows that are functions from the command line: run, killed, resumed."""

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ostinato

Begin = Callable[..., "subprocess.Popen[str]"]

PATIENCE_S = 30.0

FLOW = """
import os
import time
from pathlib import Path

from ostinato import flow, task


def note(name):
    with open("ledger.txt", "a") as ledger:
        ledger.write(name + "\\n")


@task
def step(number):
    note(f"step {number}")
    if number == 12 and not Path("go").exists():
        note("wait")
        time.sleep(3600)
    return number * 2


@task
def picky(number):
    if not Path("fixed").exists():
        raise ValueError("broken")
    note("fixed")
    return number


@flow
def long(count: int = 20):
    total = 0
    for number in range(10):
        total += step(number)
    total += sum(step.map(list(range(10, count))).result())
    return total


@flow
def failing():
    one = step(1)
    two = picky(2)
    return one + two + step(3)


@flow
def turning():
    if Path("turned").exists():
        step(2)
    else:
        step(1)
    picky(1)


@task
def outer():
    return step(2) + step(3)


@flow
def nested():
    return step(1) + outer() + step(4)


@task
def other():
    return 8 if Path("other").exists() else 7


@flow
def following():
    return step(other()) + step(5)


if __name__ == "__main__":
    print("result", long())
"""


RELEASE = """
from ostinato import flow, suspend, task


@task
def note(name):
    with open("ledger.txt", "a") as ledger:
        ledger.write(name + "\\n")


@flow
def release():
    note("before")
    suspend("Release it?")
    note("after")
"""


@pytest.fixture
def flows(folder: Path) -> Path:
    (folder / "flows.py").write_text(FLOW)
    return folder


def ledger(folder: Path) -> list[str]:
    file = folder / "ledger.txt"
    return file.read_text().splitlines() if file.exists() else []


def wait_until(look: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < end_s, "it never came"
        time.sleep(0.05)


def test_killed_flow_goes_on_and_repeats_nothing_that_was_recorded(
    ostinato: Ostinato, begin: Begin, flows: Path
) -> None:
    process = begin("run", "flows.py:long")
    # Steps 10 to 19 are beside each other: all but one are recorded when nothing comes any more.
    wait_until(lambda: len(ledger(flows)) == 21)
    wait_until(lambda: len(ostinato("show", "long", "--format", "json").json["task_runs"]) == 20)
    process.kill()
    process.communicate()
    (flows / "go").touch()

    ostinato("resume", "long")

    assert (
        ostinato("show", "long", "@body", "--format", "json").json["values"][0]["content"]
        == sum(range(20)) * 2
    )
    counts = Counter(ledger(flows))
    assert counts.pop("step 12") == 2
    assert counts.pop("wait") == 1
    assert set(counts.values()) == {1}


def test_retry_executes_what_failed_and_what_follows(ostinato: Ostinato, flows: Path) -> None:
    failed = ostinato("run", "flows.py:failing", code=1)
    (flows / "fixed").touch()

    ostinato("retry", "failing")

    assert "ValueError: broken" in failed.out
    assert ledger(flows) == ["step 1", "fixed", "step 3"]


def test_flow_that_goes_another_way_than_recorded_is_stopped(
    ostinato: Ostinato, flows: Path
) -> None:
    ostinato("run", "flows.py:turning", code=1)
    (flows / "turned").touch()

    stopped = ostinato("retry", "turning", code=1)

    assert "FlowDiverged" in stopped.out
    assert 'recorded is step({"number":1})' in stopped.out
    assert 'called is step({"number":2})' in stopped.out
    assert "--from 0" in stopped.out
    assert "--reset 0" in stopped.out


def test_retry_from_a_step_drops_it_and_what_follows(ostinato: Ostinato, flows: Path) -> None:
    (flows / "fixed").touch()
    ostinato("run", "flows.py:nested")
    before = ledger(flows)
    (flows / "ledger.txt").unlink()

    shown = ostinato("retry", "nested", "--from", "1.1", "--dry-run")
    ostinato("retry", "nested", "--from", "1.1")

    assert before == ["step 1", "step 2", "step 3", "step 4"]
    assert "outer[1] succeeded" in shown.out
    assert "step[1.1] succeeded" in shown.out
    assert "step[1.0]" not in shown.out
    # The outer step is executed again, and finds what is recorded of its first call.
    assert ledger(flows) == ["step 3", "step 4"]


def test_retry_resets_a_step_alone_and_what_follows_may_be_called_otherwise(
    ostinato: Ostinato, flows: Path
) -> None:
    ostinato("run", "flows.py:following")
    (flows / "ledger.txt").unlink()
    (flows / "other").touch()

    ostinato("retry", "following", "--reset", "other[0]")

    # The second step is called with another result, the third one as before.
    assert ledger(flows) == ["step 8"]


def test_retry_names_a_step_that_there_is_not(ostinato: Ostinato, flows: Path) -> None:
    (flows / "fixed").touch()
    ostinato("run", "flows.py:nested")

    for arguments in (("--from", "7"), ("--reset", "picky[0]"), ("--from", "wrong")):
        refused = ostinato("retry", "nested", *arguments, code=2)
        assert f"has no step {arguments[1]}" in refused.err


def test_script_runs_and_is_recorded(
    ostinato: Ostinato, flows: Path, environ: dict[str, str]
) -> None:
    import sys

    (flows / "go").touch()
    done = subprocess.run(
        [sys.executable, "flows.py"],
        cwd=flows,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )

    assert done.stdout.splitlines()[-1] == f"result {sum(range(20)) * 2}"
    assert "succeeded" in ostinato("runs").out


def test_suspended_run_costs_no_process_and_goes_on_when_it_is_resumed(
    ostinato: Ostinato, flows: Path
) -> None:
    (flows / "release.py").write_text(RELEASE)

    left = ostinato("run", "release.py:release")
    again = ostinato("resume", "release")
    ostinato("answer", "release", "@body", "--approve", "--by", "ana")
    ended = ostinato("resume", "release")

    for shown in (left, again):
        assert "release#1 is suspended: Release it?" in shown.out
    assert "succeeded" in ended.out
    assert ledger(flows) == ["before", "after"]
    # The answer is a step: what was asked is asked again after it is reset.
    assert "is suspended" in ostinato("retry", "release", "--reset", "1").out


SERVED = """
import sys
import time
from pathlib import Path

from ostinato import flow, suspend, task


def note(name):
    with open("ledger.txt", "a") as ledger:
        ledger.write(name + "\\n")


@task
def step(number):
    note(f"step {number}")
    return number


@flow
def report():
    step(1)
    if not Path("go").exists():
        note("wait")
        time.sleep(3600)
    step(2)


if __name__ == "__main__":
    if sys.argv[1] == "start":
        report.start()
    else:
        report.serve(sys.argv[2] if sys.argv[2:] else None, runs=1)
"""


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [[], ["* * * * *"]])
def test_served_flow_goes_on_with_what_a_killed_server_left(
    folder: Path, environ: dict[str, str], ostinato: Ostinato, schedule: list[str]
) -> None:
    (folder / "served.py").write_text(SERVED)
    command = [sys.executable, "served.py"]
    ledger = folder / "ledger.txt"
    subprocess.run([*command, "start"], cwd=folder, env=environ, check=True, timeout=60)
    server = subprocess.Popen([*command, "serve", *schedule], cwd=folder, env=environ)
    end_s = time.monotonic() + PATIENCE_S
    while not ledger.exists() or "wait" not in ledger.read_text():
        assert time.monotonic() < end_s
        time.sleep(0.02)
    server.kill()
    server.wait()
    (folder / "go").touch()

    subprocess.run([*command, "serve"], cwd=folder, env=environ, check=True, timeout=60)

    assert ledger.read_text().split() == ["step", "1", "wait", "step", "2"]
    assert ostinato("show", "report#1", "--format", "json").json["state"] == "succeeded"


STARTING = """
from ostinato import flow


@flow
def child(number: int):
    return number


@flow
def parent(count: int = 25):
    return sum(child.start(number=number).wait().result() for number in range(count))
"""


@pytest.mark.slow
def test_no_kill_starts_a_run_twice(
    folder: Path, environ: dict[str, str], ostinato: Ostinato
) -> None:
    (folder / "starting.py").write_text(STARTING)
    chance = random.Random(7)
    command = [sys.executable, "-m", "ostinato"]
    arguments = ["run", "starting.py:parent"]
    parents: list[dict[str, object]] = []

    for _ in range(5):
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=folder,
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.3 + chance.random() * 0.4)
        process.kill()
        process.wait()
        parents = ostinato("runs", "--flow", "parent", "--format", "json").json
        if parents:
            arguments = ["resume", "parent"]
    if not parents or parents[0]["state"] != "succeeded":
        ostinato(*arguments)

    children = ostinato("runs", "--flow", "child", "--limit", "100", "--format", "json").json
    assert sorted(run["params"]["number"] for run in children) == list(range(25))
    assert {run["state"] for run in children} == {"succeeded"}
    shown = ostinato("show", "parent", "@body", "--format", "json").json
    assert shown["values"][0]["content"] == sum(range(25))


ORPHAN = """
import time
from pathlib import Path

from ostinato import flow

BEGUN, WAITS = Path("begun"), Path("waits")

@flow
def child():
    if not BEGUN.exists():
        BEGUN.touch()
        time.sleep(600)
    return "done"

@flow
def parent():
    run = child.start()
    WAITS.touch()
    return run.wait().result()
"""


@pytest.mark.slow
def test_run_that_is_waited_for_goes_on_with_the_flow_that_started_it(
    folder: Path, environ: dict[str, str], ostinato: Ostinato
) -> None:
    (folder / "orphan.py").write_text(ORPHAN)
    with subprocess.Popen(
        [sys.executable, "-m", "ostinato", "run", "orphan.py:parent"],
        cwd=folder,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_until(lambda: (folder / "begun").exists() and (folder / "waits").exists())
        process.kill()

    ostinato("resume", "parent")

    shown = ostinato("show", "parent", "@body", "--format", "json").json
    assert shown["values"][0]["content"] == "done"
    children = ostinato("runs", "--flow", "child", "--format", "json").json
    assert [run["state"] for run in children] == ["succeeded"]
