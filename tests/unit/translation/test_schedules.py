"""This module tests how schedules are written for Airflow, and which have no words there."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from ostinato.authoring.dag import DAG
from ostinato.authoring.operators.bash import BashOperator
from ostinato.errors import NotInAirflow
from ostinato.schedules import Cron, Dates, Interval, RRule, Timetable
from ostinato.translation.airflow import compile_flow


def compiled(schedule: Any, **options: Any) -> str:
    with DAG("etl", schedule=schedule, **options) as flow:
        BashOperator(task_id="work", bash_command="true")
    return " ".join(compile_flow(flow).split())


@pytest.mark.parametrize(
    ("schedule", "options", "written"),
    [
        ("@once", {}, 'schedule="@once"'),
        (
            Cron("0 6 * * *", timezone="Asia/Tokyo"),
            {},
            '"0 6 * * *", timezone="Asia/Tokyo", interval=pendulum.duration(days=1)',
        ),
        (
            "0 6 * * *",
            {"schedule_reading": "interval_start"},
            'schedule=CronDataIntervalTimetable("0 6 * * *", timezone="UTC")',
        ),
        (
            timedelta(hours=2),
            {"schedule_reading": "interval_start"},
            "schedule=DeltaDataIntervalTimetable(pendulum.duration(hours=2))",
        ),
    ],
)
def test_schedule_in_the_words_of_airflow(
    schedule: Any, options: dict[str, Any], written: str
) -> None:
    assert written in compiled(schedule, **options)


@pytest.mark.parametrize(
    ("schedule", "options", "said"),
    [
        (["@daily", "0 6 * * SAT"], {}, "no schedule of several parts"),
        (Interval("2h", anchor=datetime(2025, 1, 1)), {}, "begin with the start date"),  # noqa: DTZ001 - as users write it
        (RRule("FREQ=DAILY"), {}, "no schedule like 'FREQ=DAILY'"),
        (Dates("2025-01-31"), {}, "no schedule like 'dates"),
        (Timetable(), {}, "no schedule like 'timetable"),
        ("@daily", {"jitter": "5m"}, "no jitter"),
        ("@daily", {"schedule_params": {"day": "x"}}, "no parameters of a schedule"),
    ],
)
def test_what_airflow_has_no_words_for(schedule: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ExceptionGroup) as raised:
        compiled(schedule, **options)

    (problem,) = raised.value.exceptions
    assert isinstance(problem, NotInAirflow)
    assert said in str(problem)
