"""Which limits the tasks of a run share, and with whom."""

from typing import Any

import pytest

from ostinato.coordinator.limits import Budget, Executors, Limits
from ostinato.engine.queueing import Lane
from ostinato.errors import UsageError
from ostinato.model.flow import FlowDefinition, TaskDefinition
from ostinato.model.policy import Compute, Policy
from tests.unit.engine.driving import flow, task

EXECUTORS = Executors(frozenset({"process", "inline"}), {"thread": "inline"}, "process")


def lanes(limits: Limits, *tasks: TaskDefinition, **fields: Any) -> list[Lane]:
    return limits.lanes(FlowDefinition("etl", tasks=tasks, **fields), EXECUTORS)


def demands(lane: Lane) -> dict[str, int]:
    return {limit.name: amount for limit, amount in lane.demands}


def test_tasks_that_ask_for_the_same_share_a_lane() -> None:
    pooled = Policy(pool="db")
    found = lanes(
        Limits({"db": 3}),
        task("a"),
        task("b"),
        task("c", pooled),
        task("d", pooled),
        task("e", Policy(pool="db", pool_slots=2)),
        task("f", Policy(executor="thread")),
    )

    assert found[0] is found[1]
    assert found[2] is found[3]
    assert len(set(map(id, found))) == 4
    assert demands(found[2]) == {"pool 'db'": 1}
    assert demands(found[4]) == {"pool 'db'": 2}
    assert [lane.executor for lane in found] == ["process"] * 5 + ["inline"]


def test_pools_and_the_machine_are_shared_by_all_runs() -> None:
    limits = Limits({"db": 3}, Budget(cpu=2.5, gpu=1, memory_bytes=100))
    asking = Policy(pool="db", compute=Compute(cpu=0.5, gpu=1, memory_bytes=40))

    first, second = lanes(limits, task("a", asking)), lanes(limits, task("a", asking))

    assert demands(first[0]) == {"pool 'db'": 1, "cpu": 500, "gpu": 1000, "memory": 40}
    assert [limit for limit, _ in first[0].demands] == [limit for limit, _ in second[0].demands]


def test_who_asks_for_nothing_of_the_machine_takes_nothing_of_it() -> None:
    [lane] = lanes(Limits({}, Budget(cpu=1)), task("a"))

    assert lane.demands == ()


def test_what_the_machine_has_no_limit_of_is_not_counted() -> None:
    asking = Policy(compute=Compute(cpu=3, gpu=8, memory_bytes=10**12))
    [lane] = lanes(Limits({}, Budget(cpu=4)), task("a", asking))

    assert demands(lane) == {"cpu": 3000}


def test_more_than_all_is_all_unless_somebody_said_how_much_there_is() -> None:
    asking = task("a", Policy(compute=Compute(cpu=8)))
    [lane] = lanes(Limits({}, Budget(cpu=2, is_cpu_given=False)), asking)

    assert demands(lane) == {"cpu": 2000}
    with pytest.raises(UsageError, match="'a' asks for 8 of cpu, and there is 2"):
        lanes(Limits({}, Budget(cpu=2)), asking)
    with pytest.raises(UsageError, match="'a' asks for 8 of memory, and there is 7"):
        lanes(Limits({}, Budget(memory_bytes=7)), task("a", Policy(compute=Compute(0, 8))))


def test_limits_of_tasks_hold_in_a_run_or_over_all() -> None:
    limits = Limits({})
    own, over = Policy(max_active=2), Policy(max_active_over_runs=3)
    tasks = task("m", own, over=9), task("n", own, over=9), task("o", over)
    first, second = lanes(limits, *tasks), lanes(limits, *tasks)

    assert demands(first[0]) == {"max_active of m": 1}
    assert demands(first[1]) == {"max_active of n": 1}
    assert first[0].demands[0][0] is not second[0].demands[0][0]
    assert first[2].demands[0][0] is second[2].demands[0][0]
    assert first[2].demands[0][0].slots == 3


def test_all_tasks_of_a_run_share_its_limit() -> None:
    found = lanes(Limits({}), task("a"), task("b", Policy(executor="inline")), max_active_tasks=4)

    assert found[0].demands == found[1].demands
    assert demands(found[0]) == {"max_active_tasks": 1}


def test_what_there_is_not_cannot_be_asked_for() -> None:
    with pytest.raises(UsageError, match="the pool 'db', which does not exist"):
        lanes(Limits({}), task("a", Policy(pool="db")))
    with pytest.raises(UsageError, match="takes 4 slots of the pool 'db', which has 3"):
        lanes(Limits({"db": 3}), task("a", Policy(pool="db", pool_slots=4)))
    with pytest.raises(UsageError, match="the executor 'moon'"):
        Limits({}).lanes(flow(task("a", Policy(executor="moon"))), EXECUTORS)
