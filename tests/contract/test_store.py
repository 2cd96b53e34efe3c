"""This module holds every store to its contract: definitions, commits, values, the log."""

from collections import defaultdict
from collections.abc import Callable

import pytest

from ostinato.engine import events as ev
from ostinato.errors import StoreError
from ostinato.model.identity import RunId
from ostinato.model.state import RunState, TaskRunState
from ostinato.model.value import StoredValue, ValueFormat
from ostinato.store.protocol import RunFilter
from ostinato.store.records import (
    ExpansionRow,
    LoggedEvent,
    NewRun,
    TaskRunRow,
    ValueRow,
)
from tests.contract.conftest import NO_RUN, House, Row, batch_of, in_threads
from tests.contract.samples import (
    VERSION,
    earlier_attempt,
    started,
    step,
    task_run,
    update,
    value,
)

# Definitions


def test_definitions_are_kept_under_their_version(house: House) -> None:
    house.store.save_manifest("v2", "shop", b"others")

    assert house.store.load_manifest("v2") == b"others"
    assert house.store.load_manifest(VERSION) == b"definitions"


def test_known_version_keeps_its_first_definitions(house: House) -> None:
    house.store.save_manifest(VERSION, "shop", b"forged")

    assert house.store.load_manifest(VERSION) == b"definitions"


def test_unknown_version_has_no_definitions(house: House) -> None:
    assert house.store.load_manifest("v9") is None


# Commits


def test_everything_of_a_batch_is_read_back(house: House) -> None:
    run = house.run()
    row = task_run(run.id, "load", "3")._replace(
        length=7, chosen='["a"]', stop=True, failure=b"f", inputs="{}", reason="why", due_us=9
    )
    attempt = earlier_attempt(run.id, "load", "3")
    expansion = ExpansionRow(run.id, "load", "", "[5]")
    result = value(run.id, "load", "3", attempt=2)

    house.commit(row, started(run.id, "load", "3"), attempt, expansion, result, update(run.id))

    assert house.store.all_task_runs(run.id) == [row]
    assert house.store.attempts(run.id, "load", "3") == [attempt]
    assert house.store.expansions(run.id) == [expansion]
    assert house.store.values(run.id, "load") == [("3", result.value)]
    [event] = house.store.events(run_id=run.id)
    assert event.event == ev.AttemptStarted(20, "load", (3,), 1)
    assert (event.task_id, event.path, event.at_us) == ("load", "3", 20)
    after = house.store.run(run.id)
    assert after is not None
    assert (after.state, after.started_us) == (RunState.RUNNING, 15)


def test_last_state_of_a_task_run_in_a_batch_wins(house: House) -> None:
    run = house.run()

    house.commit(
        task_run(run.id, state=TaskRunState.RUNNING),
        task_run(run.id, state=TaskRunState.SUCCEEDED, attempt=2),
    )

    [row] = house.store.all_task_runs(run.id)
    assert (row.state, row.attempt) == (TaskRunState.SUCCEEDED, 2)


def test_later_state_of_a_task_run_replaces_the_earlier_one(house: House) -> None:
    run = house.run()
    house.commit(task_run(run.id, state=TaskRunState.RUNNING))

    house.commit(task_run(run.id, state=TaskRunState.FAILED)._replace(failure=b"why"))

    [row] = house.store.all_task_runs(run.id)
    assert (row.state, row.failure) == (TaskRunState.FAILED, b"why")


def test_each_column_of_a_task_run_is_replaced(house: House) -> None:
    run = house.run()
    house.commit(task_run(run.id))
    later = TaskRunRow(
        run.id,
        "load",
        "",
        TaskRunState.SUCCEEDED,
        attempt=2,
        generation=3,
        failures=4,
        losses=5,
        queued_us=6,
        first_started_us=7,
        started_us=8,
        ended_us=9,
        due_us=10,
        length=11,
        chosen="[]",
        stop=True,
        failure=b"f",
        inputs="{}",
        reason="why",
    )

    house.commit(later)

    assert house.store.all_task_runs(run.id) == [later]


def test_refused_row_leaves_nothing_of_its_batch(house: House) -> None:
    run = house.run()
    broken = task_run(run.id, "broken")._replace(reason=None)  # type: ignore[arg-type]  # the table refuses it

    with pytest.raises(StoreError):
        house.commit(task_run(run.id), started(run.id), value(run.id), broken)

    assert house.store.all_task_runs(run.id) == []
    assert house.store.events() == []
    assert house.store.values(run.id, "load") == []
    house.commit(task_run(run.id), started(run.id))
    assert len(house.store.events()) == 1


def test_expansion_is_replaced_after_a_clear(house: House) -> None:
    run = house.run()
    house.commit(ExpansionRow(run.id, "load", "", "[5]"))

    house.commit(ExpansionRow(run.id, "load", "", "[6, 2]"))

    assert house.store.expansions(run.id) == [ExpansionRow(run.id, "load", "", "[6, 2]")]


def test_ended_run_has_no_owner(house: House) -> None:
    run = house.run()

    house.commit(update(run.id, RunState.SUCCEEDED, ended_us=30))

    after = house.store.run(run.id)
    assert after is not None
    assert (after.owner, after.state, after.ended_us) == (0, RunState.SUCCEEDED, 30)


# Task runs


def test_task_runs_come_in_the_order_of_task_and_index(house: House) -> None:
    run = house.run()
    paths = ["10", "2", "0", "1.10", "1", "1.2", "256", "255", "65536", "1.2.3"]
    house.commit(*(task_run(run.id, "b", path) for path in paths), task_run(run.id, "a"))

    rows, end = house.store.task_runs(run.id)

    ordered = ["0", "1", "1.2", "1.2.3", "1.10", "2", "10", "255", "256", "65536"]
    assert [(row.task_id, row.path) for row in rows] == [("a", ""), *(("b", p) for p in ordered)]
    assert end == ""


def test_task_runs_are_paged(house: House) -> None:
    run = house.run()
    house.commit(*(task_run(run.id, task, str(i)) for task in "ab" for i in range(12)))

    found: list[TaskRunRow] = []
    page, cursor = house.store.task_runs(run.id, limit=5)
    while page:
        found += page
        if not cursor:
            break
        page, cursor = house.store.task_runs(run.id, cursor=cursor, limit=5)

    assert [(row.task_id, int(row.path)) for row in found] == [
        (task, i) for task in "ab" for i in range(12)
    ]


def test_task_runs_are_filtered_by_task_and_state(house: House) -> None:
    run, other = house.run(), house.run()
    house.commit(
        task_run(run.id, "a", "0", state=TaskRunState.FAILED),
        task_run(run.id, "a", "1", state=TaskRunState.SUCCEEDED),
        task_run(run.id, "a", "2", state=TaskRunState.FAILED),
        task_run(run.id, "b", "0", state=TaskRunState.FAILED),
        task_run(other.id, "a", "9", state=TaskRunState.FAILED),
    )

    failed, cursor = house.store.task_runs(
        run.id, task_id="a", states=[TaskRunState.FAILED], limit=1
    )
    rest, end = house.store.task_runs(
        run.id, task_id="a", states=[TaskRunState.FAILED], limit=1, cursor=cursor
    )

    assert [row.path for row in failed + rest] == ["0", "2"]
    assert end == ""


def test_task_runs_are_counted_by_task_and_state(house: House) -> None:
    run = house.run()
    house.commit(
        *(task_run(run.id, "a", str(i), state=TaskRunState.SUCCEEDED) for i in range(3)),
        task_run(run.id, "a", "3", state=TaskRunState.FAILED),
        task_run(run.id, "b"),
    )

    counts = house.store.task_run_counts(run.id)

    assert sorted(counts) == [
        ("a", TaskRunState.SUCCEEDED, 3),
        ("a", TaskRunState.FAILED, 1),
        ("b", TaskRunState.RUNNING, 1),
    ]


def test_earlier_attempts_come_oldest_first(house: House) -> None:
    run = house.run()
    made = [
        earlier_attempt(run.id, generation=generation, attempt=attempt)
        for generation in (1, 0)
        for attempt in (10, 2)
    ]
    house.commit(*made, earlier_attempt(run.id, path="1"), task_run(run.id))

    found = house.store.attempts(run.id, "load", "")

    assert [(row.generation, row.attempt) for row in found] == [(0, 2), (0, 10), (1, 2), (1, 10)]


# Values


def test_values_of_a_mapped_task_come_in_the_order_of_index(house: House) -> None:
    run = house.run()
    house.commit(*(value(run.id, "load", str(i), data=b"%d" % i) for i in (10, 2, 1)))

    found = house.store.values(run.id, "load")

    assert [(path, each.data) for path, each in found] == [("1", b"1"), ("2", b"2"), ("10", b"10")]


def test_value_is_found_by_path_and_key(house: House) -> None:
    run = house.run()
    house.commit(
        value(run.id, "load", "1", data=b"1"),
        value(run.id, "load", "1", data=b"2", key="other"),
        value(run.id, "load", "2", data=b"3"),
    )

    [(path, found)] = house.store.values(run.id, "load", path="1", key="other")

    assert (path, found.key, found.data) == ("1", "other", b"2")
    assert house.store.values(run.id, "load", path="3") == []
    assert house.store.values(run.id, "load", key="none") == []


def test_large_value_is_kept_as_its_place(house: House) -> None:
    run = house.run()
    stored = StoredValue(
        "return_value",
        ValueFormat.PARQUET,
        10**12,
        location="1/load/_/0-1/return_value.parquet",
        type_name="pandas.DataFrame",
        preview="3 rows",
    )

    house.commit(ValueRow(run.id, "load", "", 0, 1, stored))

    assert house.store.values(run.id, "load") == [("", stored)]


def test_later_attempts_value_replaces_the_earlier_one(house: House) -> None:
    run = house.run()
    house.commit(value(run.id, data=b"1"))

    house.commit(value(run.id, data=b"2", attempt=2))

    [(_, found)] = house.store.values(run.id, "load")
    assert found.data == b"2"


def test_value_of_an_attempt_that_is_tried_again_is_void(house: House) -> None:
    run = house.run()
    house.commit(value(run.id, key="pushed"), value(run.id, path="1", key="pushed"))

    house.commit(earlier_attempt(run.id), task_run(run.id, attempt=2))

    assert house.store.values(run.id, "load", path="", key="pushed") == []
    assert len(house.store.values(run.id, "load", path="1", key="pushed")) == 1


def test_value_of_an_attempt_that_failed_in_the_same_batch_is_void(house: House) -> None:
    run = house.run()

    house.commit(
        value(run.id, key="pushed"),
        earlier_attempt(run.id),
        value(run.id, attempt=2, key="later"),
        task_run(run.id, attempt=2),
    )

    assert house.store.values(run.id, "load", key="pushed") == []
    assert len(house.store.values(run.id, "load", key="later")) == 1


# The event log


def test_events_come_in_the_order_of_commits(house: House) -> None:
    first, second = house.run(), house.run()
    house.commit(started(first.id, "a"), started(first.id, "b"))
    house.commit(started(second.id, "c"))
    house.commit(started(first.id, "d"))

    assert [event.task_id for event in house.store.events()] == ["a", "b", "c", "d"]
    assert [event.task_id for event in house.store.events(run_id=first.id)] == ["a", "b", "d"]


def test_reader_goes_on_from_its_cursor(house: House) -> None:
    run = house.run()
    house.commit(*(started(run.id, f"t{i}") for i in range(5)))

    page = house.store.events(limit=2)
    rest = house.store.events(after=page[-1].cursor)
    of_run = house.store.events(after=page[-1].cursor, run_id=run.id, limit=1)

    assert [event.task_id for event in page + rest] == ["t0", "t1", "t2", "t3", "t4"]
    assert [event.task_id for event in of_run] == ["t2"]


def test_newest_cursor_is_behind_everything_that_is_there(house: House) -> None:
    run = house.run()
    house.commit(started(run.id, "before"))
    cursor = house.store.event_cursor()

    house.commit(started(run.id, "after"))

    assert [event.task_id for event in house.store.events(after=cursor)] == ["after"]


def test_newest_cursor_of_an_empty_log_is_its_start(house: House) -> None:
    cursor = house.store.event_cursor()

    house.commit(started(house.run().id, "first"))

    assert [event.task_id for event in house.store.events(after=cursor)] == ["first"]


def test_tailing_reader_misses_nothing_of_two_writers(house: House) -> None:
    other = house.other()
    leases = {"one": (house.store, house.lease), "two": (other, other.register_coordinator())}
    runs = {name: house.run(owner=lease).id for name, (_, lease) in leases.items()}
    commits, width = 60, 3

    def write(name: str) -> None:
        store, lease = leases[name]
        for number in range(commits):
            rows = [started(runs[name], name, str(number), attempt=i) for i in range(width)]
            store.commit(batch_of(*rows), lease)

    seen: list[LoggedEvent] = []

    def tail() -> None:
        cursor = ""
        while len(seen) < 2 * commits * width:
            for event in house.store.events(after=cursor, limit=7):
                seen.append(event)
                cursor = event.cursor

    in_threads(lambda: write("one"), lambda: write("two"), tail)

    order: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for event in seen:
        assert isinstance(event.event, ev.AttemptStarted)
        order[event.task_id].append((event.event.path[0], event.event.attempt))
    expected = [(number, i) for number in range(commits) for i in range(width)]
    assert order == {"one": expected, "two": expected}
    assert [event.raw for event in seen] == [event.raw for event in house.store.events(limit=9999)]


# Threads, soundness, the end


def test_threads_write_and_read_one_store(house: House) -> None:
    runs = [house.run().id for _ in range(4)]

    def work(run_id: RunId) -> None:
        for number in range(25):
            house.store.commit(step(run_id, number), house.lease)
            rows, _ = house.store.task_runs(run_id)
            assert len(rows) == number + 1

    in_threads(*(lambda run_id=run_id: work(run_id) for run_id in runs))

    assert len(house.store.events()) == 100
    assert house.store.check_integrity() == []


def test_store_in_use_is_sound(house: House) -> None:
    run = house.run()
    house.commit(task_run(run.id), started(run.id), value(run.id), earlier_attempt(run.id))
    house.commit(task_run(run.id, state=TaskRunState.SUCCEEDED, attempt=2))
    house.commit(update(run.id, RunState.SUCCEEDED))

    assert house.store.check_integrity() == []


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (lambda run: [task_run(NO_RUN)], f"task runs of a run that does not exist {NO_RUN}"),
        (lambda run: [started(NO_RUN)], f"events of a run that does not exist {NO_RUN}"),
        (
            lambda run: [ExpansionRow(NO_RUN, "load", "", "[1]")],
            f"lengths of mapped tasks of a run that does not exist {NO_RUN}",
        ),
        (lambda run: [earlier_attempt(run)], "an earlier attempt belongs to no task run"),
        (lambda run: [value(run)], "a value belongs to no task run"),
        (
            lambda run: [task_run(run), update(run, RunState.SUCCEEDED)],
            "there are live task runs in the ended run",
        ),
    ],
)
def test_unsound_rows_are_found(
    house: House, rows: Callable[[int], list[Row]], problem: str
) -> None:
    run = house.run()
    house.commit(*rows(run.id))

    [found] = house.store.check_integrity()

    assert problem in found


def test_run_without_definitions_is_found(house: House) -> None:
    [run] = house.store.create_runs([NewRun("shop", "etl", "lost")])

    assert house.store.check_integrity() == [f"there are no definitions of run {run.id}"]


def test_closed_store_refuses_everything(house: House) -> None:
    house.store.close()

    for action in (
        lambda: house.store.runs(RunFilter()),
        lambda: house.store.new_id(),
        lambda: house.commit(task_run(1)),
    ):
        with pytest.raises(StoreError, match="was closed"):
            action()


def test_closing_twice_is_closing_once(house: House) -> None:
    house.store.close()

    house.store.close()
