"""This module tests conditions and schedules of single tasks, as their authors see them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ostinato import DAG, BashOperator, EmptyOperator, Retry, task, testing
from ostinato.errors import InvalidArgument, RunFailed, TemplateError

MONDAY = datetime(2024, 5, 20, 6, tzinfo=UTC)


def states(run: testing.MemoryRun) -> dict[str, str]:
    return {each.task_id: str(each.state) for each in run.task_runs}


@pytest.mark.parametrize(
    ("when", "runs"),
    [
        ("{{ params.full }}", True),
        ("params.full and ds > '2024-05-01'", True),
        ("{{ not params.full }}", False),
        ("{% if params.full %}no{% endif %}", False),
        ("params.region == 'EU'", True),
        ("params.region in ['US']", False),
        ("'0'", False),
        (True, True),
        (False, False),
    ],
)
def test_task_whose_condition_is_false_is_skipped(when: Any, runs: bool) -> None:
    with DAG("flow", params={"full": True, "region": "EU"}) as flow:
        EmptyOperator(task_id="load", when=when) >> EmptyOperator(task_id="after")

    run = testing.run(flow, date=MONDAY)

    state = "succeeded" if runs else "skipped"
    assert states(run) == {"load": state, "after": state}


def test_condition_may_ask_for_results_and_indices() -> None:
    @task
    def pages() -> list[int]:
        return [1, 2, 3]

    @task(when="map_index != 1 and ti.xcom_pull('pages')[map_index] < 3")
    def load(page: int) -> int:
        return page

    with DAG("flow") as flow:
        load.expand(page=pages())

    run = testing.run(flow)

    found = [str(each.state) for each in run.task_runs if each.task_id == "load"]
    assert found == ["succeeded", "skipped", "skipped"]


def test_condition_is_asked_before_arguments_are_rendered() -> None:
    with DAG("flow", params={"path": None}) as flow:
        BashOperator(task_id="a", bash_command="echo {{ params.path.name }}", when="params.path")

    assert states(testing.run(flow)) == {"a": "skipped"}


def test_condition_is_asked_again_for_a_retry() -> None:
    @task(when="try_number < 2", retries=3)
    def load() -> None:
        raise Retry(after=1)

    with DAG("flow") as flow:
        load()

    assert states(testing.run(flow)) == {"load": "skipped"}


def test_condition_that_cannot_be_rendered_fails_the_task() -> None:
    with DAG("flow") as flow:
        EmptyOperator(task_id="a", when="nothing.full")

    with pytest.raises(RunFailed, match="'nothing' is unknown"):
        testing.run(flow).raise_for_state()


def test_condition_that_does_not_parse_is_told_when_the_flow_is_built() -> None:
    with DAG("flow") as flow:
        EmptyOperator(task_id="a", when="params.full and")

    with pytest.raises(TemplateError, match="'when' of task 'a', line 1: unexpected"):
        testing.run(flow)


@pytest.mark.parametrize(
    ("schedule", "days"),
    [
        ("0 6 * * MON", [20]),
        ("@weekly", [19]),
        (timedelta(days=2), [19, 21]),
        ("0 6 * * *", [19, 20, 21, 22]),
        ("0 0 1 * *", []),
        ("dates 2024-05-20T03:00:00Z", [20]),
        ("dates 2020-01-01T00:00:00Z", []),
    ],
)
def test_task_runs_where_the_data_interval_has_a_tick_of_its_schedule(
    schedule: Any, days: list[int]
) -> None:
    with DAG("flow", schedule="0 6 * * *") as flow:
        EmptyOperator(task_id="load", schedule=schedule)

    ran = [
        day
        for day in (19, 20, 21, 22)
        if states(testing.run(flow, date=MONDAY.replace(day=day)))["load"] == "succeeded"
    ]

    assert ran == days


def test_schedule_is_read_in_the_zone_of_the_flow() -> None:
    with DAG("flow", schedule="@daily", timezone="Asia/Tokyo") as flow:
        EmptyOperator(task_id="load", schedule="0 0 * * MON")

    # Midnight of Monday in Tokyo.
    run = testing.run(flow, date=datetime(2024, 5, 19, 15, tzinfo=UTC))

    assert states(run) == {"load": "succeeded"}


def test_task_with_a_schedule_runs_where_there_is_no_interval() -> None:
    with DAG("flow") as flow:
        EmptyOperator(task_id="load", schedule="@yearly")

    assert states(testing.run(flow, date=MONDAY)) == {"load": "succeeded"}


def test_reason_says_why_it_was_skipped() -> None:
    with DAG("flow", schedule="@daily") as flow:
        EmptyOperator(task_id="a", schedule="@yearly")
        EmptyOperator(task_id="b", when="false")

    run = testing.run(flow, date=datetime(2024, 5, 20, tzinfo=UTC))

    assert [each.reason for each in run.task_runs] == [
        "'@yearly' has no tick after 2024-05-19T00:00:00+00:00 up to 2024-05-20T00:00:00+00:00",
        "{{ false }} is false",
    ]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"when": ""}, "when: '' is no condition; write a template such as"),
        ({"when": 5}, "when: 5 is no condition"),
        ({"schedule": "@once"}, "schedule: '@once' has no ticks; write a cron expression"),
        ({"schedule": "61 * * * *"}, "schedule '61 .*' is no cron expression: minute 61 is not"),
        ({"schedule": "@weakly"}, r"schedule '@weakly' is unknown \(did you mean '@weekly'"),
    ],
)
def test_condition_or_schedule_that_is_none_is_told_with_its_line(
    policy: Any, message: str
) -> None:
    with pytest.raises(InvalidArgument, match=rf"test_conditions\.py:\d+: .*{message}"):
        EmptyOperator(task_id="a", **policy)
