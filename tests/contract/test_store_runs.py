"""This module holds every store to its contract: how runs are created and found."""

import random

import pytest
from msgspec import structs

from ostinato.errors import OwnershipLost, UsageError
from ostinato.model.identity import RunId
from ostinato.model.state import RunState
from ostinato.store.protocol import RunFilter, Store
from ostinato.store.records import (
    CoordinatorLease,
    NewRun,
    RunRow,
)
from tests.contract.conftest import NO_RUN, START_US, House, in_threads
from tests.contract.samples import (
    VERSION,
    new_run,
    update,
    value,
)

# Creating runs


def test_run_is_read_back_as_it_was_asked_for(house: House) -> None:
    wanted = NewRun(
        project="shop",
        flow="etl",
        manifest_version=VERSION,
        params=b'{"day": "2025-01-01", "limits": [1, 2]}',
        trigger="schedule",
        home="service",
        logical_key="schedule:nightly:2025-01-01",
        logical_date_us=1,
        interval_start_us=2,
        interval_end_us=3,
        partition="north",
        tags=("nightly", "ünïcode"),
        target="etl.py:etl",
        code='{"commit": "abc"}',
    )

    [created] = house.store.create_runs([wanted])

    assert house.store.run(created.id) == created
    asked = {name: getattr(wanted, name) for name in NewRun.__struct_fields__}
    assert {name: getattr(created, name) for name in asked} == asked
    assert (created.number, created.state, created.owner) == (1, RunState.QUEUED, 0)
    assert (created.created_us, created.started_us, created.ended_us) == (START_US, 0, 0)


def test_numbers_count_the_runs_of_each_flow(house: House) -> None:
    made = house.store.create_runs([new_run("a"), new_run("b"), new_run("a"), new_run("a")])

    assert [(run.flow, run.number) for run in made] == [("a", 1), ("b", 1), ("a", 2), ("a", 3)]


def test_asking_again_under_a_logical_key_returns_the_first_run(house: House) -> None:
    [first] = house.store.create_runs([new_run(logical_key="api:1")])

    again = house.store.create_runs([new_run(logical_key="api:1"), new_run(logical_key="api:1")])

    assert again == [first, first]


def test_logical_key_is_asked_for_twice_in_one_commit(house: House) -> None:
    first, second = house.store.create_runs([new_run(logical_key="k"), new_run(logical_key="k")])

    assert first.id == second.id
    assert len(house.store.runs(RunFilter())[0]) == 1


def test_logical_keys_of_other_flows_are_others(house: House) -> None:
    first, second = house.store.create_runs(
        [new_run("a", logical_key="k"), new_run("b", logical_key="k")]
    )

    assert first.id != second.id


def test_runs_without_a_logical_key_are_never_the_same(house: House) -> None:
    first, second = house.store.create_runs([new_run(), new_run()])

    assert first.id != second.id


def test_runs_of_one_key_from_two_processes_at_once_are_one(house: House) -> None:
    other = house.other()
    found: list[int] = []

    def ask(store: Store) -> None:
        found.extend(
            store.create_runs([new_run(logical_key=f"tick {number}")])[0].id for number in range(20)
        )

    in_threads(lambda: ask(house.store), lambda: ask(other))

    assert len(found) == 40
    assert len(set(found)) == 20


def test_created_runs_belong_to_their_owner_at_once(house: House) -> None:
    [run] = house.store.create_runs([new_run()], owner=house.lease)

    assert run.owner == house.lease.id


def test_fenced_coordinator_creates_no_run(house: House) -> None:
    fenced = CoordinatorLease(house.lease.id, house.lease.epoch - 1)

    with pytest.raises(OwnershipLost):
        house.store.create_runs([new_run()], owner=fenced)

    assert house.store.runs(RunFilter())[0] == []


def test_later_runs_have_larger_ids_although_the_clock_stands_still(house: House) -> None:
    made = [house.store.create_runs([new_run()])[0] for _ in range(50)]

    assert [run.id for run in made] == sorted({run.id for run in made})


def test_later_runs_have_larger_ids_and_no_earlier_moments_when_the_clock_jumps_back(
    house: House,
) -> None:
    [first] = house.store.create_runs([new_run()])
    house.clock.jump_to(START_US - 3_600_000_000)

    [second] = house.store.create_runs([new_run()])

    assert second.id > first.id
    assert second.created_us == first.created_us
    assert house.store.check_integrity() == []


def test_run_has_a_larger_id_than_that_of_a_process_whose_ids_are_ahead(house: House) -> None:
    other = house.other()
    other.new_id()
    ahead = [house.store.new_id() for _ in range(10_000)]
    [first] = house.store.create_runs([new_run()])

    [second] = other.create_runs([new_run()])

    assert second.id > first.id > max(ahead)
    assert names(house.store.runs(RunFilter())[0]) == ["etl#2", "etl#1"]


def test_ids_of_two_processes_never_meet(house: House) -> None:
    other = house.other()
    made: list[int] = []

    in_threads(
        lambda: made.extend([house.store.new_id() for _ in range(5000)]),
        lambda: made.extend([other.new_id() for _ in range(5000)]),
    )

    assert len(set(made)) == 10_000
    assert all(0 < each < 1 << 63 for each in made)


# Finding runs


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("last", "b#1"),
        ("a", "a#2"),
        ("a#1", "a#1"),
        ("a#2", "a#2"),
        ("a#3", None),
        ("a#", None),
        ("#1", None),
        ("c", None),
        ("17", None),
        ("99999999999999999999999", None),
        ("a#99999999999999999999999", None),
        ("²", None),
        ("", None),
    ],
)
def test_run_is_found_by_what_people_call_it(house: House, name: str, found: str | None) -> None:
    house.store.create_runs([new_run("a"), new_run("a"), new_run("b")])

    run = house.store.find_run(name)

    assert (None if run is None else f"{run.flow}#{run.number}") == found


def test_each_number_is_found_among_runs_that_live_ended_and_are_gone(house: House) -> None:
    chance = random.Random(7)
    runs: list[RunRow] = []
    for _ in range(40):
        # Also of ids that follow each other, lie far apart, and were made while a clock was wrong.
        house.clock.jump_to(START_US + chance.choice([0, 1, 10**6, 10**9, 10**12]))
        new = [new_run(chance.choice("ab")) for _ in range(chance.randint(1, 5))]
        runs += house.store.create_runs(new, owner=house.lease)
    ended = chance.sample(runs, len(runs) // 2)
    house.commit(*(update(run.id, RunState.SUCCEEDED, ended_us=20) for run in ended))
    old = house.store.pruning.old_runs("shop", 2 * START_US)
    gone = house.store.pruning.delete_runs(chance.sample(old, len(old) // 2))
    assert gone

    for run in runs:
        found = house.store.find_run(f"{run.flow}#{run.number}")
        assert (found and found.id) == (None if run.id in gone else run.id)
    for flow in "ab":
        assert house.store.find_run(f"{flow}#{len(runs) + 1}") is None
        assert house.store.find_run(f"{flow}#0") is None


def test_run_is_found_by_its_id(house: House) -> None:
    [run] = house.store.create_runs([new_run()])

    assert house.store.find_run(str(run.id)) == run


def test_flow_named_with_a_hash_is_found(house: House) -> None:
    [run] = house.store.create_runs([new_run("a#b")])

    assert house.store.find_run("a#b") == run
    assert house.store.find_run("a#b#1") == run


def test_nothing_is_last_in_an_empty_store(house: House) -> None:
    assert house.store.find_run("last") is None


def test_unknown_run_is_none(house: House) -> None:
    assert house.store.run(NO_RUN) is None


# Lists of runs


def names(runs: list[RunRow]) -> list[str]:
    return [f"{run.flow}#{run.number}" for run in runs]


def test_runs_are_listed_newest_first(house: House) -> None:
    house.store.create_runs([new_run("a"), new_run("b"), new_run("a")])

    assert names(house.store.runs(RunFilter())[0]) == ["a#2", "b#1", "a#1"]


def test_page_that_is_exactly_the_rest_is_the_last_one(house: House) -> None:
    house.store.create_runs([new_run() for _ in range(4)])

    first, cursor = house.store.runs(RunFilter(), limit=2)
    second, end = house.store.runs(RunFilter(), cursor=cursor, limit=2)

    assert names(first + second) == ["etl#4", "etl#3", "etl#2", "etl#1"]
    assert end == ""


def test_list_of_no_run_is_empty(house: House) -> None:
    assert house.store.runs(RunFilter(flow="none")) == ([], "")


@pytest.fixture
def mixed(house: House) -> House:
    """Four runs that differ in everything that lists can filter by."""
    wanted = [
        NewRun("shop", "a", VERSION, params=b'{"day": "mon", "n": 1}', tags=("x", "y")),
        NewRun("shop", "b", VERSION, params=b'{"day": "tue", "n": 1}', trigger="schedule"),
        NewRun("shop", "a", VERSION, params=b'{"day": "mon", "n": 2}', tags=("y",)),
        NewRun("shop", "b", VERSION, params=b'{"day": "mon", "deep": [1]}', trigger="schedule"),
    ]
    ids = []
    for new in wanted:
        ids.append(house.store.create_runs([new], owner=house.lease)[0].id)
        house.clock.advance_to(house.clock.now_us() + 1000)
    house.commit(update(ids[0], RunState.FAILED), update(ids[1], RunState.RUNNING))
    house.commit(update(ids[2], RunState.SUCCEEDED))
    return house


@pytest.mark.parametrize(
    ("which", "found"),
    [
        (RunFilter(flow="a"), ["a#2", "a#1"]),
        (RunFilter(trigger="schedule"), ["b#2", "b#1"]),
        (RunFilter(tag="x"), ["a#1"]),
        (RunFilter(tag="y"), ["a#2", "a#1"]),
        (RunFilter(states=(RunState.QUEUED,)), ["b#2"]),
        (RunFilter(states=(RunState.RUNNING, RunState.QUEUED)), ["b#2", "b#1"]),
        (RunFilter(states=(RunState.FAILED, RunState.SUCCEEDED)), ["a#2", "a#1"]),
        (RunFilter(states=(RunState.FAILED, RunState.FAILED)), ["a#1"]),
        (RunFilter(states=tuple(RunState)), ["b#2", "a#2", "b#1", "a#1"]),
        (RunFilter(states=(RunState.PAUSED,)), []),
        (RunFilter(created_from_us=START_US + 2000), ["b#2", "a#2"]),
        (RunFilter(created_from_us=START_US + 1999), ["b#2", "a#2"]),
        (RunFilter(created_from_us=START_US + 9000), []),
        (RunFilter(created_to_us=START_US + 2000), ["b#1", "a#1"]),
        (RunFilter(created_to_us=START_US + 2001), ["a#2", "b#1", "a#1"]),
        (RunFilter(created_to_us=START_US), []),
        (RunFilter(created_from_us=START_US + 1, created_to_us=START_US + 2001), ["a#2", "b#1"]),
        (RunFilter(params=(("day", '"mon"'),)), ["b#2", "a#2", "a#1"]),
        (RunFilter(params=(("day", '"mon"'), ("n", "2"))), ["a#2"]),
        (RunFilter(params=(("n", "1"), ("day", '"tue"'))), ["b#1"]),
        (RunFilter(params=(("deep", "[1]"),)), []),
        (RunFilter(params=(("day", '"mon"'),), tag="y"), ["a#2", "a#1"]),
        (RunFilter(params=(("day", '"mon"'),), flow="b"), ["b#2"]),
        (RunFilter(flow="b", states=(RunState.RUNNING, RunState.FAILED)), ["b#1"]),
        (RunFilter(flow="a", trigger="schedule"), []),
        (RunFilter(flow="b", trigger="schedule", states=(RunState.QUEUED,)), ["b#2"]),
        (RunFilter(tag="y", flow="a", states=(RunState.FAILED,)), ["a#1"]),
        (RunFilter(tag="y", trigger="manual", created_to_us=START_US + 1), ["a#1"]),
        (RunFilter(states=(RunState.QUEUED, RunState.FAILED), created_to_us=START_US + 1), ["a#1"]),
    ],
    ids=str,
)
def test_runs_are_filtered(mixed: House, which: RunFilter, found: list[str]) -> None:
    assert names(mixed.store.runs(which)[0]) == found
    assert names(every_run(mixed.store, which, limit=1)) == found


def every_run(store: Store, which: RunFilter, *, limit: int) -> list[RunRow]:
    """Page through runs."""
    page, cursor = store.runs(which, limit=limit)
    found = list(page)
    while cursor:
        page, cursor = store.runs(which, cursor=cursor, limit=limit)
        assert 0 < len(page) <= limit
        found += page
    return found


@pytest.mark.slow
def test_pages_stay_whole_while_runs_arrive(house: House) -> None:
    total = 10_000
    ids = [run.id for run in house.store.create_runs([new_run() for _ in range(total)])]

    seen: list[int] = []
    page, cursor = house.store.runs(RunFilter(), limit=500)
    while True:
        seen += [run.id for run in page]
        house.store.create_runs([new_run() for _ in range(3)])
        if not cursor:
            break
        page, cursor = house.store.runs(RunFilter(), cursor=cursor, limit=500)

    assert seen == ids[::-1]


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "²", "1" * 30, '["a"]'])
def test_foreign_cursor_is_refused(house: House, cursor: str) -> None:
    with pytest.raises(UsageError, match="no cursor"):
        house.store.runs(RunFilter(), cursor=cursor)
    with pytest.raises(UsageError, match="no cursor"):
        house.store.task_runs(NO_RUN, cursor=cursor)
    with pytest.raises(UsageError, match="no cursor"):
        house.store.events(after=cursor)


# Earlier runs


def dated(house: House, day: int, state: RunState, flow: str = "etl") -> RunRow:
    [run] = house.store.create_runs(
        [NewRun("shop", flow, VERSION, logical_date_us=day)], owner=house.lease
    )
    house.commit(update(run.id, state, ended_us=day))
    return run


def test_previous_success_is_that_of_the_next_earlier_logical_date(house: House) -> None:
    late = dated(house, 30, RunState.SUCCEEDED)
    early = dated(house, 10, RunState.SUCCEEDED)
    dated(house, 20, RunState.FAILED)
    dated(house, 25, RunState.SUCCEEDED, "other")
    now = dated(house, 30, RunState.RUNNING)

    found = house.store.previous_success(now)

    assert found is not None
    assert found.id == early.id
    assert house.store.previous_success(early) is None
    assert house.store.previous_success(late) == found


def test_runs_before_come_by_logical_date_then_newest_first(house: House) -> None:
    late = dated(house, 30, RunState.SUCCEEDED)
    early = dated(house, 10, RunState.FAILED)
    first = dated(house, 20, RunState.RUNNING)
    second = dated(house, 20, RunState.SUCCEEDED)
    dated(house, 25, RunState.SUCCEEDED, "other")

    found = house.store.runs_before(late, limit=5)

    assert [run.id for run in found] == [second.id, first.id, early.id]
    assert house.store.runs_before(late, limit=1) == found[:1]
    assert house.store.runs_before(early, limit=5) == []


def test_newest_run_with_a_value_is_found_by_logical_date(house: House) -> None:
    first = dated(house, 10, RunState.RUNNING)
    second = dated(house, 20, RunState.RUNNING)
    dated(house, 25, RunState.RUNNING)
    third = dated(house, 30, RunState.RUNNING)
    house.commit(value(first.id, "load"), value(second.id, "load"), value(second.id, "x", key="k"))
    house.commit(value(third.id, "load"))

    def newest(task_id: str, before: RunRow, key: str = "return_value", flow: str = "etl") -> int:
        return house.store.newest_run_with_value(flow, task_id, key, before)

    assert newest("load", third) == second.id
    assert newest("load", second) == first.id
    assert newest("load", first) == 0
    assert newest("x", third, "k") == second.id
    assert newest("x", third) == 0
    assert newest("load", third, flow="other") == 0


def test_runs_of_a_flow_that_are_live_or_went_wrong_are_found_together(house: House) -> None:
    states = (RunState.RUNNING, RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
    runs = [house.run(flow) for flow in ("etl", "report") for _ in states]
    for run, state in zip(runs, states * 2, strict=True):
        house.commit(update(run.id, state, ended_us=20 if state.is_terminal else 0))

    def found(*wanted: RunState) -> list[RunId]:
        page, _ = house.store.runs(RunFilter(flow="etl", states=wanted))
        return [run.id for run in page]

    assert found(RunState.FAILED) == [runs[2].id]
    assert found(RunState.FAILED, RunState.CANCELLED) == [runs[3].id, runs[2].id]
    assert found(RunState.RUNNING, RunState.FAILED) == [runs[2].id, runs[0].id]
    assert found(*RunState) == [run.id for run in runs[3::-1]]


def test_open_subflows_are_those_that_a_run_called(house: House) -> None:
    def called(tag: str, trigger: str = "flow") -> NewRun:
        return structs.replace(new_run("inner"), tags=(tag,), trigger=trigger)

    rows = house.store.create_runs(
        [
            called("from:outer#1/2"),
            called("from:outer#1/10.0"),
            called("from:outer#10/2"),
            called("from:outer#1/3", trigger="api"),
            called("from:other#1/2"),
        ]
    )

    assert house.store.open_subflows("outer", 1) == rows[:2]
    assert house.store.open_subflows("inner", 1) == []


def test_runs_are_seen_when_their_commit_was_let_go(house: House) -> None:
    moment_us = START_US + 10_000_000
    seen: list[int] = []

    [row] = house.store.create_runs(
        [new_run()], at_us=moment_us, before_commit=lambda: seen.append(1)
    )
    [later] = house.store.create_runs([new_run()])

    assert seen == [1]
    assert row.created_us == later.created_us == moment_us
    assert house.store.run(row.id) == row


def test_runs_whose_commit_is_refused_are_not_there(house: House) -> None:
    def refuse() -> None:
        message = "no"
        raise LookupError(message)

    with pytest.raises(LookupError):
        house.store.create_runs([new_run(logical_key="a")], before_commit=refuse)

    assert house.store.runs(RunFilter())[0] == []
    [row] = house.store.create_runs([new_run(logical_key="a")])
    assert row.number == 1
