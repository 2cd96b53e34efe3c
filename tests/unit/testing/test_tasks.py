"""What tasks do in a run, as their authors see it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from ostinato import (
    DAG,
    BashOperator,
    Context,
    Defer,
    EmptyOperator,
    Fail,
    Operator,
    Retry,
    Skip,
    Trigger,
    dag,
    task,
    testing,
)
from ostinato.errors import TemplateError


def test_operator_may_execute_asynchronously() -> None:
    class Sleeper(Operator):
        async def execute(self, context: Context) -> str:
            await asyncio.sleep(0)
            return f"slept in {context.task_id}"

    with DAG("flow") as flow:
        Sleeper(task_id="nap")

    assert testing.run(flow).result("nap") == "slept in nap"


def test_items_are_left_out_by_a_filter() -> None:
    @dag
    def flow() -> None:
        @task
        def numbers() -> list[int]:
            return [1, 2, 3, 4]

        @task
        def double(number: int) -> int:
            return 2 * number

        @task
        def whole(kept: list[int]) -> list[int]:
            return kept

        odd = numbers().filter(lambda number: number % 2)
        double.expand(number=odd)
        whole(odd.map(lambda number: -number))

    run = testing.run(flow())

    assert run.result("whole") == [-1, -3]
    states = [run.states[f"double[{index}]"] for index in range(4)]
    assert states == ["succeeded", "skipped", "succeeded", "skipped"]
    assert run.result("double") == [2, 6]


def test_function_of_a_map_may_skip_its_index() -> None:
    def halve(number: int) -> int:
        if number % 2:
            raise Skip("odd")
        return number // 2

    @dag
    def flow() -> None:
        @task
        def show(number: int) -> int:
            return number

        @task
        def numbers() -> list[int]:
            return [1, 2]

        show.expand(number=numbers().map(halve))

    run = testing.run(flow())

    assert run.states["show[0]"] == "skipped"
    assert run.result("show") == [1]


def test_values_of_an_attempt_are_gone_when_the_next_one_starts() -> None:
    @dag
    def flow() -> None:
        @task(retries=1)
        def load(context: Context) -> Any:
            if context.try_number == 1:
                context.push("rows", 1)
                raise ConnectionError("after the push")
            return context.pull("load", key="rows")

        load()

    run = testing.run(flow())

    assert run.attempts("load") == 2
    assert run.result("load") is None


def test_fail_is_not_tried_again() -> None:
    @dag
    def flow() -> None:
        @task(retries=3)
        def load() -> None:
            raise Fail("no such table")

        load()

    run = testing.run(flow())

    assert run.states == {"load": "failed"}
    assert run.attempts("load") == 1


def test_task_says_when_it_is_tried_again() -> None:
    @dag
    def flow() -> None:
        @task(retries=2, retry_delay="1h")
        def load(try_number: int | None = None) -> str:
            if try_number == 1:
                raise Retry("busy", after="5m")
            if try_number == 2:
                raise Retry("still busy")
            return "done"

        load()

    run = testing.run(flow())

    first, second, third = run.starts_of("load")
    assert run.result("load") == "done"
    assert second - first == timedelta(minutes=5)
    assert third - second == timedelta(hours=1)


def test_retry_needs_a_retry_that_is_left() -> None:
    @dag
    def flow() -> None:
        @task
        def load() -> None:
            raise Retry("busy", after="5m")

        load()

    assert testing.run(flow()).states == {"load": "failed"}


def test_idempotency_key_is_that_of_the_task_run() -> None:
    keys: list[str] = []

    @dag
    def flow() -> None:
        @task(retries=1)
        def load(number: int, context: Context) -> None:
            keys.append(context.idempotency_key)
            if context.try_number == 1:
                raise ConnectionError("not yet")

        load.expand(number=[1, 2])

    testing.run(flow()).raise_for_state()

    assert len(keys) == 4
    assert len(set(keys)) == 2


def test_templates_see_variables_and_connections() -> None:
    template = (
        "{{ var.value.day }} {{ var.json.limits.rows }} {{ var.value.get('nothing', 'none') }} "
        "{{ conn.shop.host }} {{ conn.get('nothing') is none }}"
    )
    with DAG("flow") as flow:
        BashOperator(task_id="say", bash_command=f"echo '{template}'")

    run = testing.run(
        flow,
        connections={"shop": "postgres://ann:secret@db.local/shop"},
        variables={"day": "monday", "limits": '{"rows": 5}'},
    )

    assert run.result("say") == "monday 5 none db.local True"


class Ring(Trigger):
    async def run(self) -> str:
        return "rang"


def test_function_that_defers_to_a_trigger_is_told_what_to_write() -> None:
    @dag
    def flow() -> None:
        @task
        def wait() -> None:
            raise Defer(trigger=Ring())

        wait()

    failure = testing.run(flow()).task_run("wait").failure

    assert failure is not None
    assert "PythonOperator has no method 'execute_complete'" in failure.message
    assert "write an Operator" in failure.message


def test_connection_that_was_not_given_is_told_with_what_to_give() -> None:
    with DAG("flow") as flow:
        BashOperator(task_id="say", bash_command="echo {{ conn.shop.host }} {{ var.value.day }}")

    failure = testing.run(flow).task_run("say").failure
    without_variable = testing.run(flow, connections={"shop": "http://x"}).task_run("say").failure

    assert failure is not None
    assert "connection 'shop' in what was given or in the environment" in failure.message
    assert "give connections={'shop': …}" in failure.message
    assert without_variable is not None
    assert "give variables={'day': …}" in without_variable.message


@pytest.mark.slow
def test_more_than_a_hundred_thousand_indices_are_no_matter() -> None:
    @dag
    def flow() -> None:
        @task
        def nothing(number: int) -> None:
            assert number >= 0

        nothing.expand(number=list(range(100_001)))

    run = testing.run(flow())

    assert run.state == "succeeded"
    assert len(run.states) == 100_001


def test_indices_have_names_for_people() -> None:
    @dag
    def named() -> None:
        @task(map_name="{{ region }} on {{ ds }}")
        def load(region: str) -> None: ...

        @task(map_index_template="{{ task.op_kwargs['region'].upper() }}", retries=1)
        def fails_once(region: str, try_number: int | None = None) -> None:
            if try_number == 1:
                raise ValueError(region)

        @task(map_name="{{ ti.xcom_pull(task_ids='count')[region] }}")
        def counted(region: str, context: Context) -> None: ...

        @task
        def count() -> dict[str, int]:
            return {"north": 3}

        load.expand(region=["north", "south"])
        fails_once.expand(region=["west"])
        count() >> counted.expand(region=["north"])
        BashOperator.partial(task_id="say", map_name="{{ task.bash_command }}").expand(
            bash_command=["true"]
        )

    run = testing.run(named())

    names = {str(view.task_id): view.map_name for view in run.task_runs if view.map_path}
    assert run.task_run("load", map_index=0).map_name == "north on 2025-01-01"
    assert names == {
        "load": "south on 2025-01-01", "fails_once": "WEST", "counted": "3", "say": "true",
    }  # fmt: skip


def test_a_name_that_cannot_be_rendered_fails_nothing() -> None:
    @dag
    def unnamed() -> None:
        @task(map_name="{{ nothing }}")
        def load(region: str) -> None: ...

        load.expand(region=["north"])

    view = testing.run(unnamed()).task_run("load", map_index=0)

    assert (view.state, view.map_name) == ("succeeded", "")


def test_a_name_that_does_not_parse_is_found_when_the_flow_is_built() -> None:
    with DAG("unnamed") as flow:
        EmptyOperator(task_id="a", map_name="{{ region")

    with pytest.raises(TemplateError, match="map_name"):
        flow.definition  # noqa: B018 - it is built when it is first read
