"""This module tests runs that are asked for and not waited for."""

from pathlib import Path

import pytest

from ostinato import dag, flow, start_flow, task, testing
from ostinato.coordinator.run_handle import UNSERVED_S
from ostinato.errors import ParameterError, RunFailed, UnknownFlow
from ostinato.store.protocol import RunFilter
from ostinato.store.sqlite import open_store

PATIENCE_S = 30.0


@task
def double(number: int) -> int:
    return 2 * number


@flow(run_name="report {number}")
def report(number: int = 1) -> int:
    if number < 0:
        message = "negative"
        raise ValueError(message)
    doubled: int = double(number)
    return doubled


@dag
def graph(number: int = 1) -> None:
    @task
    def started(number: int) -> int:
        return report.start(number=number).wait().result()  # type: ignore[no-any-return]  # JSON

    started(number)


counting = graph()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))
    return tmp_path


@flow
def both() -> int:
    first = report.start(number=4)
    second = start_flow("report", params={"number": 5})
    return first.wait().result() + second.wait(PATIENCE_S).result()  # type: ignore[no-any-return]  # JSON


def test_flow_starts_others_beside_it_and_takes_their_results() -> None:
    assert both() == 18


def test_task_of_a_graph_starts_a_flow() -> None:
    assert counting.run(number=6, executor="thread").result("started") == 12


started: list[str] = []


@flow(retries=1)
def failing() -> None:
    run = report.start(number=1)
    started.append(run.name)
    if len(started) == 1:
        message = "the first time"
        raise RuntimeError(message)


def test_replay_starts_no_second_run(home: Path) -> None:
    started.clear()

    failing()

    assert len(started) == 2
    assert len(set(started)) == 1


@flow
def of_a_failure() -> str:
    run = report.start(number=-1).wait()
    assert run.state == "failed"
    assert run.run_name == "report -1"
    try:
        run.result()
    except RunFailed as error:
        return str(error)
    return ""


def test_run_that_failed_gives_no_result() -> None:
    assert of_a_failure() == "run report#1 failed: task '@body' failed"


@flow
def impatient() -> None:
    report.start(number=1).wait(0)


def test_wait_has_a_limit() -> None:
    with pytest.raises(TimeoutError, match="report#1 has not ended after 0 s"):
        impatient()


@flow
def wrong() -> None:
    report.start(number="many")


def test_parameters_of_a_run_that_is_asked_for_are_checked() -> None:
    with pytest.raises(ParameterError):
        report.start(number="many")
    with pytest.raises(ParameterError, match="'many' is not an integer"):
        wrong()
    with pytest.raises(UnknownFlow, match="there was no run of a flow 'reports'"):
        start_flow("reports")


def test_run_is_driven_while_it_is_waited_for_in_the_thread_of_the_loop() -> None:
    assert testing.run(counting, params={"number": 2}, flows=[report.dag]).result("started") == 4


def test_run_that_a_script_asks_for_waits_for_who_serves_the_flow() -> None:
    run = report.start(number=7)
    by_name = start_flow("report", params={"number": 8}, key="monday")
    again = start_flow("report", params={"number": 9}, key="monday")
    assert (run.state, run.run_name) == ("queued", "report 7")
    assert again.id == by_name.id

    report.serve(runs=2)

    assert run.wait(0).result() == 14
    assert by_name.result() == 16


def test_server_takes_up_what_another_one_left(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = report.start(number=3)
    store = open_store(home / "store.db")
    store.take_run(store.runs(RunFilter())[0][0].id, store.register_coordinator())
    store.close()

    report.serve(runs=1)

    assert run.state == "succeeded"
    assert "report#1 succeeded" in capsys.readouterr().err


def test_run_that_cannot_be_executed_is_said_once(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @flow
    def changed(number: str = "") -> None:
        pass

    changed.start(number="a")

    @flow(name="changed")
    def with_other_parameters(number: int = 1) -> None:
        pass

    with_other_parameters.serve(interval=0.02, runs=2)

    assert capsys.readouterr().err.count("changed#1 cannot be executed: parameter 'number'") == 1


@dag
def slow() -> None:
    @task
    def waits() -> str:
        try:
            napping.start().wait(60)
        except TimeoutError as error:
            return str(error)
        return "ended"

    waits()


@flow
def napping() -> None:
    nap()


@task(retries=1, retry_delay=120)
def nap() -> None:
    if not started:
        started.append("")
        message = "later"
        raise RuntimeError(message)


def test_limit_of_a_wait_is_one_of_virtual_time_too() -> None:
    started.clear()

    run = testing.run(slow(), flows=[napping.dag])

    assert run.result("waits") == "run napping#1 has not ended after 60 s"


@flow
def within(number: int) -> int:
    by_name = start_flow("report", params={"number": number})
    return int(report.start(number=number).wait().result()) + int(by_name.wait().result())


@flow
def around() -> int:
    return int(within(1)) + int(within(2))


def test_subflow_starts_others_too() -> None:
    assert around() == 12


@pytest.mark.slow
def test_who_waits_for_a_run_that_nobody_executes_is_told_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(TimeoutError):
        report.start().wait(UNSERVED_S + 0.5)

    assert capsys.readouterr().err == (
        "report#1 waits for who serves 'report'; serve it, or: ostinato resume 'report#1'\n"
    )
