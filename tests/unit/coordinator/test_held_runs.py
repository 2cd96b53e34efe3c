"""Runs wait while as many of their flow are under way as may be."""

from typing import Any

import pytest

from ostinato import DAG, dag, task
from tests.unit.coordinator.conftest import House


@dag(max_active_runs=1)
def single() -> None:
    @task
    def first() -> int:
        return 1

    @task(depends_on_past=True)
    def second(value: Any) -> None: ...

    second(first())


@dag(max_active_runs=2)
def double() -> None:
    @task(retries=1, retry_delay="1h")
    def first(try_number: int | None = None) -> None:
        if try_number == 1:
            raise ValueError

    first()


def most_at_a_time(house: House) -> int:
    most, under_way = 0, set()
    for event in house.store.events(limit=1000):
        kind = type(event.event).__name__
        if kind == "RunStarted":
            under_way.add(event.run_id)
        elif kind == "RunEnded":
            under_way.remove(event.run_id)
        most = max(most, len(under_way))
    return most


@pytest.mark.parametrize(("flow", "most"), [(single(), 1), (double(), 2)])
def test_no_more_runs_begin_than_may_and_by_date(house: House, flow: DAG, most: int) -> None:
    runner = house.runner(flow)
    rows = {day: house.create(runner, flow, day) for day in (4, 2, 5, 3, 1)}

    runner.drive()

    assert most_at_a_time(house) == most
    assert house.order("RunStarted") == [rows[day].id for day in (1, 2, 3, 4, 5)]
    ended = [house.store.run(row.id) for row in rows.values()]
    assert {row.state.label for row in ended if row} == {"succeeded"}


def test_a_held_run_can_be_cancelled(house: House) -> None:
    runner = house.runner(double())
    rows = [house.create(runner, double(), day) for day in (1, 2, 3)]
    runner.cancel(rows[2].id, "somebody")

    runner.drive()

    ended = [house.store.run(row.id) for row in rows]
    assert [row.state.label for row in ended if row] == ["succeeded", "succeeded", "cancelled"]


def test_nobody_waits_for_the_past_of_a_run_that_waits_for_its_end(house: House) -> None:
    flow = single()
    runner = house.runner(flow)
    late = house.create(runner, flow, 2)
    runner._coordinator._turn()
    early = house.create(runner, flow, 1)

    runner.drive()

    assert house.order("RunStarted") == [late.id, early.id]
    assert house.states(late) == house.states(early) == {
        "first": "succeeded", "second": "succeeded",
    }  # fmt: skip


def test_what_is_taken_over_counts_and_is_not_held(house: House) -> None:
    flow = double()
    first = house.runner(flow)
    lost = [house.create(first, flow, day) for day in (1, 2)]
    first._coordinator._turn()
    first.close()
    runner = house.runner(flow)
    rows = [house.create(runner, flow, 3)]
    for row in lost:
        runner.resume(row.id, flow.definition)

    runner.drive()

    assert most_at_a_time(house) == 2
    assert house.order("RunEnded")[-1] == rows[0].id
