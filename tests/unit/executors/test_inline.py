"""Attempts execute in the coordinator's own thread, in order."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ostinato.authoring.ports import Context
from ostinato.executors.credit import MOST, WORK_S, Credit
from ostinato.executors.inline import InlineExecutor
from ostinato.runtime import messages as msg
from tests.unit.executors.driven import Driven, refuse
from tests.unit.runtime.attempts import Coordinator, flow_of
from tests.unit.runtime.test_resources import Recorded


def executor_of(*functions: Callable[..., Any]) -> InlineExecutor:
    return InlineExecutor({"flow": flow_of(*functions)}, refuse)


def test_attempts_execute_in_order_when_they_are_polled(tmp_path: Path) -> None:
    order: list[str] = []

    def first() -> None:
        order.append("first")

    def second() -> None:
        order.append("second")

    with Driven(tmp_path, executor_of(first, second)) as driven:
        driven.start("first", "second", "first")
        assert order == []
        assert driven.executor.has_work()

        driven.turn()

    assert order == ["first", "second", "first"]
    assert list(driven.reports) == [1, 2, 3]


def test_they_execute_in_the_thread_that_polls(tmp_path: Path) -> None:
    threads: list[threading.Thread] = []

    def note() -> None:
        threads.append(threading.current_thread())

    with Driven(tmp_path, executor_of(note)) as driven:
        driven.run("note")

    assert threads == [threading.current_thread()]


def test_what_waits_is_taken_back(tmp_path: Path) -> None:
    executed: list[str] = []

    def work() -> None:
        executed.append("work")

    with Driven(tmp_path, executor_of(work)) as driven:
        first, second = driven.start("work", "work")
        driven.executor.cancel(second, "cancelled")
        driven.turn()

        assert isinstance(driven.reports[first], msg.Succeeded)
        assert driven.reports[second] == msg.Revoked(second)
        assert executed == ["work"]


def test_attempts_ask_the_coordinator_directly(tmp_path: Path) -> None:
    coordinator = Coordinator()

    def push(context: Context) -> None:
        context.push("rows", 5)

    executor = InlineExecutor({"flow": flow_of(push)}, coordinator.call)
    with Driven(tmp_path, executor) as driven:
        assert isinstance(driven.run("push"), msg.Succeeded)

    assert [value.key for value in coordinator.pushed] == ["rows"]


def test_resources_are_opened_once_and_closed_at_the_end(tmp_path: Path) -> None:
    warehouse = Recorded("warehouse")

    def load(warehouse: object) -> None:
        assert warehouse == "the open warehouse"

    flow = flow_of(load, resources={"warehouse": warehouse})
    with Driven(tmp_path, InlineExecutor({"flow": flow}, refuse)) as driven:
        driven.run("load")
        driven.run("load")

    assert warehouse.events == ["open warehouse", "close warehouse"]


def test_a_flow_that_it_does_not_have_fails(tmp_path: Path) -> None:
    with Driven(tmp_path, InlineExecutor({}, refuse)) as driven:
        assert isinstance(driven.run("work"), msg.Failed)


def test_it_needs_no_look_by_itself(tmp_path: Path) -> None:
    with Driven(tmp_path, executor_of()) as driven:
        assert driven.executor.next_check_s() is None
        assert not driven.executor.has_work()


# Credit


@pytest.mark.parametrize(
    ("duration_s", "attempts"), [(0.0, MOST), (0.001, 10), (0.005, 2), (WORK_S, 1), (60.0, 1)]
)
def test_credit_is_about_ten_milliseconds_of_work(duration_s: float, attempts: int) -> None:
    credit = Credit()

    for _ in range(200):
        credit.learn(duration_s)

    assert abs(credit.attempts - attempts) <= 1


def test_nothing_known_is_taken_one_by_one() -> None:
    assert Credit().attempts == 1


def test_one_that_lasts_counts_at_once() -> None:
    credit = Credit()
    for _ in range(200):
        credit.learn(0.0)

    credit.learn(1.0)

    assert credit.attempts == 1
