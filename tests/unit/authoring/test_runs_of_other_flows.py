"""This module tests tasks that run other flows, and sensors that wait for them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ostinato import (
    DAG,
    ExternalTaskSensor,
    PythonOperator,
    TaskGroup,
    TriggerDagRunOperator,
    TriggerRunOperator,
    dag,
    task,
    testing,
)
from ostinato.errors import InvalidArgument
from ostinato.store.protocol import RunFilter
from ostinato.store.records import RunRow

START = datetime(2025, 1, 10, 12, tzinfo=UTC)
YESTERDAY = datetime(2025, 1, 9, 12)  # noqa: DTZ001 - what has no zone is read in the flow's


@dag
def report(day: str = "today", outcome: str = "good") -> None:
    @task(retries=1, retry_delay="1h")
    def write(day: str, outcome: str, try_number: Any = None) -> str:
        if outcome == "bad" or (outcome == "slow" and try_number == 1):
            raise ConnectionError(outcome)
        return f"report of {day}"

    write(day, outcome)


REPORT = report()


def asking(**options: Any) -> DAG:
    with DAG("etl") as flow:
        TriggerRunOperator(task_id="ask", flow="report", **options)
    return flow


def runs_of(run: testing.MemoryRun, flow: str) -> list[RunRow]:
    store, _ = run.home
    return store.runs(RunFilter(flow=flow))[0]


def failure_of(run: testing.MemoryRun, task_id: str) -> str:
    failure = run.task_run(task_id).failure
    assert failure is not None
    return failure.summary


def test_another_flow_is_run() -> None:
    run = testing.run(asking(conf={"day": "{{ ds }}"}), flows=[REPORT], date="2025-01-31")

    (row,) = runs_of(run, "report")
    assert run.state == "succeeded"
    assert (row.trigger, row.state.label, row.tags) == ("task", "succeeded", ("from:etl#1/ask",))
    assert row.params == b'{"day":"2025-01-31","outcome":"good"}'
    assert run.result("ask") == str(row.id)


def test_end_of_the_run_is_waited_for() -> None:
    with DAG("etl") as flow:
        ask = TriggerDagRunOperator(
            task_id="ask",
            trigger_dag_id=REPORT,
            conf={"outcome": "slow"},
            wait_for_completion=True,
            poke_interval="10m",
        )
        ask >> PythonOperator(task_id="next", python_callable=lambda: None)

    run = testing.run(flow, flows=[REPORT])

    assert run.states == {"ask": "succeeded", "next": "succeeded"}
    assert timedelta(hours=1) <= run.duration <= timedelta(hours=1, minutes=10)
    assert run.result("ask") == str(runs_of(run, "report")[0].id)


@pytest.mark.parametrize(
    ("options", "state"),
    [
        ({}, "failed"),
        ({"failed_states": ["failed"]}, "failed"),
        ({"failed_states": "cancelled"}, "succeeded"),
        ({"allowed_states": ["success", "failed"]}, "succeeded"),
    ],
)
def test_state_of_the_run_decides(options: Any, state: str) -> None:
    flow = asking(conf={"outcome": "bad"}, wait_for_completion=True, retries=3, **options)

    run = testing.run(flow, flows=[REPORT])

    assert run.states == {"ask": state}
    assert len(runs_of(run, "report")) == 1
    if state == "failed":
        assert "report#1 failed" in failure_of(run, "ask")


def test_retried_attempt_starts_no_second_run() -> None:
    class Unlucky(TriggerRunOperator):
        def execute(self, context: Any) -> str:
            run_id = super().execute(context)
            if context.try_number < 3:
                raise ConnectionError("lost on the way")
            return run_id

    with DAG("etl") as flow:
        Unlucky(task_id="ask", flow="report", retries=2)

    run = testing.run(flow, flows=[REPORT])

    assert run.state == "succeeded"
    assert len(runs_of(run, "report")) == 1


def test_task_may_ask_for_several_runs() -> None:
    @dag
    def etl() -> None:
        @task(retries=1)
        def ask(context: Any) -> list[str]:
            runs = [context.trigger_run("report", params={"day": day}) for day in ("mo", "tu")]
            if context.try_number == 1:
                raise ConnectionError("lost on the way")
            assert all(run.is_own for run in runs)
            return [run.name for run in runs]

        ask()

    run = testing.run(etl(), flows=[REPORT])

    assert run.result("ask") == ["report#1", "report#2"]
    assert len(runs_of(run, "report")) == 2


def test_run_with_a_key_is_there_once() -> None:
    with DAG("etl") as flow:
        for name in ("one", "two", "three"):
            TriggerRunOperator(
                task_id=name,
                flow="report",
                logical_key="{{ ds }}",
                logical_date="2025-01-01T06:00",
                skip_when_already_exists=name == "three",
                trigger_rule="always",
                priority={"one": 3, "two": 2, "three": 1}[name],
            )

    run = testing.run(flow, flows=[REPORT], timezone="Europe/Amsterdam")

    (row,) = runs_of(run, "report")
    assert run.states == {"one": "succeeded", "two": "succeeded", "three": "skipped"}
    assert run.result("one") == run.result("two") == str(row.id)
    assert row.logical_date_us == datetime(2025, 1, 1, 5, tzinfo=UTC).timestamp() * 1e6


def test_mapped_tasks_ask_for_a_run_each() -> None:
    with DAG("etl") as flow:
        TriggerRunOperator.partial(task_id="ask", flow="report", wait_for_completion=True).expand(
            conf=[{"day": "mo"}, {"day": "tu"}, {"day": "we"}]
        )

    run = testing.run(flow, flows=[REPORT])

    assert run.state == "succeeded"
    assert {row.tags for row in runs_of(run, "report")} == {
        (f"from:etl#1/ask[{index}]",) for index in range(3)
    }


def test_waiting_holds_no_slot_of_a_pool() -> None:
    @dag
    def child() -> None:
        @task(pool="single")
        def work() -> None: ...

        work()

    with DAG("etl") as flow:
        TriggerRunOperator(task_id="ask", flow="child", wait_for_completion=True, pool="single")

    run = testing.run(flow, flows=[child()], pools={"single": 1})

    assert run.state == "succeeded"


def test_flow_that_is_not_loaded_is_told_with_those_that_are() -> None:
    run = testing.run(asking(), flows=[DAG("other")])

    assert failure_of(run, "ask").endswith(
        "there is no flow 'report' here to be run"
        " (loaded are etl, other; run the project or a file that has both flows)"
    )


def test_parameters_that_do_not_fit_are_told() -> None:
    run = testing.run(asking(conf={"dya": "mo"}), flows=[REPORT])

    assert "'dya'" in failure_of(run, "ask")
    assert runs_of(run, "report") == []


def test_flow_of_the_same_module_is_run_from_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))

    run = PARENT.run(executor="inline")

    assert run.state == "succeeded"


with DAG("parent") as PARENT:
    TriggerRunOperator(task_id="ask", flow=REPORT, wait_for_completion=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "flow is None, neither a flow nor its name"),
        ({"flow": 5}, "flow is 5, neither"),
        ({"flow": "a", "trigger_dag_id": "b"}, "either flow= or trigger_dag_id="),
        ({"flow": "a", "conf": []}, r"conf is \[\], not a dict"),
        ({"flow": "a", "logical_date": "soon"}, r"logical_date 'soon' is no date \(such as"),
        ({"flow": "a", "logical_date": 5}, "logical_date is 5, neither"),
        ({"flow": "a", "logical_key": 5}, "logical_key is 5, not text"),
        ({"flow": "a", "poke_interval": "soon"}, "'soon' is no duration"),
        ({"flow": "a", "allowed_states": ["done"]}, "there is no final state 'done'"),
        ({"flow": "a", "failed_states": ["faild"]}, r"'faild' \(did you mean 'failed'\?\)"),
        ({"flow": "a", "reset_dag_run": True}, "takes no argument 'reset_dag_run'"),
    ],
)
def test_wrong_argument_is_told_with_its_line(options: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"test_runs_of_other_flows\.py:\d+: .*{message}"):
        TriggerRunOperator(task_id="ask", **options)


# The sensor


def load(outcome: str = "good", *, names: Any = ("a", "b")) -> DAG:
    """A flow with a task, a group, and a mapped task."""
    with DAG("load") as flow:
        PythonOperator(task_id="first", python_callable=_work, op_args=[outcome])
        with TaskGroup("rows"):
            PythonOperator(task_id="one", python_callable=_work, op_args=["good"])
            with TaskGroup("more"):
                PythonOperator(task_id="two", python_callable=_work, op_args=[outcome])
        PythonOperator.partial(task_id="each", python_callable=_work).expand(
            op_args=[["good"] for _ in names]
        )
    return flow


def _work(outcome: str) -> None:
    if outcome == "bad":
        raise ConnectionError


def sensing(after: testing.MemoryRun, **options: Any) -> testing.MemoryRun:
    with DAG("etl") as flow:
        ExternalTaskSensor(
            task_id="wait",
            **{"external_dag_id": "load", "timeout": "1h", "poke_interval": "10m", **options},
        )
    return testing.run(flow, date=START, after=after)


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"external_task_id": "first"},
        {"external_task_ids": ["first", "each"]},
        {"external_task_group_id": "rows"},
        {"external_task_group_id": "rows.more"},
    ],
)
def test_run_or_tasks_of_another_flow_are_waited_for(target: Any) -> None:
    good = testing.run(load(), date=START)
    bad = testing.run(load("bad"), date=START)

    assert sensing(good, **target).state == "succeeded"
    late = sensing(bad, **target)
    assert late.states == {"wait": "failed"}
    assert late.duration == timedelta(hours=1)
    assert "waited 3600 s in vain" in failure_of(late, "wait")


def test_task_that_went_well_counts_in_a_run_that_did_not() -> None:
    bad = testing.run(load("bad"), date=START)

    assert sensing(bad, external_task_id="rows.one").state == "succeeded"
    assert sensing(bad, external_task_id="each").state == "succeeded"


@pytest.mark.parametrize(
    ("options", "state"),
    [
        ({"failed_states": ["failed"]}, "failed"),
        ({"failed_states": ["failed"], "soft_fail": True}, "skipped"),
        ({"skipped_states": ["failed"]}, "skipped"),
        ({"allowed_states": ["success", "failed"]}, "succeeded"),
    ],
)
def test_states_decide_at_once(options: Any, state: str) -> None:
    bad = testing.run(load("bad"), date=START)

    for target in ({}, {"external_task_id": "first"}):
        run = sensing(bad, **target, **options)
        assert run.states == {"wait": state}
        assert run.duration < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("options", "state"),
    [
        ({}, "failed"),
        ({"execution_delta": timedelta(days=1)}, "succeeded"),
        ({"execution_delta": "24h"}, "succeeded"),
        ({"execution_date_fn": lambda date: date - timedelta(days=1)}, "succeeded"),
        ({"execution_date_fn": lambda date: [date, date - timedelta(days=1)]}, "failed"),
        (
            {"execution_date_fn": lambda date, ds: YESTERDAY},
            "succeeded",
        ),
        ({"execution_date_fn": lambda date: "yesterday"}, "failed"),
    ],
)
def test_run_of_another_date_may_be_meant(options: Any, state: str) -> None:
    yesterday = testing.run(load(), date=START - timedelta(days=1))

    assert sensing(yesterday, **options).states == {"wait": state}


def test_newest_run_of_a_date_counts() -> None:
    bad = testing.run(load("bad"), date=START)
    good = testing.run(load(), date=START, after=bad)

    assert sensing(good).state == "succeeded"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"external_dag_id": "laod"}, "there is no flow 'laod', and there was no run of it"),
        ({"external_task_id": "frist"}, "flow 'load' has no task 'frist'"),
        ({"external_task_group_id": "row"}, "flow 'load' has no group 'row'"),
    ],
)
def test_what_nobody_knows_is_told_at_once_where_asked_for(options: Any, message: str) -> None:
    loaded = testing.run(load(), date=START)

    run = sensing(loaded, check_existence=True, **options)

    assert message in failure_of(run, "wait")
    assert run.duration < timedelta(minutes=1)
    assert sensing(loaded, check_existence=True).state == "succeeded"


def test_flow_that_runs_at_the_same_time_is_waited_for() -> None:
    @dag
    def slow() -> None:
        @task(retries=2, retry_delay="25m")
        def work(index: int, try_number: Any = None) -> None:
            if try_number < 3:
                raise ConnectionError("not yet")

        work.expand(index=[1, 2])

    with DAG("etl") as flow:
        TriggerRunOperator(task_id="ask", flow="slow", logical_date="{{ ts }}")
        ExternalTaskSensor(
            task_id="wait", external_dag_id="slow", external_task_id="work", poke_interval="20m"
        )

    run = testing.run(flow, flows=[slow()])

    assert run.state == "succeeded"
    assert run.duration == timedelta(hours=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"external_dag_id": None}, "external_dag_id is None, neither a flow nor its name"),
        (
            {"external_task_id": "a", "external_task_ids": ["b"]},
            "it takes either external_task_id=",
        ),
        ({"external_task_id": 5}, "external_task_id is 5, not text"),
        ({"external_task_ids": "a"}, "external_task_ids are 'a', not a list"),
        ({"execution_delta": 1, "execution_date_fn": max}, "it takes either execution_delta="),
        ({"execution_delta": "soon"}, "'soon' is no duration"),
        ({"execution_date_fn": 5}, "execution_date_fn is 5, no function"),
        ({"allowed_states": []}, "allowed_states names no state"),
        ({"allowed_states": ["done"]}, "there is no final state 'done'"),
        ({"failed_states": ["success"]}, "the state 'succeeded' is named twice"),
    ],
)
def test_wrong_argument_of_the_sensor_is_told_with_its_line(options: Any, message: str) -> None:
    given = {"external_dag_id": "load", **options}
    with pytest.raises(InvalidArgument, match=rf"test_runs_of_other_flows\.py:\d+: .*{message}"):
        ExternalTaskSensor(task_id="wait", **given)
