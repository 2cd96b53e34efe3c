"""Runs that depend on earlier runs of their flow, here and elsewhere."""

from typing import Any

import pytest

from ostinato import DAG, dag, task, testing
from ostinato.errors import UsageError
from tests.unit.coordinator.conftest import House


@dag
def daily(bad: str = "") -> None:
    @task(depends_on_past=True)
    def load(bad: str) -> None:
        if bad == "load":
            raise ValueError(bad)

    @task
    def report(rows: Any, bad: str) -> None:
        if bad == "report":
            raise ValueError(bad)

    report(load(bad), bad)


@dag
def patient(bad: str = "") -> None:
    @task(wait_for_downstream=True)
    def load() -> None: ...

    @task
    def report(rows: Any, bad: str) -> None:
        if bad:
            raise ValueError(bad)

    report(load(), bad)


def test_the_first_run_depends_on_nothing() -> None:
    assert testing.run(daily()).state == "succeeded"


def test_a_run_goes_on_where_the_one_before_went_well() -> None:
    first = testing.run(daily(), date="2025-01-01", params={"bad": "report"})
    second = testing.run(daily(), date="2025-01-02", after=first)

    assert first.state == "failed"
    assert second.states == {"load": "succeeded", "report": "succeeded"}


def test_a_run_stops_where_the_one_before_failed() -> None:
    first = testing.run(daily(), date="2025-01-01", params={"bad": "load"})
    second = testing.run(daily(), date="2025-01-02", after=first)

    assert second.states == {"load": "upstream_failed", "report": "upstream_failed"}
    assert second.task_run("load").reason == "'load' of daily#1, the run before, failed"
    assert second.state == "failed"


def test_earlier_is_what_has_an_earlier_logical_date() -> None:
    first = testing.run(daily(), date="2025-01-02", params={"bad": "load"})
    second = testing.run(daily(), date="2025-01-01", after=first)
    third = testing.run(daily(), date="2025-01-02", after=second)

    assert second.state == "succeeded"
    assert third.state == "succeeded"


def test_what_follows_may_count_too() -> None:
    first = testing.run(patient(), date="2025-01-01", params={"bad": "yes"})
    second = testing.run(patient(), date="2025-01-02", after=first)

    assert first.states["load"] == "succeeded"
    assert second.task_run("load").reason == "'report' of patient#1, the run before, failed"


def test_a_partial_run_without_the_task_is_passed_over() -> None:
    first = testing.run(daily(), date="2025-01-01", params={"bad": "load"})
    partial_after = testing.run(daily(), date="2025-01-03", after=first)
    assert partial_after.state == "failed"
    clean = testing.run(patient(), date="2025-01-01")
    part = testing.run(patient(), date="2025-01-02", select="report", after=clean)
    third = testing.run(patient(), date="2025-01-03", after=part)

    assert third.state == "succeeded"


@pytest.mark.parametrize("flow", [daily(), patient()], ids=["past", "downstream"])
def test_runs_of_one_coordinator_wait_for_each_other(house: House, flow: DAG) -> None:
    runner = house.runner(flow)
    rows = [house.create(runner, flow, day) for day in (3, 2, 1)]

    runner.drive()

    ended = [house.store.run(row.id) for row in rows]
    assert [row.state.label for row in ended if row] == ["succeeded"] * 3
    starts = [
        event.run_id
        for event in house.store.events(limit=1000)
        if type(event.event).__name__ == "AttemptStarted" and event.task_id == "load"
    ]
    assert starts == [row.id for row in reversed(rows)]


def test_a_failure_passes_through_the_runs_of_one_coordinator(house: House) -> None:
    runner = house.runner(daily())
    third, second = (house.create(runner, daily(), day) for day in (3, 2))
    first = house.create(runner, daily(), 1, bad="load")

    runner.drive()

    assert house.states(first) == {"load": "failed", "report": "upstream_failed"}
    for row in (second, third):
        assert house.states(row) == {"load": "upstream_failed", "report": "upstream_failed"}


def test_an_interrupted_run_is_waited_for_and_says_so(house: House) -> None:
    lost = house.runner(daily())
    house.create(lost, daily(), 1)
    lost.close()
    runner = house.runner(daily())
    later = house.create(runner, daily(), 2)

    with pytest.raises(UsageError, match="'load' waits for 'load' of daily#1"):
        runner.drive()

    assert house.states(later)["load"] == "deferred"


def test_a_run_of_another_coordinator_is_looked_at_again(house: House) -> None:
    elsewhere, here = house.runner(daily()), house.runner(daily())
    first = house.create(elsewhere, daily(), 1)
    second = house.create(here, daily(), 2)

    with pytest.raises(UsageError, match="waits for 'load' of daily#1"):
        here.drive()
    elsewhere.drive()
    house.clock.advance_to(house.clock.now_us() + 60_000_000)
    here.drive()

    for row in (first, second):
        assert house.states(row) == {"load": "succeeded", "report": "succeeded"}
