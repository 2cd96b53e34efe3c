"""Tests of single values, policies and operators in Airflow's words."""

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ostinato import DAG
from ostinato.errors import NotInAirflow
from ostinato.operators import (
    BashOperator,
    BranchDateTimeOperator,
    DayOfWeekSensor,
    EmptyOperator,
    ExternalTaskSensor,
    Operator,
    PythonSensor,
    SqlSensor,
    TimeDeltaSensor,
    TimeSensor,
    TriggerRunOperator,
)
from ostinato.translation.airflow import compile_flow
from ostinato.translation.literals import written
from ostinato.translation.operators import own_values, row_of
from ostinato.translation.policies import policy_arguments
from tests.unit.translation.recorder import executed


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (1.5, "1.5"),
        (math.inf, "float('inf')"),
        (b"x", "b'x'"),
        (Path("a/b"), '"a/b"'),
        ((1,), "(1,)"),
        ({3, 1}, "{1, 3}"),
        (set(), "set()"),
        (frozenset([2]), "frozenset([2])"),
        (timedelta(minutes=90), "pendulum.duration(minutes=90)"),
        (timedelta(milliseconds=250), "pendulum.duration(seconds=0.25)"),
        (date(2025, 1, 31), "pendulum.date(2025, 1, 31)"),
        (time(6, 30), "pendulum.time(6, 30)"),
        (datetime(2025, 1, 31, 6, tzinfo=UTC), 'pendulum.datetime(2025, 1, 31, 6, tz="UTC")'),
        (
            datetime(2025, 1, 31, tzinfo=ZoneInfo("Europe/Berlin")),
            'pendulum.datetime(2025, 1, 31, tz="Europe/Berlin")',
        ),
        (
            datetime(2025, 1, 31, 2, tzinfo=timezone(timedelta(hours=2))),
            'pendulum.datetime(2025, 1, 31, tz="UTC")',
        ),
        (datetime(2025, 1, 31), "pendulum.naive(2025, 1, 31)"),  # noqa: DTZ001 - the case itself
        ("one line", '"one line"'),
        (
            "SELECT *\nFROM orders\nWHERE day = '2025-01-31'\n",
            '(\n    "SELECT *\\n"\n    "FROM orders\\n"\n    "WHERE day = \'2025-01-31\'\\n"\n)',
        ),
    ],
)
def test_a_value_is_written_so_that_it_is_read_again(value: Any, text: str) -> None:
    assert written(value) == text


def test_what_no_text_stands_for_is_refused_by_its_kind() -> None:
    with pytest.raises(NotInAirflow, match="is a object, which cannot be written"):
        written([object()])


def test_each_policy_has_airflows_word() -> None:
    task = EmptyOperator(
        task_id="work",
        retries=2,
        retry_delay="1m",
        retry_exponential_backoff=True,
        max_retry_delay="1h",
        timeout="5m",
        trigger_rule="all_done",
        priority=5,
        weight_rule="upstream",
        pool="api",
        pool_slots=2,
        depends_on_past=True,
        max_active=3,
        max_active_over_runs=4,
        owner="team",
        doc="What it does.",
        map_name="{{ x }}",
        params={"n": 1},
    )

    assert policy_arguments(task) == {
        "retries": "2",
        "retry_delay": "pendulum.duration(minutes=1)",
        "retry_exponential_backoff": "2",
        "max_retry_delay": "pendulum.duration(hours=1)",
        "execution_timeout": "pendulum.duration(minutes=5)",
        "trigger_rule": '"all_done"',
        "priority_weight": "5",
        "weight_rule": '"upstream"',
        "pool": '"api"',
        "pool_slots": "2",
        "depends_on_past": "True",
        "max_active_tis_per_dagrun": "3",
        "max_active_tis_per_dag": "4",
        "owner": '"team"',
        "doc_md": '"What it does."',
        "map_index_template": '"{{ x }}"',
        "params": '{"n": 1}',
    }


@pytest.mark.parametrize(
    ("operator", "name", "values"),
    [
        (
            TriggerRunOperator(task_id="t", flow="other", conf={"a": 1}, wait_for_completion=True),
            "TriggerDagRunOperator",
            {
                "trigger_dag_id": "other",
                "conf": {"a": 1},
                "wait_for_completion": True,
                "allowed_states": ("success",),
            },
        ),
        (
            ExternalTaskSensor(
                task_id="t",
                external_dag_id="crm",
                external_task_id="load",
                allowed_states=["success", "skipped"],
                execution_delta="1h",
                timeout=60,
                mode="poke",
            ),
            "ExternalTaskSensor",
            {
                "external_dag_id": "crm",
                "external_task_id": "load",
                "allowed_states": ("skipped", "success"),
                "execution_delta": timedelta(hours=1),
                "timeout": 60,
            },
        ),
        (
            TimeSensor(task_id="t", target_time=time(6, 30), soft_fail=True),
            "TimeSensor",
            {"target_time": time(6, 30), "mode": "reschedule", "soft_fail": True},
        ),
        (
            TimeDeltaSensor(task_id="t", delta="2h", exponential_backoff=True, max_wait="10m"),
            "TimeDeltaSensor",
            {
                "delta": timedelta(hours=2),
                "mode": "reschedule",
                "exponential_backoff": True,
                "max_wait": timedelta(minutes=10),
            },
        ),
        (
            DayOfWeekSensor(task_id="t", week_day=["sat", "sun"]),
            "DayOfWeekSensor",
            {"week_day": {"Saturday", "Sunday"}, "mode": "reschedule"},
        ),
        (
            BranchDateTimeOperator(
                task_id="t",
                target_upper=time(8),
                follow_task_ids_if_true="a",
                follow_task_ids_if_false=["b", "c"],
            ),
            "BranchDateTimeOperator",
            {
                "target_lower": None,
                "target_upper": time(8),
                "follow_task_ids_if_true": ("a",),
                "follow_task_ids_if_false": ("b", "c"),
            },
        ),
    ],
)
def test_an_operator_has_airflows_arguments(
    operator: Operator, name: str, values: dict[str, Any]
) -> None:
    row = row_of(type(operator))

    assert row.name == name
    assert own_values(operator, row) == values


@pytest.mark.parametrize(
    ("operator", "problem"),
    [
        (
            lambda: PythonSensor(task_id="t", python_callable=bool, exponential_backoff=3),
            "only True or False",
        ),
        (
            lambda: TriggerRunOperator(task_id="t", flow="other", logical_key="k"),
            "Airflow has no logical_key",
        ),
        (
            lambda: SqlSensor(task_id="t", sql="SELECT 1", conn_id="sqlite:///x.db"),
            "names of connections, not URIs",
        ),
    ],
)
def test_arguments_without_a_word_are_refused(operator: Any, problem: str) -> None:
    made = operator()

    with pytest.raises(NotInAirflow, match=problem):
        own_values(made, row_of(type(made)))


def test_the_flows_own_words_stand_with_the_dag() -> None:
    with DAG(
        "all",
        schedule=timedelta(minutes=5),
        start_date="2025-01-01",
        end_date="2025-12-31",
        catchup=True,
        max_active_tasks=3,
        timeout="2h",
        fail_fast=True,
        render_template_as_native_obj=True,
        jinja_environment_kwargs={"trim_blocks": True},
        user_defined_filters={"length": len},
    ) as flow:
        BashOperator(task_id="1st", bash_command="true", pool="api")
        BashOperator(task_id="class", bash_command="true", pool="api")

    text = compile_flow(flow)

    for line in (
        "schedule=DeltaTriggerTimetable(",
        "pendulum.duration(minutes=5), interval=pendulum.duration(minutes=5)",
        'end_date=pendulum.datetime(2025, 12, 31, tz="UTC")',
        "catchup=True",
        "dagrun_timeout=pendulum.duration(hours=2)",
        "fail_fast=True",
        "render_template_as_native_obj=True",
        'user_defined_filters={"length": len}',
        'default_args={"retries": 0, "pool": "api"}',
        'task_1st = BashOperator(task_id="1st"',
        'class_task = BashOperator(task_id="class"',
        "Pools: api.",
    ):
        assert line in text, text
    assert set(executed(text).tasks) == {"1st", "class"}
