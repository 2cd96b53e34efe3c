"""This module holds every store to its contract: claims, roles, and the dead."""

import socket
import threading
from pathlib import Path

import pytest

from ostinato.errors import OwnershipLost
from ostinato.model.state import RunState
from ostinato.store.records import NewRun, RunRow
from tests.contract.conftest import House
from tests.contract.samples import VERSION, update

PAIR = ("etl", VERSION)


def waiting(flow: str = "etl", *, priority: int = 0, version: str = VERSION) -> NewRun:
    """Return a run that is left to workers."""
    return NewRun("shop", flow, version, home="service", priority=priority)


def claim(
    house: House, *pairs: tuple[str, str], limit: int = 100, **max_active: int
) -> list[RunRow]:
    """Claim for the house's coordinator."""
    return house.store.claim_runs(
        house.lease, "shop", pairs or [PAIR], limit=limit, max_active=max_active
    )


# Claims


def test_waiting_runs_are_counted_by_flow_and_definitions(house: House) -> None:
    house.store.create_runs([waiting(), waiting(), waiting("b"), waiting(version="w")])
    house.store.create_runs([NewRun("other", "etl", VERSION, home="service")])
    house.run()

    counts = [tuple(each) for each in house.store.claimable("shop")]

    assert sorted(counts) == sorted([("b", VERSION, 1), ("etl", VERSION, 2), ("etl", "w", 1)])


def test_flows_with_urgent_runs_stand_first_and_then_those_with_old_ones(house: House) -> None:
    house.store.create_runs([waiting("b"), waiting("a"), waiting("c", priority=1), waiting("b")])

    assert [each.flow for each in house.store.claimable("shop")] == ["c", "b", "a"]


def test_claimed_run_has_its_owner_and_waits_no_more(house: House) -> None:
    [run] = house.store.create_runs([waiting()])

    claimed = claim(house)

    assert [row.id for row in claimed] == [run.id]
    assert claimed == [house.store.run(run.id)]
    assert claimed[0].owner == house.lease.id
    assert house.store.claimable("shop") == []
    assert claim(house) == []


def test_urgent_runs_are_claimed_first_and_then_the_oldest(house: House) -> None:
    runs = house.store.create_runs([waiting(), waiting(), waiting(priority=5), waiting("b")])

    claimed = claim(house, PAIR, ("b", VERSION), limit=3)

    assert [row.id for row in claimed] == [runs[2].id, runs[0].id, runs[1].id]


def test_only_what_can_be_executed_is_claimed(house: House) -> None:
    house.store.create_runs([waiting("b"), waiting(version="newer")])
    house.store.create_runs([NewRun("shop", "etl", VERSION, home="local")])
    ended = house.run()
    house.commit(update(ended.id, RunState.FAILED))

    assert claim(house) == []


def test_two_coordinators_never_claim_the_same_run(house: House) -> None:
    runs = house.store.create_runs([waiting() for _ in range(6)])
    other = house.other()
    lease = other.register_coordinator(kind="worker")

    mine = claim(house, limit=4)
    theirs = other.claim_runs(lease, "shop", [PAIR], limit=4, max_active={})

    assert [row.id for row in (*mine, *theirs)] == [run.id for run in runs]


def test_limit_of_active_runs_holds_over_all_coordinators(house: House) -> None:
    house.store.create_runs([waiting() for _ in range(5)])
    other = house.other()
    lease = other.register_coordinator(kind="worker")
    house.run()

    first = claim(house, limit=1, etl=3)
    second = other.claim_runs(lease, "shop", [PAIR], limit=9, max_active={"etl": 3})

    assert (len(first), len(second)) == (1, 1)
    assert claim(house, etl=3) == []
    assert len(claim(house, etl=4)) == 1


def test_run_that_had_begun_is_claimed_though_there_is_no_room(house: House) -> None:
    house.store.create_runs([waiting(priority=1) for _ in range(3)])
    [begun] = house.store.create_runs([waiting()], owner=house.lease)
    house.commit(update(begun.id, RunState.RUNNING))
    house.store.release_run(begun.id, house.lease)

    claimed = claim(house, limit=2, etl=1)

    assert [row.id for row in claimed] == [begun.id]


def test_coordinator_that_was_shut_out_claims_nothing(house: House) -> None:
    house.store.create_runs([waiting()])
    other = house.other()
    lease = other.register_coordinator()
    run = house.run()
    house.kill(house.lease)
    other.take_run(run.id, lease)

    with pytest.raises(OwnershipLost):
        claim(house)

    assert [each.waiting for each in other.claimable("shop")] == [1]


# The dead


def test_service_runs_of_the_dead_are_left_to_others(house: House) -> None:
    [run] = house.store.create_runs([waiting()], owner=house.lease)
    local = house.run()
    other = house.other()
    other.register_coordinator()
    house.kill(house.lease)

    assert other.reap() == 1

    assert house.owner_of(run.id) == 0
    assert house.owner_of(local.id) == house.lease.id
    assert [each.waiting for each in other.claimable("shop")] == [1]
    with pytest.raises(OwnershipLost):
        house.commit(update(run.id))
    assert other.reap() == 0


def test_who_has_just_died_keeps_its_runs_for_a_moment(house: House) -> None:
    [run] = house.store.create_runs([waiting()], owner=house.lease)
    other = house.other()
    other.register_coordinator()
    house.kill(house.lease)

    at_once, is_dying = other.reap(sure_after_s=1.0), other.has_dying
    owner = house.owner_of(run.id)
    house.clock.advance_to(house.clock.now_us() + 1_000_000)

    assert (at_once, is_dying, owner) == (0, True, house.lease.id)
    assert (other.reap(sure_after_s=1.0), other.has_dying) == (1, False)
    assert house.owner_of(run.id) == 0


def test_the_living_are_not_reaped(house: House) -> None:
    [run] = house.store.create_runs([waiting()], owner=house.lease)

    assert house.other().reap() == 0

    assert house.owner_of(run.id) == house.lease.id


def test_coordinators_are_listed_with_what_they_are_and_own(house: House) -> None:
    lease = house.store.register_coordinator(kind="worker", name="blue", version="1.2")
    house.run(owner=lease)

    first, second = house.other().coordinators()

    assert (first.id, first.kind, first.run_count, first.is_alive) == (
        house.lease.id,
        "run",
        0,
        True,
    )
    assert (second.kind, second.name, second.version, second.run_count) == (
        "worker",
        "blue",
        "1.2",
        1,
    )


# Roles


def test_role_has_one_holder_who_keeps_it(house: House) -> None:
    other = house.other()
    lease = other.register_coordinator()

    assert house.store.take_role("scheduler:shop", house.lease)
    assert not other.take_role("scheduler:shop", lease)
    assert house.store.take_role("scheduler:shop", house.lease)
    holder = other.role_holder("scheduler:shop")
    assert holder is not None
    assert holder.id == house.lease.id


def test_role_of_the_dead_is_taken(house: House) -> None:
    other = house.other()
    lease = other.register_coordinator()
    house.store.take_role("scheduler:shop", house.lease)
    house.kill(house.lease)

    assert other.role_holder("scheduler:shop") is None
    assert other.take_role("scheduler:shop", lease)


def test_roles_are_found_by_how_they_begin(house: House) -> None:
    other = house.other()
    dead = other.register_coordinator()
    for name in ("code:shop:a", "code:shop:b", "code:shops:c", "scheduler:shop"):
        house.store.take_role(name, house.lease)
    other.take_role("code:shop:d", dead)
    house.kill(dead)

    held = house.store.held_roles("code:shop:")

    assert held == {"code:shop:a": house.lease.id, "code:shop:b": house.lease.id}
    assert house.store.held_roles("other:") == {}


def test_role_is_given_up(house: House) -> None:
    other = house.other()
    lease = other.register_coordinator()
    house.store.take_role("scheduler:shop", house.lease)

    other.release_role("scheduler:shop", lease)
    assert not other.take_role("scheduler:shop", lease)
    house.store.release_role("scheduler:shop", house.lease)

    assert other.take_role("scheduler:shop", lease)


# Waking, definitions


def test_run_that_is_left_to_workers_wakes_them(house: House, tmp_path: Path) -> None:
    address = str(tmp_path / "wake")
    heard = threading.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        house.store.register_coordinator(kind="worker", wake_address=address)
        house.store.listen(heard.set)

        def hear() -> None:
            listener.recv(64)
            heard.set()

        threading.Thread(target=hear, daemon=True).start()

        house.other().create_runs([waiting()])

        assert heard.wait(10)


def test_definitions_tell_which_are_older(house: House) -> None:
    house.clock.advance_to(house.clock.now_us() + 1)
    house.store.save_manifest("b", "shop", b"")
    house.clock.advance_to(house.clock.now_us() + 1)
    house.store.save_manifest("a", "shop", b"")
    house.store.save_manifest(VERSION, "shop", b"")

    assert [version for version, _ in house.store.manifest_versions("shop")] == [VERSION, "b", "a"]


def test_ended_runs_of_the_service_may_be_asked_to_run_again(house: House) -> None:
    [run] = house.store.create_runs([waiting()])
    claim(house)
    local = house.run()
    for each in (run, local):
        house.commit(update(each.id, RunState.FAILED, ended_us=16))

    request = house.store.request(run.id, "retry", "ann", payload=b"[]")
    house.store.request(local.id, "retry", "ann")

    assert house.store.requests_of_ended("shop") == [request]
    assert house.store.requests_of_ended("other") == []


def test_run_that_is_executed_again_may_be_of_other_definitions(house: House) -> None:
    run = house.run()
    other = house.run()
    house.store.release_run(other.id, house.lease)

    house.store.repin_run(run.id, "newer", house.lease)
    house.store.repin_run(other.id, "newer", house.lease)

    versions = [house.store.run(each.id) for each in (run, other)]
    assert [each.manifest_version for each in versions if each] == ["newer", VERSION]
