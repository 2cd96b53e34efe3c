"""This module holds every store to its contract: callbacks and alerts, and who sends them."""

import pytest

from ostinato.errors import OwnershipLost
from ostinato.model.state import RunState
from ostinato.store.records import NewRun
from tests.contract.conftest import House, batch_of
from tests.contract.samples import VERSION, notice, started, update


def test_a_notice_is_read_back_as_it_was_written(house: House) -> None:
    run = house.run()
    rows = [notice(run.id, 7, rule="all", topic="all|etl"), notice(run.id, 8)]

    house.commit(*rows)

    assert house.other().notices(run.id) == rows


def test_what_became_of_a_notice_replaces_how_it_stood(house: House) -> None:
    run = house.run()
    house.commit(notice(run.id, 7))
    ended = notice(run.id, 7, state="failed")._replace(
        tries=5, ended_us=90, failure=b"why", message="{}"
    )

    house.commit(ended)

    assert house.store.notices(run.id) == [ended]


def test_a_notice_is_written_with_its_event_or_not_at_all(house: House) -> None:
    run = house.run()
    house.store.unregister_coordinator(house.lease)

    with pytest.raises(OwnershipLost):
        house.commit(started(run.id), notice(run.id))
    assert house.store.notices(run.id) == []


def test_notices_of_an_ended_run_are_still_written(house: House) -> None:
    run = house.run()
    house.commit(update(run.id, RunState.SUCCEEDED), notice(run.id))

    house.commit(notice(run.id, state="done"))

    assert [row.state for row in house.store.notices(run.id)] == ["done"]


def test_the_newest_alert_on_a_topic_is_that_which_was_not_dropped(house: House) -> None:
    run = house.run()
    house.commit(
        notice(run.id, 1, topic="a", created_us=10),
        notice(run.id, 2, topic="a", created_us=30, state="done"),
        notice(run.id, 3, topic="a", created_us=40, state="dropped"),
        notice(run.id, 4, topic="b", created_us=50),
    )

    assert house.store.newest_alert_us("a") == 30
    assert house.store.newest_alert_us("c") == 0
    assert house.store.newest_alert_us("") == 0


def test_pending_notices_of_a_run_go_to_the_next_sender(house: House) -> None:
    run, dead = house.run(), house.store.register_coordinator()
    rows = [
        notice(run.id, 1, owner=dead.id),
        notice(run.id, 2, owner=dead.id, due_us=900),
        notice(run.id, 3, owner=dead.id, state="done"),
    ]
    house.commit(*rows)
    house.kill(dead)

    taken = house.store.take_notices(house.lease, run_id=run.id)

    assert taken == [row._replace(owner=house.lease.id) for row in rows[:2]]
    assert house.store.notices(run.id)[:2] == taken


def test_notices_of_a_living_sender_are_left_to_it(house: House) -> None:
    run, other = house.run(), house.store.register_coordinator()
    house.commit(
        notice(run.id, 1, owner=other.id, rule="all"),
        notice(run.id, 2, owner=house.lease.id, rule="all"),
    )

    assert house.store.take_notices(house.lease, run_id=run.id) == []
    assert house.store.take_notices(house.lease, due_us=100) == []


def test_due_alerts_of_any_run_are_taken_and_its_callbacks_are_not(house: House) -> None:
    first, second = house.run(), house.run("other")
    house.commit(
        notice(second.id, 1, rule="all", due_us=60),
        notice(first.id, 2, rule="all", due_us=50),
        notice(first.id, 3, rule="all", due_us=61),
        notice(first.id, 4),
    )

    taken = house.store.take_notices(house.lease, due_us=60)

    assert [row.id for row in taken] == [2, 1]
    assert house.store.take_notices(house.lease, due_us=60) == []


def test_a_fenced_sender_takes_nothing(house: House) -> None:
    run = house.run()
    house.commit(notice(run.id))
    house.store.unregister_coordinator(house.lease)

    with pytest.raises(OwnershipLost):
        house.store.take_notices(house.lease, run_id=run.id)


def test_a_notice_of_no_run_is_unsound(house: House) -> None:
    house.store.commit(batch_of(notice(12345)), house.lease)

    assert house.store.check_integrity() == ["there are notices of a run that does not exist 12345"]


def test_runs_whose_callbacks_nobody_executes_are_found(house: House) -> None:
    other = house.other()
    lease = other.register_coordinator(kind="worker")
    runs = other.create_runs([NewRun("shop", "etl", VERSION, home="service")] * 3, owner=lease)
    for run in runs[:2]:
        batch = batch_of(update(run.id, RunState.SUCCEEDED), notice(run.id, run.id))
        batch.notices[:] = [row._replace(owner=lease.id) for row in batch.notices]
        other.commit(batch, lease)
    other.commit(batch_of(notice(runs[0].id, runs[0].id, state="done")), lease)
    before = house.store.runs_with_callbacks("shop")

    house.kill(lease)

    assert before == []
    assert house.store.runs_with_callbacks("shop") == [runs[1].id]
    assert house.store.runs_with_callbacks("other") == []
