"""This module tests how one of several schedulers becomes the one that fires."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostinato.client.scheduler_role import SchedulerRole
from ostinato.clock import VirtualClock
from ostinato.store.sqlite import SqliteStore, open_store


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(1_750_000_000_000_000)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[SqliteStore]]:
    """The same store, as two processes open it."""
    stores = [open_store(tmp_path / "store.db", durability="relaxed") for _ in range(2)]
    yield stores
    for store in stores:
        store.close()


def test_of_two_schedulers_one_is_active_and_the_other_takes_over(
    stores: list[SqliteStore], clock: VirtualClock
) -> None:
    first, second = (SchedulerRole(store, "shop", clock=clock) for store in stores)
    other_project = SchedulerRole(stores[1], "other", clock=clock)

    assert (first.is_active(), second.is_active()) == (True, False)
    assert other_project.is_active()
    first.close()
    clock.advance_to(clock.now_us() + 1_500_000)
    assert second.is_active()
    assert stores[0].role_holder("scheduler:shop") is not None
    second.close()
    other_project.close()
    assert stores[0].role_holder("scheduler:shop") is None
    assert stores[0].coordinators() == []


def test_scheduler_that_was_taken_for_dead_is_one_again(
    stores: list[SqliteStore], clock: VirtualClock
) -> None:
    role = SchedulerRole(stores[0], "shop", clock=clock)
    assert role.is_active()
    stores[0].abandon_coordinator(role._lease)
    stores[1].reap()
    clock.advance_to(clock.now_us() + 1_500_000)

    assert role.is_active()
    role.close()


def test_others_wake_a_scheduler(stores: list[SqliteStore]) -> None:
    role, is_woken = SchedulerRole(stores[0], "shop"), threading.Event()
    role.subscribe(is_woken.set)
    stores[1].wake_schedulers()

    assert is_woken.wait(5)
    role.close()
