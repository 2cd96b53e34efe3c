"""Tests of telling code hosts until when what a worker has started may run."""

import pytest

from ostinato.clock import VirtualClock
from ostinato.coordinator.fence import Fence
from ostinato.errors import OwnershipLost
from ostinato.store.records import CoordinatorLease


class Leased:
    """A store with a lease that lasts until a moment."""

    def __init__(self, until_s: float | None) -> None:
        self.until_s = until_s

    def fence_until_s(self, lease: CoordinatorLease) -> float | None:
        del lease
        return self.until_s


class Told:
    """A host that notes what it is told."""

    def __init__(self) -> None:
        self.beats: list[float] = []

    def beat(self, until_s: float) -> None:
        self.beats.append(until_s)


def fence_of(store: Leased, clock: VirtualClock, host: Told) -> Fence:
    lease = CoordinatorLease(1, 1)
    return Fence(store, lease, clock, lambda: [host])  # type: ignore[arg-type, list-item]  # all that it needs of them


def test_hosts_are_told_again_and_again() -> None:
    clock, host = VirtualClock(0), Told()
    store = Leased(clock.monotonic_s() + 8)
    fence = fence_of(store, clock, host)

    fence.take_turn()
    fence.take_turn()
    next_s = fence.next_turn_s()
    clock.advance_to(1_000_000)
    fence.take_turn()

    assert host.beats == [store.until_s, store.until_s]
    assert next_s == 1.0


def test_a_host_that_comes_is_told_at_once() -> None:
    clock, host = VirtualClock(0), Told()
    fence = fence_of(Leased(clock.monotonic_s() + 8), clock, host)
    fence.take_turn()

    fence.beat()
    fence.take_turn()

    assert len(host.beats) == 2


def test_a_lease_that_has_run_out_is_lost() -> None:
    clock = VirtualClock(10_000_000)

    with pytest.raises(OwnershipLost, match="has run out"):
        fence_of(Leased(clock.monotonic_s()), clock, Told()).take_turn()


def test_a_lease_that_lasts_as_long_as_the_process_is_told_nobody() -> None:
    host = Told()
    fence = fence_of(Leased(None), VirtualClock(0), host)

    fence.take_turn()
    fence.beat()
    fence.take_turn()

    assert host.beats == []
    assert fence.next_turn_s() is None
