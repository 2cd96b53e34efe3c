"""This module holds every store to its contract: who may commit, and what is asked of whom."""

import socket
from pathlib import Path

import pytest

from ostinato.errors import OwnershipLost, RunNotFound, RunOwned, UsageError
from ostinato.model.state import RunState
from tests.contract.conftest import NO_RUN, START_US, House, batch_of
from tests.contract.samples import (
    new_run,
    started,
    task_run,
    update,
    value,
)

# Ownership


def test_coordinator_is_seen_alive_with_its_process_and_socket(house: House) -> None:
    lease = house.store.register_coordinator(wake_address="/tmp/x")

    row = house.other().coordinator(lease.id)

    assert row is not None
    assert row.is_alive
    assert (row.id, row.epoch, row.wake_address) == (lease.id, lease.epoch, "/tmp/x")
    assert row.started_us == START_US
    assert row.pid > 0
    assert row.host


def test_killed_coordinator_is_seen_dead(house: House) -> None:
    house.run()
    house.kill(house.lease)

    row = house.other().coordinator(house.lease.id)

    assert row is not None
    assert not row.is_alive


def test_unknown_coordinator_is_none(house: House) -> None:
    assert house.store.coordinator(12345) is None


def test_signing_off_gives_up_runs_and_identity(house: House) -> None:
    run, other = house.run(), house.store.register_coordinator()
    kept = house.run(owner=other)

    house.store.unregister_coordinator(house.lease)

    assert house.store.coordinator(house.lease.id) is None
    assert house.owner_of(run.id) == 0
    assert house.owner_of(kept.id) == other.id


def test_coordinator_that_signed_off_can_not_commit(house: House) -> None:
    run = house.run()
    house.store.unregister_coordinator(house.lease)

    with pytest.raises(OwnershipLost):
        house.commit(task_run(run.id))

    assert house.store.all_task_runs(run.id) == []


def test_run_without_an_owner_is_taken(house: House) -> None:
    [run] = house.store.create_runs([new_run()])

    taken = house.store.take_run(run.id, house.lease)

    assert taken.owner == house.lease.id
    assert house.store.run(run.id) == taken


def test_own_run_is_taken_again(house: House) -> None:
    run = house.run()

    assert house.store.take_run(run.id, house.lease) == run


def test_run_of_a_living_coordinator_is_refused_with_its_process(house: House) -> None:
    run = house.run()
    other = house.other()
    lease = other.register_coordinator()

    with pytest.raises(RunOwned, match=r"run etl#1 is driven by process \d+ on .+cancel 'etl#1'"):
        other.take_run(run.id, lease)

    assert house.owner_of(run.id) == house.lease.id


def test_run_of_a_dead_coordinator_is_taken(house: House) -> None:
    run = house.run()
    other = house.other()
    lease = other.register_coordinator()
    house.kill(house.lease)

    taken = other.take_run(run.id, lease)

    assert taken.owner == lease.id
    other.commit(batch_of(task_run(run.id)), lease)


def test_coordinator_whose_run_was_taken_can_never_commit_again(house: House) -> None:
    run, sibling = house.run(), house.run()
    other = house.other()
    lease = other.register_coordinator()
    house.kill(house.lease)
    other.take_run(run.id, lease)

    for run_id in (run.id, sibling.id):
        with pytest.raises(OwnershipLost):
            house.commit(task_run(run_id), started(run_id), value(run_id), update(run_id))

    assert house.store.events() == []
    assert house.store.all_task_runs(run.id) == []
    assert house.store.values(run.id, "load") == []


def test_coordinator_whose_run_was_taken_takes_no_other(house: House) -> None:
    run = house.run()
    other = house.other()
    lease = other.register_coordinator()
    house.kill(house.lease)
    other.take_run(run.id, lease)
    [free] = house.store.create_runs([new_run()])

    with pytest.raises(OwnershipLost):
        house.store.take_run(free.id, house.lease)

    assert house.owner_of(free.id) == 0


def test_run_of_a_coordinator_that_signed_off_is_taken(house: House) -> None:
    run = house.run()
    house.store.unregister_coordinator(house.lease)

    lease = house.store.register_coordinator()

    assert house.store.take_run(run.id, lease).owner == lease.id


def test_ended_run_of_a_living_coordinator_is_taken(house: House) -> None:
    run = house.run()
    house.commit(update(run.id, RunState.FAILED))
    lease = house.store.register_coordinator()

    assert house.store.take_run(run.id, lease).owner == lease.id


def test_run_that_does_not_exist_is_not_taken(house: House) -> None:
    with pytest.raises(RunNotFound):
        house.store.take_run(NO_RUN, house.lease)


def test_released_run_has_no_owner(house: House) -> None:
    run = house.run()

    house.store.release_run(run.id, house.lease)

    assert house.owner_of(run.id) == 0


def test_only_the_owner_releases_a_run(house: House) -> None:
    run = house.run()
    other = house.store.register_coordinator()

    house.store.release_run(run.id, other)

    assert house.owner_of(run.id) == house.lease.id


def test_dead_coordinators_that_own_nothing_are_forgotten(house: House) -> None:
    idle, busy = house.store.register_coordinator(), house.store.register_coordinator()
    house.run(owner=busy)
    house.kill(idle)
    house.kill(busy)

    house.store.register_coordinator()

    assert house.store.coordinator(idle.id) is None
    assert house.store.coordinator(busy.id) is not None


# Requests


def test_request_reaches_the_owner_of_the_run(house: House) -> None:
    run, other = house.run(), house.store.register_coordinator()
    house.run(owner=other)

    request = house.other().request(run.id, "cancel", "ann")

    assert house.store.pending_requests(house.lease) == [request]
    assert house.store.pending_requests(other) == []
    assert (request.run_id, request.kind, request.by) == (run.id, "cancel", "ann")


def test_request_waits_for_the_next_owner(house: House) -> None:
    [run] = house.store.create_runs([new_run()])
    request = house.store.request(run.id, "cancel", "ann")

    house.store.take_run(run.id, house.lease)

    assert house.store.pending_requests(house.lease) == [request]


def test_handled_request_is_gone_with_the_commit_that_answers_it(house: House) -> None:
    run = house.run()
    first = house.store.request(run.id, "cancel", "ann")
    second = house.store.request(run.id, "cancel", "bob")

    house.commit(first.id)

    assert house.store.pending_requests(house.lease) == [second]


def test_answering_twice_answers_no_later_request(house: House) -> None:
    run = house.run()
    first = house.store.request(run.id, "cancel", "ann")
    house.commit(first.id)
    second = house.store.request(run.id, "cancel", "bob")

    house.commit(first.id)

    assert house.store.pending_requests(house.lease) == [second]


def test_requests_of_a_run_end_with_it(house: House) -> None:
    run = house.run()
    house.store.request(run.id, "cancel", "ann")

    house.commit(update(run.id, RunState.SUCCEEDED))
    house.store.take_run(run.id, house.lease)

    assert house.store.pending_requests(house.lease) == []


def test_nothing_can_be_asked_of_an_ended_run(house: House) -> None:
    run = house.run()
    house.commit(update(run.id, RunState.FAILED))

    with pytest.raises(UsageError, match="run etl#1 has ended: it is failed"):
        house.store.request(run.id, "cancel", "ann")


def test_nothing_can_be_asked_of_a_run_that_does_not_exist(house: House) -> None:
    with pytest.raises(RunNotFound):
        house.store.request(NO_RUN, "cancel", "ann")


def test_request_wakes_the_owner(house: House, tmp_path: Path) -> None:
    address = str(tmp_path / "wake")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        lease = house.store.register_coordinator(wake_address=address)
        run = house.run(owner=lease)

        house.other().request(run.id, "cancel", "ann")

        listener.settimeout(0)
        assert listener.recv(64)


def test_request_is_kept_though_nobody_listens(house: House) -> None:
    lease = house.store.register_coordinator(wake_address="/nowhere/wake")
    run = house.run(owner=lease)

    request = house.store.request(run.id, "cancel", "ann")

    assert house.store.pending_requests(lease) == [request]
