"""This module tests how ids are made and nodes are leased."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.clock import VirtualClock
from ostinato.errors import StoreFull
from ostinato.store.ids import COUNTER_BITS, EPOCH_MS, NODE_BITS, IdGenerator, lease_node
from ostinato.store.locks import Locks
from ostinato.store.sqlite import open_store

AT_MS = 1_750_000_000_000


class JumpingClock(VirtualClock):
    def jump_to(self, at_ms: int) -> None:
        self._now_us = at_ms * 1000


def parts(made: int) -> tuple[int, int, int]:
    """Return the moment in ms, the node and the counter of an id."""
    counter = made & ((1 << COUNTER_BITS) - 1)
    node = (made >> COUNTER_BITS) & ((1 << NODE_BITS) - 1)
    return (made >> (NODE_BITS + COUNTER_BITS)) + EPOCH_MS, node, counter


def test_id_holds_moment_node_and_counter() -> None:
    ids = IdGenerator(513, VirtualClock(AT_MS * 1000 + 999))

    assert [parts(ids.next()) for _ in range(3)] == [
        (AT_MS, 513, 0),
        (AT_MS, 513, 1),
        (AT_MS, 513, 2),
    ]


def test_ids_fit_63_bits_for_sixty_years() -> None:
    sixty_years_ms = 60 * 366 * 24 * 3600 * 1000
    ids = IdGenerator(1023, VirtualClock((AT_MS + sixty_years_ms) * 1000))

    assert ids.next() < 1 << 63


def test_counter_that_is_used_up_goes_on_in_the_next_millisecond() -> None:
    ids = IdGenerator(1, VirtualClock(AT_MS * 1000))

    made = [ids.next() for _ in range((1 << COUNTER_BITS) + 1)]

    assert parts(made[-2]) == (AT_MS, 1, (1 << COUNTER_BITS) - 1)
    assert parts(made[-1]) == (AT_MS + 1, 1, 0)


def test_ids_are_made_before_the_epoch_too() -> None:
    ids = IdGenerator(1, VirtualClock(0))

    first, second = ids.next(), ids.next()

    assert 0 < first < second


@given(
    st.lists(
        st.tuples(
            st.integers(AT_MS - 5, AT_MS + 5) | st.integers(0, 2 * AT_MS), st.integers(0, 1 << 62)
        )
    )
)
def test_ids_grow_whatever_the_clock_does(steps: list[tuple[int, int]]) -> None:
    clock = JumpingClock(AT_MS * 1000)
    ids = IdGenerator(7, clock)
    last = ids.next()
    for moment_ms, after in steps:
        clock.jump_to(moment_ms)

        made = ids.next(after=after)

        assert made > max(last, after)
        assert parts(made)[1] == 7
        last = made


@given(st.lists(st.sampled_from([1, 2]), max_size=50))
def test_ids_of_two_nodes_that_see_each_others_never_meet(turns: list[int]) -> None:
    clock = VirtualClock(AT_MS * 1000)
    nodes = {1: IdGenerator(1, clock), 2: IdGenerator(2, clock)}
    made: list[int] = []

    for node in turns:
        made.append(nodes[node].next(after=max(made, default=0)))

    assert made == sorted(set(made))


def test_next_holder_of_a_node_makes_no_id_of_an_earlier_one_after_the_clock_jumped_back() -> None:
    ahead = IdGenerator(1, VirtualClock(AT_MS * 1000))
    earlier = [ahead.next() for _ in range(10)]

    behind = IdGenerator(1, VirtualClock((AT_MS - 60_000) * 1000), after=max(earlier))

    assert behind.next() > max(earlier)
    assert parts(behind.next())[0] > AT_MS


def test_two_stores_in_use_have_different_nodes(tmp_path: Path) -> None:
    first, second = open_store(tmp_path / "store.db"), open_store(tmp_path / "store.db")
    try:
        nodes = [parts(store.new_id())[1] for store in (first, second, first)]
    finally:
        first.close()
        second.close()

    assert nodes == [0, 1, 0]


def test_node_of_a_closed_store_is_leased_again(tmp_path: Path) -> None:
    for _ in range(3):
        store = open_store(tmp_path / "store.db")
        made = store.new_id()
        store.close()

        assert parts(made)[1] == 0


def test_store_that_makes_no_id_takes_no_node(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db")
    store.save_manifest("v1", "shop", b"")

    assert not (tmp_path / "nodes").exists()
    store.close()


def test_more_processes_than_nodes_are_refused() -> None:
    locks = Locks(None)
    nodes = [lease_node(locks, "store.db") for _ in range(1 << NODE_BITS)]

    assert nodes == list(range(1024))
    with pytest.raises(StoreFull, match="used by 1024 processes"):
        lease_node(locks, "store.db")


def test_reopened_store_goes_on_after_its_ids_although_the_clock_jumped_back(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path / "store.db", clock=VirtualClock(AT_MS * 1000))
    coordinator = store.register_coordinator()
    store.abandon_coordinator(coordinator)
    store.close()

    store = open_store(tmp_path / "store.db", clock=VirtualClock((AT_MS - 10_000) * 1000))
    made = store.new_id()
    store.close()

    assert made > coordinator.id
