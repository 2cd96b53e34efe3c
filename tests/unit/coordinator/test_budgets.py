"""How a coordinator gets its share of the limits that it has in common with others."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ostinato.clock import VirtualClock
from ostinato.coordinator.budgets import IDLE_S, LOOK_S, TURN_S, Budgets
from ostinato.coordinator.limits import Executors, Limits
from ostinato.engine.queueing import Ready, ReadyQueue
from ostinato.engine.task_run import TaskRun
from ostinato.model.flow import FlowDefinition
from ostinato.model.policy import Policy
from ostinato.model.state import TaskRunState
from ostinato.store.sqlite import open_store
from tests.unit.engine.driving import task

EXECUTORS = Executors(frozenset({"process"}), {}, "process")


class Desk:
    """One coordinator, as far as limits are concerned.

    Args:
        path: Of the store that it shares.
        clock: Of all desks.
        pools: As they are found by whoever looks.
    """

    def __init__(self, path: Path, clock: VirtualClock, pools: dict[str, int]) -> None:
        self.store = open_store(path, clock=clock, durability="relaxed", busy_timeout_s=0.01)
        self.queue = ReadyQueue()
        self.clock = clock
        limits = Limits(pools, find_pools=lambda: dict(pools))
        self.lease = self.store.register_coordinator()
        self.budgets = Budgets(self.store, self.lease, limits, self.queue, clock)
        flow = FlowDefinition("etl", tasks=(task("load", Policy(pool="db")),))
        [self.lane] = limits.lanes(flow, EXECUTORS)
        self.taken: list[Ready] = []

    def queue_up(self, count: int) -> None:
        """Make task runs wait for the pool."""
        for number in range(count):
            task_run = TaskRun(0, f"load {number}", (), 0, 0)
            task_run.state = TaskRunState.QUEUED
            self.queue.push(Ready(1, task_run, self.lane), 1)

    def turn(self) -> int:
        """Take a turn of a loop and return how many are dispatched by now."""
        self._dispatch()
        if self.budgets.look():
            self._dispatch()
        return len(self.taken)

    def finish(self, count: int) -> None:
        """End what was dispatched first."""
        for ready in self.taken[:count]:
            self.queue.release(ready)
        del self.taken[:count]

    def granted(self) -> dict[int, int]:
        """Return what the store has granted to whom."""
        return {row.owner: row.granted for row in self.store.budgets.shares()}

    def _dispatch(self) -> None:
        while (ready := self.queue.pop("process")) is not None:
            self.taken.append(ready)


class Hall:
    """Desks at one store."""

    def __init__(self, path: Path) -> None:
        self.clock = VirtualClock(1_750_000_000_000_000)
        self.pools = {"db": 4}
        self._path = path
        self._desks: list[Desk] = []

    def desk(self) -> Desk:
        """Open one more."""
        self._desks.append(Desk(self._path, self.clock, self.pools))
        return self._desks[-1]

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance_to(self.clock.now_us() + round(seconds * 1e6))

    def close(self) -> None:
        """Close all desks."""
        for desk in self._desks:
            desk.store.close()


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    opened = Hall(tmp_path / "store.db")
    yield opened
    opened.close()


def test_who_is_alone_takes_all_in_the_turn_in_which_it_needs_it(hall: Hall) -> None:
    desk = hall.desk()
    desk.queue_up(6)

    assert desk.turn() == 4
    assert desk.granted() == {desk.lease.id: 4}


def test_what_needs_no_limit_asks_for_nothing(hall: Hall) -> None:
    desk = hall.desk()

    desk.turn()

    assert desk.budgets.next_look_s() is None
    assert desk.granted() == {}


def test_slots_pass_to_another_as_they_become_free(hall: Hall) -> None:
    first, second = hall.desk(), hall.desk()
    first.queue_up(20)
    second.queue_up(20)
    first.turn()
    hall.wait(TURN_S)

    counts = [second.turn()]
    first.budgets.call()
    first.turn()
    for _ in range(3):
        first.finish(1)
        hall.wait(0.1)
        first.turn()
        second.budgets.call()
        counts.append(second.turn())

    assert counts == [0, 1, 2, 2]
    assert len(first.taken) == 2


def test_idle_slots_go_to_another_at_once(hall: Hall) -> None:
    first, second = hall.desk(), hall.desk()
    first.queue_up(1)
    first.turn()
    second.queue_up(20)
    second.turn()

    hall.wait(0.1)
    first.budgets.call()
    first.turn()
    second.budgets.call()

    assert second.turn() == 3


def test_what_is_not_used_for_a_while_is_given_back(hall: Hall) -> None:
    desk = hall.desk()
    desk.queue_up(1)
    desk.turn()
    desk.finish(1)

    for _ in range(3):
        hall.wait(LOOK_S)
        desk.turn()
    hall.wait(IDLE_S)
    desk.turn()

    assert desk.granted() == {}
    assert desk.budgets.next_look_s() is None


def test_a_changed_pool_holds_for_what_runs(hall: Hall) -> None:
    desk = hall.desk()
    desk.queue_up(20)
    desk.turn()

    hall.pools["db"] = 6
    hall.wait(LOOK_S)
    more = desk.turn()
    hall.pools["db"] = 2
    hall.wait(LOOK_S)
    desk.turn()
    desk.finish(5)
    fewer = desk.turn()

    assert (more, fewer) == (6, 2)


def test_all_is_given_back_in_the_end(hall: Hall) -> None:
    desk = hall.desk()
    desk.queue_up(20)
    desk.turn()

    desk.budgets.close()

    assert desk.granted() == {}


def test_several_never_take_more_than_there_is(hall: Hall) -> None:
    desks = [hall.desk() for _ in range(3)]
    for desk in desks:
        desk.queue_up(50)
    most = 0
    for round_ in range(40):
        for number, desk in enumerate(desks):
            if (round_ + number) % 3 == 0:
                desk.finish(1)
            desk.turn()
            most = max(most, sum(len(each.taken) for each in desks))
        hall.wait(0.3)

    assert most == 4
    assert all(len(desk.lane.heap) < 48 for desk in desks)


def test_a_store_that_is_locked_for_a_moment_is_asked_again(hall: Hall) -> None:
    desk = hall.desk()
    desk.queue_up(6)
    with closing(sqlite3.connect(desk.store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        blocked = desk.turn()

    at_once = desk.turn()
    hall.wait(LOOK_S)

    assert (blocked, at_once, desk.turn()) == (0, 0, 4)
