"""What a task can ask its context: of its run, of other runs, and in templates."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ostinato import DAG, PythonOperator, dag, task, testing
from ostinato.runtime.macros import Macros

DATE = "2025-01-31T06:00"


def read(template: str, **params: Any) -> Any:
    """Return what a template says in an attempt."""
    with DAG("sales", params=params, render_template_as_native_obj=True) as flow:
        PythonOperator(task_id="load", python_callable=lambda value: value, op_args=[template])
    return testing.run(flow, date=DATE).raise_for_state().result("load")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ ds }} {{ ds_nodash }}", "2025-01-31 20250131"),
        ("{{ ts }}", "2025-01-31T06:00:00+00:00"),
        ("x{{ ts_nodash }}", "x20250131T060000"),
        ("x{{ ts_nodash_with_tz }}", "x20250131T060000+0000"),
        ("{{ logical_date.hour }}", 6),
        ("x{{ data_interval_start | ds }} {{ data_interval_end | ds }}", "x2025-01-31 2025-01-31"),
        ("{{ params.rows }}", 5),
        ("{{ run.id == run_id }} {{ run.number }}", "True 1"),
        ("{{ run.flow }} {{ run.project }} {{ run.trigger }}", "sales testing test"),
        ("{{ dag_run.conf.rows }} {{ dag_run.run_type }} {{ dag_run.dag_id }}", "5 manual sales"),
        ("{{ dag_run.run_id == run_id }}", True),
        (
            "x{{ dag_run.logical_date | ds }} {{ dag_run.start_date | ds }}",
            "x2025-01-31 2025-01-01",
        ),
        ("x{{ dag_run.run_after | ds }} {{ run.partition_key }}", "x2025-01-31 "),
        ("{{ dag.dag_id }} {{ task.task_id }}", "sales load"),
        ("{{ ti.task_id }} {{ task_instance.dag_id }} {{ ti.try_number }}", "load sales 1"),
        ("{{ ti.map_index }} {{ ti.max_tries }}", "-1 0"),
        ("{{ task_instance_key_str }}", "sales__load__20250131"),
        ("{{ inlets }}{{ outlets }}{{ exception }}", "[][]None"),
        ("{{ test_mode }}", True),
        ("{{ prev_data_interval_end_success is none }}", True),
        ("x{{ macros.ds_add(ds, 2) }}", "x2025-02-02"),
        ("x{{ macros.datetime(2025, 1, 1) + macros.timedelta(days=1) }}", "x2025-01-02 00:00:00"),
        ("{{ macros.json.dumps([1]) }}", [1]),
        ("{{ macros.uuid.UUID(int=0) | string }}", "00000000-0000-0000-0000-000000000000"),
        ("{{ 0 <= macros.random() < 1 }} {{ macros.time.gmtime(0).tm_year }}", "True 1970"),
    ],
)
def test_names_in_templates(template: str, expected: Any) -> None:
    assert read(template, rows=5) == expected


def test_the_context_is_a_mapping_too() -> None:
    @dag
    def flow() -> None:
        @task
        def look(context: Any) -> list[Any]:
            return [
                context["ds"],
                "ds" in context,
                "pull" in context,
                context["ti"] is context,
                len(context) == len(list(context)),
            ]

        look()

    assert testing.run(flow(), date=DATE).result("look") == ["2025-01-31", True, False, True, True]


def test_functions_with_any_keyword_receive_the_context() -> None:
    def look(**context: Any) -> list[Any]:
        return [
            context["dag_run"].conf,
            context["task"].task_id,
            "prev_start_date_success" in context,
        ]

    with DAG("flow", params={"x": 1}) as flow:
        PythonOperator(task_id="look", python_callable=look)

    assert testing.run(flow).result("look") == [{"x": 1}, "look", False]


# Values of other tasks and other runs


def test_values_of_several_tasks_are_a_list() -> None:
    @dag
    def flow() -> None:
        @task
        def one() -> int:
            return 1

        @task
        def two() -> None:
            return None

        @task
        def look(ti: Any) -> Any:
            return [ti.xcom_pull(task_ids=["one", "two"], default=0), ti.xcom_pull("one")]

        [one(), two()] >> look()

    assert testing.run(flow()).result("look") == [[1, 0], 1]


PROJECT = """
from ostinato import dag, task

@dag(schedule="@daily")
def counting(value: int = 0):
    @task
    def keep(value: int, ti):
        if value == 13:
            raise ValueError("no luck")
        ti.xcom_push("twice", value * 2)
        return value

    @task
    def each(n: int):
        return n

    @task(trigger_rule="all_done")
    def look(ti, prev_data_interval_end_success, prev_start_date_success, prev_end_date_success):
        before = ti.xcom_pull("keep", include_prior_dates=True)
        end = prev_data_interval_end_success
        moments = [end and end.isoformat(), prev_start_date_success, prev_end_date_success]
        return [before, moments[0], all(moments)]

    @task
    def last():
        pass

    kept = keep(value)
    kept >> each.expand(n=[1, 2]) >> look()
    kept >> last()

flow = counting()
"""


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DAG:
    (tmp_path / "ostinato.yaml").write_text("name: shop\n")
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    exec(compile(PROJECT, "counting.py", "exec"), space)
    flow: DAG = space["flow"]
    return flow


def run_on(flow: DAG, day: int, **params: Any) -> Any:
    return flow.run(executor="inline", date=datetime(2025, 1, day, tzinfo=UTC), **params)


def test_runs_see_the_last_success_before_them(counting: DAG) -> None:
    first = run_on(counting, 10, value=1)
    failed = run_on(counting, 11, value=13)
    third = run_on(counting, 12, value=3)
    backfilled = run_on(counting, 9, value=4)

    assert failed.state == "failed"
    assert [run.result("look")[1:] for run in (first, failed, third, backfilled)] == [
        [None, False],
        ["2025-01-10T00:00:00+00:00", True],
        ["2025-01-10T00:00:00+00:00", True],
        [None, False],
    ]


def test_values_of_earlier_runs(counting: DAG) -> None:
    run_on(counting, 10, value=1)
    run_on(counting, 12, value=3)

    failed = run_on(counting, 11, value=13)

    assert failed.result("look")[0] == 1


def test_values_of_another_run_and_another_flow(counting: DAG) -> None:
    first = run_on(counting, 10, value=1)
    run_on(counting, 12, value=3)

    @dag
    def other(run: str = "") -> None:
        @task
        def look(run: str, ti: Any) -> list[Any]:
            return [
                ti.pull("keep", run_id=run),
                ti.pull("keep", run_id=run, key="twice"),
                ti.pull("each", run_id=run),
                ti.pull("each", run_id=run, map_index=1),
                ti.pull("none", run_id=run),
                ti.xcom_pull("keep", dag_id="counting"),
                ti.xcom_pull("keep", dag_id="none"),
            ]

        look(run)

    run = other().run(executor="inline", run=first.id, date="2025-01-11")

    assert run.result("look") == [1, 2, [1, 2], 2, None, 1, None]


def test_a_run_that_is_not_there_is_named(counting: DAG) -> None:
    @dag
    def other() -> None:
        @task
        def look(ti: Any) -> Any:
            return ti.pull("keep", run_id="123")

        look()

    run: Any = other().run(executor="inline")

    assert "there is no run 123 to pull from" in str(run.task_run("look").failure)


# Macros


@pytest.mark.parametrize(
    ("moment", "since", "words"),
    [
        (
            datetime.fromisoformat("2025-01-03"),
            datetime.fromisoformat("2025-01-01"),
            "2 days after",
        ),
        (
            datetime.fromisoformat("2025-01-01"),
            datetime(2025, 1, 1, 1, tzinfo=UTC),
            "1 hour before",
        ),
        (
            datetime.fromisoformat("2020-01-01"),
            datetime.fromisoformat("2025-01-01"),
            "5 years before",
        ),
        (
            datetime.fromisoformat("2025-01-01"),
            datetime.fromisoformat("2025-01-01"),
            "0 seconds before",
        ),
    ],
)
def test_distances_of_time_are_told_in_words(moment: datetime, since: datetime, words: str) -> None:
    assert Macros.datetime_diff_for_humans(moment, since) == words


def test_distances_from_now() -> None:
    assert Macros.datetime_diff_for_humans(datetime.fromisoformat("1970-01-01")).endswith(
        "years ago"
    )
    assert Macros.datetime_diff_for_humans(datetime.fromisoformat("9000-01-01")).startswith("in ")


def test_dates_are_moved_and_rewritten() -> None:
    assert Macros.ds_add("2025-03-01", -1) == "2025-02-28"
    assert Macros.ds_format("20250301", "%Y%m%d", "%d.%m.") == "01.03."
    assert repr(Macros()) == "<macros>"


# What lies outside the flow


def test_variables_and_connections_in_templates() -> None:
    template = (
        "{{ var.value.bucket }} {{ var.json.limits.rows }} {{ var.value['bucket'] }} "
        "{{ var.value.get('none', 'x') }} {{ conn.dw.host }}:{{ conn.dw.port }} "
        "{{ conn.get('none') is none }} {{ conn.get('dw').login }}"
    )
    with DAG("flow") as flow:
        PythonOperator(task_id="show", python_callable=str, op_args=[template])

    run = testing.run(
        flow,
        variables={"bucket": "b", "limits": '{"rows": 5}'},
        connections={"dw": "postgres://ana:pw@db:5432/x"},
    )

    assert run.result("show") == "b 5 b x db:5432 True ana"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{ var.value.bukket }}", "'*args' of task 'show', line 1: there is no variable 'bukket'"),
        ("{{ conn.dv.host }}", "line 1: there is no connection 'dv'"),
        ("{{ var.valu.bucket }}", "has no 'valu' (did you mean 'value'?)"),
    ],
)
def test_what_is_not_there_is_named_with_its_field(template: str, problem: str) -> None:
    with DAG("flow") as flow:
        PythonOperator(task_id="show", python_callable=str, op_args=[template])

    run = testing.run(flow, variables={"bucket": "b"}, connections={"dw": "sqlite:///x"})

    assert problem in str(run.task_run("show").failure)
