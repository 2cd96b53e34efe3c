"""This module holds every store to its contract: deleting what is old."""

from msgspec.structs import replace

from ostinato.clock import SystemClock
from ostinato.model.backfill import BackfillRow, BackfillState
from ostinato.model.state import RunState, TaskRunState
from ostinato.store.pruning import OldRun
from ostinato.store.records import NewRun, RunRow
from tests.contract.conftest import START_US, House
from tests.contract.samples import VERSION, new_run, notice, started, task_run, update, value

LATER_US = START_US + 1_000_000


def ended(house: House, new: NewRun | None = None, state: RunState = RunState.SUCCEEDED) -> RunRow:
    """Return a run that ended at the moment 20."""
    run = house.store.create_runs([new or new_run("etl")], owner=house.lease)[0]
    house.commit(
        task_run(run.id, state=TaskRunState.SUCCEEDED),
        started(run.id),
        value(run.id),
        update(run.id, state, ended_us=20),
    )
    return run


def old(house: House, run: RunRow) -> OldRun:
    found = house.store.pruning.old_runs("shop", LATER_US)
    return next(each for each in found if each.id == run.id)


def test_ended_runs_from_before_a_moment_are_old(house: House) -> None:
    first, second = ended(house), ended(house)
    house.run()
    pruning = house.store.pruning

    found = pruning.old_runs("shop", LATER_US)

    assert [run.id for run in found] == [first.id, second.id]
    assert pruning.old_runs("shop", LATER_US, after_id=first.id, limit=1) == found[1:]
    assert pruning.old_runs("shop", START_US) == []
    assert pruning.old_runs("bank", LATER_US) == []


def test_runs_of_a_flow_beyond_a_number_are_found(house: House) -> None:
    runs = [ended(house) for _ in range(4)]
    ended(house, new_run("report"))
    pruning = house.store.pruning

    last_id = pruning.run_at_rank("etl", 2)

    assert last_id == runs[1].id
    assert pruning.run_at_rank("etl", 4) == 0
    surplus = pruning.surplus_runs("shop", "etl", last_id)
    assert [run.id for run in surplus] == [runs[0].id, runs[1].id]
    assert pruning.flows() == ["etl", "report"]


def test_newest_success_is_known(house: House) -> None:
    run = ended(house)
    ended(house, state=RunState.FAILED)

    assert house.store.pruning.newest_success("etl") == run.id
    assert house.store.pruning.newest_success("report") == 0


def test_deleted_run_is_gone_with_all_that_belonged_to_it(house: House) -> None:
    new = replace(new_run("etl"), tags=("nightly",), params=b'{"rows":3}')
    run, other = ended(house, new), ended(house, new)
    pruning = house.store.pruning

    gone = pruning.delete_runs([old(house, run)])
    left = pruning.half_deleted()
    deleted = pruning.delete_parts(left, limit=100)
    pruning.forget(left)

    assert gone == left == [run.id]
    assert deleted == (3, [run.id])
    assert house.store.run(run.id) is None
    assert list(house.store.all_task_runs(run.id)) == []
    assert house.store.events(run_id=run.id) == []
    assert house.store.values(run.id, "load") == []
    assert len(house.store.events(run_id=other.id)) == 1
    assert pruning.half_deleted() == []
    assert house.store.check_integrity() == []


def test_parts_go_a_few_at_a_time(house: House) -> None:
    run = ended(house)
    house.store.pruning.delete_runs([old(house, run)])

    deleted = [house.store.pruning.delete_parts([run.id], limit=2) for _ in range(3)]

    assert deleted == [(2, []), (1, [run.id]), (0, [run.id])]


def test_half_deleted_run_is_sound(house: House) -> None:
    run = ended(house)

    house.store.pruning.delete_runs([old(house, run)])
    house.store.pruning.delete_parts([run.id], limit=1)

    assert house.store.check_integrity() == []


def test_run_with_a_notice_that_is_not_done_stays(house: House) -> None:
    run = ended(house)
    house.commit(notice(run.id))

    assert house.store.pruning.delete_runs([old(house, run)]) == []

    assert house.store.run(run.id) is not None


def test_run_that_was_taken_up_meanwhile_stays(house: House) -> None:
    run = ended(house)
    found = old(house, run)
    house.store.take_run(run.id, house.lease)

    assert house.store.pruning.delete_runs([found]) == []

    assert house.store.run(run.id) is not None


def test_unused_definitions_are_found_and_deleted(house: House) -> None:
    run = ended(house)
    for version in ("unused", "served", "later"):
        house.store.save_manifest(version, "shop", b"definitions")
    house.store.served.replace("shop", {"etl": "served"})

    unused, newest_run = house.store.pruning.unused_manifests("shop", LATER_US)
    house.store.create_runs([replace(new_run("etl"), manifest_version="later")])
    house.store.pruning.delete_manifests(unused, newest_run)

    assert (sorted(unused), newest_run) == (["later", "unused"], run.id)
    assert house.store.load_manifest("unused") is None
    assert house.store.load_manifest("later") is not None
    assert house.store.pruning.unused_manifests("shop", START_US)[0] == []


def test_old_events_go_by_themselves(house: House) -> None:
    run = ended(house)
    in_two_days_us = SystemClock().now_us() + 2 * 24 * 3600 * 1_000_000

    none = house.store.pruning.delete_events(1, limit=10)
    some = house.store.pruning.delete_events(in_two_days_us, limit=10)

    house.commit(started(run.id))
    assert none == 0
    assert some >= 1
    assert len(house.store.events(run_id=run.id)) == 1
    assert house.store.pruning.count_events(in_two_days_us) == 1


def test_store_tells_what_it_is(house: House) -> None:
    empty = house.store.inspect()
    ended(house)

    found = house.store.inspect()

    assert found.kind.split()[0] in ("SQLite", "PostgreSQL")
    assert (found.counts["runs"], found.counts["live runs"]) == (1, 0)
    assert found.size_bytes > 0
    assert found.schema == empty.schema > 0
    assert empty.oldest_us == 0
    assert found.oldest_us == found.newest_us >= START_US


def test_ended_backfills_go_with_their_dates(house: House) -> None:
    backfills, pruning = house.store.backfills, house.store.pruning
    new = BackfillRow(0, "shop", "etl", VERSION, b"{}", "none", 2, "running", "ada")
    dates = [(day, 0, 0) for day in range(5)]
    over, live = backfills.create(new, dates), backfills.create(new, dates)
    backfills.change_state(over.id, BackfillState.RUNNING, BackfillState.SUCCEEDED)

    young = pruning.delete_backfills("shop", START_US, limit=3)
    counts = [pruning.delete_backfills("shop", LATER_US, limit=3) for _ in range(3)]

    assert (young, counts) == (0, [3, 2, 0])
    assert backfills.page("shop") == [live]
    assert len(backfills.dates(live.id)) == 5
    assert backfills.dates(over.id) == []
