"""This module holds every store to its contract: backfills."""

from msgspec.structs import replace

from ostinato.model.backfill import BackfillRow, BackfillState, DateState, Settled
from ostinato.model.state import RunState
from ostinato.store.records import Batch, RunUpdate
from tests.contract.conftest import START_US, House
from tests.contract.samples import VERSION, new_run

DAYS = [(1_000, 0, 1_000), (2_000, 1_000, 2_000), (3_000, 2_000, 3_000)]
NEW = BackfillRow(0, "shop", "etl", VERSION, b"{}", "none", 2, "running", "ada")


def test_backfill_is_read_back_with_its_dates_in_their_order(house: House) -> None:
    made = house.store.backfills.create(NEW, DAYS[::-1])

    backfills = house.other().backfills
    assert made == NEW._replace(id=made.id, created_us=START_US)
    assert backfills.find(made.id) == made
    assert backfills.live("shop") == backfills.page("shop") == [made]
    assert [date[2:5] for date in backfills.dates(made.id)] == DAYS[::-1]
    assert backfills.counts(made.id) == {DateState.WAITING: 3}
    assert backfills.span(made.id) == (1_000, 3_000)


def test_newest_backfill_comes_first_and_those_of_other_projects_do_not(house: House) -> None:
    backfills = house.store.backfills
    made = [backfills.create(NEW, DAYS[:1]) for _ in range(3)]
    backfills.create(NEW._replace(project="bank"), DAYS[:1])

    newest = backfills.page("shop", limit=2)

    assert newest == [made[2], made[1]]
    assert backfills.page("shop", before_id=made[1].id) == [made[0]]
    assert [row.id for row in backfills.live("shop")] == [row.id for row in made]
    assert backfills.find(10_000) is None


def test_dates_come_in_pages_and_by_state(house: House) -> None:
    backfills = house.store.backfills
    made = backfills.create(NEW, DAYS)

    backfills.settle(made.id, [Settled(1, DateState.WAITING, DateState.SKIPPED, 17)])

    assert [row.position for row in backfills.dates(made.id, after=0, limit=1)] == [1]
    assert [row.position for row in backfills.dates(made.id, state=DateState.WAITING)] == [0, 2]
    skipped = backfills.dates(made.id, state=DateState.SKIPPED)
    assert [(row.position, row.run_id) for row in skipped] == [(1, 17)]


def test_date_that_has_gone_on_meanwhile_is_left_as_it_is(house: House) -> None:
    backfills = house.store.backfills
    made = backfills.create(NEW, DAYS)
    backfills.settle(made.id, [Settled(0, DateState.WAITING, DateState.CANCELLED, 0)])

    backfills.settle(made.id, [Settled(0, DateState.WAITING, DateState.ACTIVE, 17)])

    assert backfills.counts(made.id) == {DateState.CANCELLED: 1, DateState.WAITING: 2}


def test_active_dates_whose_runs_have_ended_or_are_gone_are_told(house: House) -> None:
    backfills, store = house.store.backfills, house.store
    made = backfills.create(NEW, DAYS)
    live, ended = store.create_runs([new_run("etl"), new_run("etl")], owner=house.lease)
    update = RunUpdate(int(RunState.FAILED), "", 1, 2, 0, ended.id)
    batch = Batch()
    batch.runs.append(update)
    store.commit(batch, house.lease)

    runs = enumerate((live.id, ended.id, 99))
    active = [Settled(at, DateState.WAITING, DateState.ACTIVE, run) for at, run in runs]
    backfills.settle(made.id, active)

    assert sorted(backfills.ended(made.id)) == [(1, int(RunState.FAILED), ended.id), (2, -1, 99)]


def test_cancelling_drops_what_waits(house: House) -> None:
    backfills = house.store.backfills
    made = backfills.create(NEW, DAYS)
    backfills.settle(made.id, [Settled(0, DateState.WAITING, DateState.ACTIVE, 17)])

    first = backfills.change_state(made.id, BackfillState.RUNNING, BackfillState.CANCELLING)
    second = backfills.change_state(made.id, BackfillState.RUNNING, BackfillState.CANCELLING)

    assert (first, second) == (True, False)
    assert backfills.counts(made.id) == {DateState.ACTIVE: 1, DateState.CANCELLED: 2}


def test_backfill_that_has_ended_is_live_again_with_what_is_retried(house: House) -> None:
    backfills = house.store.backfills
    made = backfills.create(NEW, DAYS)
    after = ((DateState.SUCCEEDED, 7), (DateState.FAILED, 8), (DateState.CANCELLED, 0))
    settled = [Settled(at, DateState.WAITING, *each) for at, each in enumerate(after)]
    backfills.settle(made.id, settled)
    backfills.change_state(made.id, BackfillState.RUNNING, BackfillState.FAILED)
    ended = backfills.find(made.id)

    count = backfills.retry(made.id, BackfillState.FAILED)

    assert ended is not None
    assert ended.ended_us == START_US
    assert count == 2
    assert backfills.live("shop") == [made]
    assert [row.tries for row in backfills.dates(made.id)] == [0, 1, 0]


def test_backfill_without_failures_is_not_retried(house: House) -> None:
    backfills = house.store.backfills
    made = backfills.create(NEW, [])
    backfills.change_state(made.id, BackfillState.RUNNING, BackfillState.SUCCEEDED)

    assert backfills.retry(made.id, BackfillState.SUCCEEDED) == 0

    assert backfills.live("shop") == []


def test_newest_run_of_a_date_is_told(house: House) -> None:
    backfills, store = house.store.backfills, house.store
    dated = [replace(new_run("etl"), logical_date_us=day) for day in (1_000, 1_000, 2_000)]
    runs = store.create_runs(dated, owner=house.lease)

    newest = backfills.newest_run("shop", "etl", 1_000)

    assert newest == (runs[1].id, 2, int(RunState.QUEUED), "")
    assert backfills.newest_run("shop", "etl", 3_000) is None
    assert backfills.newest_run("bank", "etl", 1_000) is None
