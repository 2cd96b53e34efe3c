"""Flows run in memory under virtual time."""

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ostinato import (
    DAG,
    EmptyOperator,
    PythonOperator,
    Resource,
    Skip,
    dag,
    task,
    task_group,
    testing,
)
from ostinato.errors import ParameterError, RunFailed, UsageError, ValueMissing
from ostinato.store.sqlite import open_store


def test_results_pass_from_task_to_task() -> None:
    @dag
    def etl() -> None:
        @task
        def extract() -> str:
            return "data"

        @task
        def transform(data: str) -> str:
            return data + " transformed"

        transform(extract())

    run = testing.run(etl())

    assert run.state == "succeeded"
    assert run.result("transform") == "data transformed"
    assert run.order == ["extract", "transform"]


def test_retries_wait_in_virtual_time_only() -> None:
    tries: list[int] = []

    @dag
    def flaky() -> None:
        @task(retries=3, retry_delay=timedelta(hours=1), retry_exponential_backoff=2)
        def load() -> str:
            tries.append(1)
            if len(tries) < 4:
                raise ConnectionError("not yet")
            return "done"

        load()

    run = testing.run(flaky())

    assert run.state == "succeeded"
    assert run.attempts("load") == 4
    assert run.duration == timedelta(hours=1 + 2 + 4)


def test_a_failure_shows_the_users_line_first() -> None:
    @dag
    def broken() -> None:
        @task
        def divide() -> float:
            return 1 / 0

        divide()

    run = testing.run(broken())

    failure = run.task_run("divide").failure
    assert run.state == "failed"
    assert failure is not None
    assert failure.type == "ZeroDivisionError"
    assert failure.frames[-1].code == "return 1 / 0"
    with pytest.raises(RunFailed, match="ZeroDivisionError: division by zero"):
        run.raise_for_state()


def test_mapping_over_a_result_gives_an_ordered_sequence() -> None:
    @dag
    def mapped() -> None:
        @task
        def numbers() -> list[int]:
            return [3, 1, 2]

        @task
        def double(n: int) -> int:
            return n * 2

        @task
        def collect(values: Any) -> list[int]:
            return list(values)

        collect(double.expand(n=numbers()))

    run = testing.run(mapped())

    assert run.result("double") == [6, 2, 4]
    assert run.result("collect") == [6, 2, 4]
    assert run.result("double", map_index=1) == 2


def test_a_mapped_group_keeps_its_indices_apart() -> None:
    @dag
    def grouped() -> None:
        @task
        def names() -> list[str]:
            return ["a", "b"]

        @task_group
        def each(name: str) -> Any:
            @task
            def letters(name: str) -> list[str]:
                return [name * n for n in (1, 2, 3)]

            @task
            def upper(text: str) -> str:
                return text.upper()

            @task
            def join(parts: Any) -> str:
                return "-".join(parts)

            return join(upper.expand(text=letters(name)))

        each.expand(name=names())

    run = testing.run(grouped())

    assert run.state == "succeeded", run.reason
    assert run.result("each.join") == ["A-AA-AAA", "B-BB-BBB"]
    assert run.task_run("each.upper", map_index=(1, 2)).state == "succeeded"


def test_branch_skips_what_was_not_chosen() -> None:
    @dag
    def branching() -> None:
        @task.branch
        def choose() -> str:
            return "left"

        left, right = EmptyOperator(task_id="left"), EmptyOperator(task_id="right")
        join = EmptyOperator(task_id="join", trigger_rule="none_failed_min_one_success")
        choose() >> [left, right] >> join

    run = testing.run(branching())

    assert run.states == {
        "choose": "succeeded",
        "left": "succeeded",
        "right": "skipped",
        "join": "succeeded",
    }


def test_skip_is_no_failure() -> None:
    @dag
    def skipping() -> None:
        @task
        def extract() -> None:
            raise Skip("no rows today")

        @task
        def load(rows: Any) -> None:
            raise AssertionError("must not run")

        load(extract())

    run = testing.run(skipping())

    assert run.states == {"extract": "skipped", "load": "skipped"}
    assert run.task_run("extract").reason == "no rows today"
    assert run.state == "succeeded"


class Warehouse(Resource):
    """A resource that a test must never open."""

    def open(self) -> "Warehouse":
        raise AssertionError("the real one was opened")


def test_resources_are_replaced() -> None:
    class Fake:
        rows = 7

    @dag(resources={"warehouse": Warehouse()})
    def counting() -> None:
        @task
        def count(warehouse: Warehouse) -> int:
            rows: int = warehouse.rows  # type: ignore[attr-defined]  # the test's own
            return rows

        count()

    run = testing.run(counting(), resources={"warehouse": Fake()})

    assert run.result("count") == 7


def test_a_pool_is_never_exceeded() -> None:
    with DAG("pooled") as flow:
        for index in range(6):
            PythonOperator(
                task_id=f"work_{index}", python_callable=lambda: None, pool="db", priority=index
            )

    run = testing.run(flow, pools={"db": 1})

    assert run.order == [f"work_{index}" for index in reversed(range(6))]


def test_a_pool_that_does_not_exist_is_named() -> None:
    with DAG("pooled") as flow:
        EmptyOperator(task_id="work", pool="bd")

    with pytest.raises(UsageError, match="task 'work' asks for the pool 'bd'"):
        testing.run(flow, pools={"db": 1})


def test_parameters_are_checked() -> None:
    @dag
    def parametrised(day: str, limit: int = 5) -> None:
        @task
        def show(day: str, limit: int) -> str:
            return f"{day} {limit}"

        show(day, limit)

    flow = parametrised()

    assert testing.run(flow, params={"day": "2025-01-01"}).result("show") == "2025-01-01 5"
    with pytest.raises(ParameterError, match="day"):
        testing.run(flow)
    with pytest.raises(ParameterError, match="limt"):
        testing.run(flow, params={"day": "x", "limt": 1})


def test_the_logical_date_is_what_was_asked_for() -> None:
    @dag(schedule="@daily")
    def dated() -> None:
        @task
        def show(ds: str | None = None, data_interval_start: Any = None) -> str:
            return f"{ds} {data_interval_start:%Y-%m-%d}"

        show()

    run = testing.run(dated(), date=datetime(2025, 3, 2, tzinfo=UTC))

    assert run.result("show") == "2025-03-02 2025-03-01"


def test_a_part_of_a_flow_runs_alone() -> None:
    @dag
    def parts() -> None:
        a, b, c = (EmptyOperator(task_id=name) for name in "abc")
        a >> b >> c

    run = testing.run(parts(), select="b+")

    assert run.states == {"b": "succeeded", "c": "succeeded"}


def test_critical_failure_ends_the_run_at_once() -> None:
    @dag
    def critical() -> None:
        @task(criticality="critical", priority=5)
        def gate() -> None:
            raise ValueError("closed")

        @task(max_active=1)
        def other(n: int) -> None:
            return None

        gate()
        other.expand(n=[1, 2, 3])

    run = testing.run(critical())

    assert run.state == "failed"
    assert run.reason == "critical task gate failed"


def test_unserialisable_results_name_task_and_type() -> None:
    @dag
    def generators() -> None:
        @task
        def make() -> Any:
            return (n for n in range(3))

        make()

    run = testing.run(generators())

    failure = run.task_run("make").failure
    assert failure is not None
    assert "make" in failure.message
    assert "generator" in failure.message


def test_what_much_depends_on_goes_first_by_its_weight() -> None:
    with DAG("weighted", default_args={"pool": "one", "weight_rule": "downstream"}) as flow:
        EmptyOperator(task_id="alone")
        head = EmptyOperator(task_id="head")
        head >> EmptyOperator(task_id="middle") >> EmptyOperator(task_id="end")

    run = testing.run(flow, pools={"one": 1})

    assert run.order[0] == "head"


def test_a_part_reads_a_mapped_result_of_an_earlier_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    @dag
    def parts() -> None:
        @task
        def double(n: int) -> int | None:
            return None if n == 2 else n * 2

        @task
        def collect(values: Any) -> list[int | None]:
            return list(values)

        collect(double.expand(n=[1, 2, 3]))

    flow = parts()
    flow.run(executor="inline")

    run = flow.run(executor="inline", select="collect")

    assert run.result("collect") == [2, None, 6]


def test_a_part_that_lacks_a_value_leaves_no_run_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    @dag
    def parts() -> None:
        @task
        def first() -> int:
            return 1

        @task
        def second(n: int) -> int:
            return n

        second(first())

    with pytest.raises(ValueMissing, match="'second' reads the result of 'first'"):
        parts().run(executor="inline", select="second")

    with contextlib.closing(open_store(tmp_path / "store.db")) as store:
        assert store.find_run("last") is None
