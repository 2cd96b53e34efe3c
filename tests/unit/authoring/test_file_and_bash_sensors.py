"""This module tests the sensors that look at files and at the outcome of commands."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ostinato import DAG, BashOperator, BashSensor, Defer, FileSensor, Sensor, task, testing
from ostinato.authoring.operators.file_sensor import FileTrigger, find_paths
from ostinato.errors import ExecutionError, InvalidArgument
from ostinato.model.connection import Connection
from tests.unit.authoring.fakes import FakeContext, FakeResolver, execute


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """A folder with an empty folder, and one with a file deep in it."""
    inbox = tmp_path / "inbox"
    (inbox / "empty" / "more").mkdir(parents=True)
    (inbox / "full" / "deep").mkdir(parents=True)
    (inbox / "full" / "deep" / "a.csv").touch()
    (inbox / "b.csv").touch()
    return inbox


@pytest.mark.parametrize(
    ("pattern", "recursive", "expected"),
    [
        ("b.csv", False, ["b.csv"]),
        ("none.csv", False, []),
        ("*.csv", False, ["b.csv"]),
        ("**/*.csv", False, []),
        ("**/*.csv", True, ["b.csv", "full/deep/a.csv"]),
        ("full", False, ["full"]),
        ("empty", False, []),
        ("*", False, ["b.csv", "full"]),
        ("[ab].csv", False, ["b.csv"]),
    ],
)
def test_files_are_found_and_folders_that_hold_one(
    inbox: Path, pattern: str, recursive: bool, expected: list[str]
) -> None:
    found = find_paths(f"{inbox}/{pattern}", recursive=recursive)

    assert found == [f"{inbox}/{path}" for path in expected]


def test_paths_start_at_a_connection_or_the_working_directory(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(inbox)
    context = FakeContext(
        connections={
            "inbox": Connection("inbox", "fs", extra={"path": str(inbox / "full")}),
            "host": Connection("host", "fs", host=str(inbox / "full")),
        }
    )

    here = FileSensor(task_id="here", filepath="b.csv")
    there = FileSensor(task_id="there", filepath="deep/*.csv", fs_conn_id="inbox")
    host = FileSensor(task_id="host", filepath="deep/*.csv", fs_conn_id="host")

    assert execute(here, context=context) == [f"{inbox}/b.csv"]
    assert execute(there, context=context) == [f"{inbox}/full/deep/a.csv"]
    assert execute(host, context=context) == [f"{inbox}/full/deep/a.csv"]


def test_file_that_comes_later_is_found_by_the_trigger(tmp_path: Path) -> None:
    with DAG("flow") as flow:
        sensor = FileSensor(task_id="wait", filepath=tmp_path / "*.csv", poke_interval="10m")

        @task(trigger_rule="always", retries=3, retry_delay="14m")
        def write(try_number: Any = None) -> None:
            if try_number < 3:
                raise ConnectionError("not yet")
            (tmp_path / "late.csv").touch()

        @task
        def read(paths: list[str]) -> list[str]:
            return paths

        write()
        read(sensor.output)

    run = testing.run(flow)

    assert run.states == {"wait": "succeeded", "write": "succeeded", "read": "succeeded"}
    assert run.result("read") == [str(tmp_path / "late.csv")]
    assert run.duration == timedelta(minutes=30)
    # Two attempts: what looks in between holds none.
    assert run.attempts("wait") == 2


def test_file_that_never_comes_ends_with_the_timeout(tmp_path: Path) -> None:
    with DAG("flow") as flow:
        FileSensor(task_id="hard", filepath=tmp_path / "none", timeout="1h")
        FileSensor(task_id="soft", filepath=tmp_path / "none", timeout="2h", soft_fail=True)

    run = testing.run(flow)

    assert run.states == {"hard": "failed", "soft": "skipped"}
    assert run.duration == timedelta(hours=2)


def test_back_off_is_done_by_pokes(tmp_path: Path) -> None:
    sensor = FileSensor(task_id="a", filepath=tmp_path / "none", exponential_backoff=True)

    with pytest.raises(Defer) as deferred:
        execute(sensor)

    assert deferred.value.deferral.trigger is None
    assert deferred.value.delta_s == 60


def test_trigger_is_stored_by_its_arguments() -> None:
    trigger = FileTrigger("/in/*.csv", recursive=True, interval_s=5.0)

    assert FileTrigger.from_args(trigger.spec().args) == trigger


def test_path_may_be_a_result(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with DAG("flow"):
        source = BashOperator(task_id="source", bash_command="true")
        sensor = FileSensor(task_id="wait", filepath=source.output)

    assert execute(sensor, FakeResolver({"source": str(file)})) == [str(file)]
    with pytest.raises(InvalidArgument, match="filepath is None, no path"):
        execute(sensor, FakeResolver({"source": None}))


# Bash


def test_command_is_run_until_it_succeeds(tmp_path: Path) -> None:
    with DAG("flow") as flow:
        BashSensor(
            task_id="third",
            bash_command='echo x >> "$FILE"; test $(wc -l < "$FILE") -ge 3',
            env={"FILE": tmp_path / "count"},
            append_env=True,
            poke_interval="5m",
        )

    run = testing.run(flow)

    assert run.states == {"third": "succeeded"}
    assert run.duration == timedelta(minutes=10)


def test_exit_code_says_not_yet_or_failure() -> None:
    def sensor(code: int) -> BashSensor:
        return BashSensor(task_id="a", bash_command=f"exit {code}", retry_exit_code=7)

    assert execute(sensor(0)) is None
    with pytest.raises(Defer):
        execute(sensor(7))
    with pytest.raises(ExecutionError, match="bash exited with code 8"):
        execute(sensor(8))
    with pytest.raises(Defer):
        execute(BashSensor(task_id="a", bash_command="exit 99"))


def test_poke_that_hangs_ends_with_its_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))
    with DAG("flow") as flow:
        BashSensor(task_id="hangs", bash_command="sleep 60", execution_timeout="100ms")

    run = flow.run(executor="inline")

    assert run.state == "failed"
    failure = run.task_runs[0].failure
    assert "task 'hangs' ran longer than its timeout of 0.1 s" in failure.summary


@pytest.mark.parametrize(
    ("sensor_class", "options", "message"),
    [
        (FileSensor, {"filepath": 5}, "'a': filepath is 5, no path"),
        (FileSensor, {"filepath": ""}, "'a': filepath is '', no path"),
        (FileSensor, {"filepath": "a", "fs_conn_id": 5}, "fs_conn_id is 5, not text"),
        (FileSensor, {"filepath": "a", "recursiv": True}, r"did you mean 'recursive'\?"),
        (BashSensor, {"bash_command": 5}, "bash_command of 'a' is 5, not text"),
        (BashSensor, {"bash_command": "", "retry_exit_code": "7"}, "retry_exit_code is '7'"),
        (BashSensor, {"bash_command": "", "poke_interval": "soon"}, "poke_interval: 'soon' is no"),
    ],
)
def test_wrong_argument_is_told_with_its_line(
    sensor_class: type[Sensor], options: Any, message: str
) -> None:
    with pytest.raises(InvalidArgument, match=rf"test_file_and_bash_sensors\.py:\d+: .*{message}"):
        sensor_class(task_id="a", **options)
