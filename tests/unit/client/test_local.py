"""This module tests the client on a real store."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import UNSET

from ostinato.client.local import LocalClient
from ostinato.client.protocol import Client
from ostinato.engine import events as ev
from ostinato.errors import RunNotFound
from ostinato.model.failure import Failure, FailureKind
from ostinato.model.flow import FlowDefinition
from ostinato.model.layout import log_path
from ostinato.model.log import LogRecord
from ostinato.model.manifest import Manifest, encode_manifest
from ostinato.model.state import RunState, TaskRunState
from ostinato.model.value import StoredValue, ValueFormat
from ostinato.store.protocol import RunFilter, Store
from ostinato.store.records import (
    AttemptRow,
    Batch,
    CoordinatorLease,
    EventRow,
    ExpansionRow,
    NewRun,
    RunRow,
    TaskRunRow,
    ValueRow,
)
from ostinato.store.sqlite import open_store

FAILURE = Failure(FailureKind.ERROR, "ValueError", "no")


class House:
    """A store with a client beside it, and what tests put into the store."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        self.store = store
        self.client: Client = LocalClient(
            store, values_root=folder / "values", logs_root=folder / "logs"
        )
        self.lease: CoordinatorLease = store.register_coordinator()
        manifest = Manifest("shop", (FlowDefinition("etl"),))
        store.save_manifest("v1", "shop", encode_manifest(manifest))

    def new_run(self, flow: str = "etl", version: str = "v1") -> RunRow:
        return self.store.create_runs([NewRun("shop", flow, version)], owner=self.lease)[0]

    def commit(self, fill: Batch) -> None:
        self.store.commit(fill, self.lease)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    store = open_store(tmp_path / "store.db")
    yield House(tmp_path, store)
    store.close()


def task_run(run: RunRow, task: str, path: str, state: TaskRunState) -> TaskRunRow:
    failure = msgspec.msgpack.encode(FAILURE) if state is TaskRunState.FAILED else None
    return TaskRunRow(
        run.id,
        task,
        path,
        state,
        2,
        0,
        1,
        0,
        1,
        2,
        2,
        3,
        0,
        None,
        None,
        0,
        failure,
        '{"x":1}',
        "why",
    )


def test_runs_are_found_by_what_people_call_them(house: House) -> None:
    first, second, other = house.new_run(), house.new_run(), house.new_run("report")

    assert house.client.run("last").id == other.id
    assert house.client.run("etl").id == second.id
    assert house.client.run("etl#1").id == first.id
    assert house.client.run(str(first.id)).id == first.id


def test_unknown_run_is_refused_with_what_there_is(house: House) -> None:
    with pytest.raises(RunNotFound, match="no run has been recorded here"):
        house.client.run("etl")

    house.new_run()
    with pytest.raises(RunNotFound, match=r"no run 'elt' \(the newest is etl#1\)"):
        house.client.run("elt")


def test_runs_are_listed_page_by_page(house: House) -> None:
    created = [house.new_run().id for _ in range(5)]

    first, cursor = house.client.runs(limit=3)
    rest, end = house.client.runs(cursor=cursor, limit=3)

    assert [row.id for row in (*first, *rest)] == created[::-1]
    assert end == ""
    assert house.client.runs(RunFilter(flow="nope")) == ([], "")


def test_creating_twice_by_one_key_gives_one_run(house: House) -> None:
    new = NewRun("shop", "etl", "v1", logical_key="api:1")

    [first], [again] = house.client.create_runs([new]), house.client.create_runs([new])

    assert first.id == again.id


def test_cancel_asks_the_owner(house: House) -> None:
    run = house.new_run()

    house.client.cancel(run.id, "somebody")

    [request] = house.store.pending_requests(house.lease)
    assert (request.run_id, request.kind, request.by) == (run.id, "cancel", "somebody")


def test_owner_is_who_drives_the_run_now(house: House) -> None:
    run = house.new_run()
    [nobodys] = house.client.create_runs([NewRun("shop", "etl", "v1")])

    owner = house.client.owner(run)

    assert owner is not None
    assert owner.id == house.lease.id
    assert house.client.owner(nobodys) is None
    assert house.client.owner(msgspec.structs.replace(run, state=RunState.FAILED)) is None


def test_definition_is_the_one_that_the_run_is_pinned_to(house: House) -> None:
    pinned, gone = house.new_run(), house.new_run(version="v0")

    definition = house.client.flow(pinned)

    assert definition == FlowDefinition("etl")
    assert house.client.flow(gone) is None


def test_task_runs_are_decoded_and_counted(house: House) -> None:
    run = house.new_run()
    batch = Batch()
    batch.task_runs += [
        task_run(run, "load", "0", TaskRunState.SUCCEEDED),
        task_run(run, "load", "1", TaskRunState.FAILED),
        task_run(run, "report", "", TaskRunState.UPSTREAM_FAILED),
    ]
    batch.expansions.append(ExpansionRow(run.id, "load", "", "[2]"))
    house.commit(batch)

    views = list(house.client.task_runs(run.id))

    assert [view.name for view in views] == ["load[0]", "load[1]", "report"]
    assert [view.failure for view in views] == [None, FAILURE, None]
    assert (views[1].inputs, views[1].reason, views[1].attempt) == ('{"x":1}', "why", 2)
    assert house.client.counts(run.id) == {
        "load": {TaskRunState.SUCCEEDED: 1, TaskRunState.FAILED: 1},
        "report": {TaskRunState.UPSTREAM_FAILED: 1},
    }
    assert [row.lengths for row in house.client.expansions(run.id)] == ["[2]"]
    failed = house.client.task_runs(run.id, states=[TaskRunState.FAILED])
    assert [view.name for view in failed] == ["load[1]"]
    of_task = house.client.task_runs(run.id, task_id="load", limit=1)
    assert [view.name for view in of_task] == ["load[0]"]


def test_all_task_runs_come_however_many_there_are(house: House) -> None:
    run = house.new_run()
    batch = Batch()
    batch.task_runs += [
        task_run(run, "load", str(index), TaskRunState.SUCCEEDED) for index in range(2500)
    ]
    house.commit(batch)

    assert sum(1 for _ in house.client.task_runs(run.id)) == 2500
    assert sum(1 for _ in house.client.task_runs(run.id, limit=1700)) == 1700


def test_earlier_attempts_are_decoded(house: House) -> None:
    run = house.new_run()
    batch = Batch()
    failure = msgspec.msgpack.encode(FAILURE)
    batch.task_runs.append(task_run(run, "load", "", TaskRunState.SUCCEEDED))
    batch.attempts += [
        AttemptRow(run.id, "load", "", 0, 1, "failed", 1, 2, failure),
        AttemptRow(run.id, "load", "", 0, 2, "lost", 3, 4, None),
    ]
    house.commit(batch)

    attempts = house.client.attempts(run.id, "load")

    assert [(a.attempt, a.state, a.failure) for a in attempts] == [
        (1, "failed", FAILURE),
        (2, "lost", None),
    ]


def put_value(house: House, value: StoredValue) -> RunRow:
    run = house.new_run()
    batch = Batch()
    batch.task_runs.append(task_run(run, "load", "", TaskRunState.SUCCEEDED))
    batch.values.append(ValueRow(run.id, "load", "", 0, 1, value))
    house.commit(batch)
    return run


def test_value_in_json_is_read(house: House) -> None:
    run = put_value(house, StoredValue("return_value", ValueFormat.JSON, 9, b'{"a": 1}'))

    [value] = house.client.values(run.id, "load")

    assert value.content == {"a": 1}


def test_large_value_in_json_is_read_from_storage(house: House) -> None:
    (house.folder / "values").mkdir()
    (house.folder / "values" / "v.json").write_bytes(b"[1, 2]")
    run = put_value(house, StoredValue("return_value", ValueFormat.JSON, 6, location="v.json"))

    [value] = house.client.values(run.id, "load", path="")

    assert value.content == [1, 2]


@pytest.mark.parametrize(
    "value",
    [
        StoredValue("return_value", ValueFormat.PICKLE, 9, b"cos\nsystem\n(S'false'\ntR."),
        StoredValue("return_value", ValueFormat.JSON, 2**30, location="huge.json"),
        StoredValue("return_value", ValueFormat.JSON, 20_000, location="gone.json"),
    ],
    ids=["pickled", "huge", "gone"],
)
def test_value_that_is_not_read_is_described(value: StoredValue, house: House) -> None:
    run = put_value(house, value)

    [view] = house.client.values(run.id, "load")

    assert view.content is UNSET
    assert (view.format, view.size_bytes, view.location) == (
        value.format, value.size_bytes, value.location,
    )  # fmt: skip


def test_events_come_behind_a_cursor(house: House) -> None:
    run = house.new_run()
    before = house.client.event_cursor()
    batch = Batch()
    batch.events.append(EventRow(run.id, "", "", 1, ev.RunStarted(1)))
    house.commit(batch)

    [logged] = house.client.events(after=before)

    assert logged.event == ev.RunStarted(1)
    assert house.client.events(after=logged.cursor) == []
    assert len(house.client.events(run_id=run.id)) == 1


def write_log(house: House, run: RunRow, text: bytes) -> None:
    path = house.folder / "logs" / log_path(run.id, "load", (3,), 0, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        file.write(text)


def line(seq: int, message: str) -> bytes:
    return msgspec.json.encode(LogRecord(seq, seq, "INFO", "stdout", message)) + b"\n"


def test_log_of_an_attempt_is_read_as_it_grows(house: House) -> None:
    run = house.new_run()
    log = house.client.attempt_log(run.id, "load", (3,), generation=0, attempt=1)

    nothing = log.read()
    write_log(house, run, line(1, "one") + line(2, "two")[:10])
    first = log.read()
    write_log(house, run, line(2, "two")[10:])
    second = log.read()

    assert nothing == []
    assert [record.message for record in first] == ["one"]
    assert [record.message for record in second] == ["two"]
    assert log.read() == []


def test_log_of_a_run_names_who_wrote(house: House) -> None:
    run = house.new_run()
    write_log(house, run, line(1, "one"))

    [logged] = house.client.log(run.id).read()

    assert (logged.task_id, logged.path, logged.record.message) == ("load", (3,), "one")
    assert house.client.log(run.id, task_id="other").read() == []
