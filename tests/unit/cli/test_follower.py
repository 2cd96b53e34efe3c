"""This module tests how a run is followed, on a real store, without its thread."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ostinato.cli.progress.follower import Follower
from ostinato.cli.progress.tally import Tally
from ostinato.client.local import LocalClient
from ostinato.engine import events as ev
from ostinato.model.flow import Expansion, Factor, FlowDefinition, LiteralLength, TaskDefinition
from ostinato.model.identity import MapPath, TaskRunKey
from ostinato.model.layout import log_path
from ostinato.model.log import LogRecord
from ostinato.model.state import TaskRunState
from ostinato.store.protocol import Store
from ostinato.store.records import (
    Batch,
    CoordinatorLease,
    EventRow,
    ExpansionRow,
    NewRun,
    RunRow,
    TaskRunRow,
)
from ostinato.store.sqlite import open_store

FLOW = FlowDefinition(
    "etl",
    tasks=(
        TaskDefinition("extract"),
        TaskDefinition("load", expansion=Expansion((Factor("x", LiteralLength(1)),))),
    ),
)


class Seen:
    """A view that remembers."""

    def __init__(self) -> None:
        self.events: list[ev.Event] = []
        self.output: list[str] = []
        self.is_closed = False

    def event(self, event: ev.Event) -> None:
        self.events.append(event)

    def log_line(self, key: TaskRunKey, record: LogRecord) -> None:
        self.output.append(f"{key}: {record.message}")

    def refresh(self, now_us: int) -> None:
        assert now_us

    def close(self) -> None:
        self.is_closed = True


class Broken(Seen):
    """A view that cannot draw."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def refresh(self, now_us: int) -> None:
        raise self._error


class House:
    """A store with a run in it."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        self.store = store
        self.lease: CoordinatorLease = store.register_coordinator()
        self.run: RunRow = store.create_runs([NewRun("shop", "etl", "v1")], owner=self.lease)[0]
        self.tally = Tally(FLOW)

    def commit(self, *events: ev.Event) -> None:
        batch = Batch()
        batch.events += [EventRow(self.run.id, "", "", event.at_us, event) for event in events]
        self.store.commit(batch, self.lease)

    def log(self, task: str, path: MapPath, message: str, generation: int = 0) -> None:
        file = self.folder / log_path(self.run.id, task, path, generation, 1)
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "a") as lines:
            lines.write(
                f'{{"seq":1,"at_us":1,"level":"INFO","source":"x","message":"{message}"}}\n'
            )

    def follow(self, view: Seen, *, is_fresh: bool = True) -> None:
        client = LocalClient(self.store, values_root=self.folder, logs_root=self.folder)
        follower = Follower(
            client, self.run.id, FLOW, tally=self.tally, view=view, is_fresh=is_fresh
        )
        follower.start()
        follower.stop()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    store = open_store(tmp_path / "store.db")
    yield House(tmp_path, store)
    store.close()


def started(task: str, path: MapPath = ()) -> ev.AttemptStarted:
    return ev.AttemptStarted(1, task, path, 1)


def succeeded(task: str, path: MapPath = ()) -> ev.AttemptSucceeded:
    return ev.AttemptSucceeded(2, task, path, 1)


def test_all_that_happened_is_shown_before_it_stops(house: House) -> None:
    many = [started("load", (index,)) for index in range(2500)]
    house.commit(*many)
    view = Seen()

    house.follow(view)

    assert view.events == many
    assert view.is_closed
    assert house.tally.tasks["load"].count(TaskRunState.RUNNING) == 2500


def test_output_comes_before_the_end_of_its_attempt(house: House) -> None:
    house.log("extract", (), "12 rows")
    house.commit(started("extract"), succeeded("extract"))
    view = Seen()

    house.follow(view)

    assert view.output == ["extract: 12 rows"]


def test_output_of_a_running_attempt_is_shown(house: House) -> None:
    house.log("extract", (), "12 rows")
    house.commit(started("extract"))
    view = Seen()

    house.follow(view)

    assert view.output == ["extract: 12 rows"]


def test_of_many_attempts_at_a_time_some_are_followed(house: House) -> None:
    for index in range(40):
        house.log("load", (index,), "hello")
    house.commit(*(started("load", (index,)) for index in range(40)))
    view = Seen()

    house.follow(view)

    assert len(view.output) == 16


def test_run_that_goes_on_is_shown_from_here_with_what_was_before(house: House) -> None:
    house.commit(started("extract"), succeeded("extract"))
    batch = Batch()
    batch.task_runs.append(row(house, "extract", "", TaskRunState.SUCCEEDED, 1))
    batch.task_runs.append(row(house, "load", "0", TaskRunState.SUCCEEDED, 0))
    batch.expansions.append(ExpansionRow(house.run.id, "load", "", "[2, 2]"))
    batch.expansions.append(ExpansionRow(house.run.id, "gone", "", "[]"))
    house.store.commit(batch, house.lease)
    view = Seen()

    house.follow(view, is_fresh=False)

    assert view.events == []
    assert (house.tally.done, house.tally.total) == (2, 5)


def test_clear_is_followed_by_what_is_stored_then(house: House) -> None:
    batch = Batch()
    batch.task_runs.append(row(house, "extract", "", TaskRunState.PENDING, 1))
    house.store.commit(batch, house.lease)
    house.commit(started("extract"), succeeded("extract"))
    house.commit(ev.TaskRunsCleared(3, (("extract", ()),)), started("extract"))
    house.log("extract", (), "again", generation=1)
    view = Seen()

    house.follow(view)

    assert house.tally.tasks["extract"].state is TaskRunState.RUNNING
    assert view.output == ["extract: again"]


def test_view_that_breaks_does_not_touch_the_run(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    view = Broken(RuntimeError("cannot draw"))

    house.follow(view)

    assert view.is_closed
    assert "progress cannot be shown any more" in capsys.readouterr().err


def test_reader_that_has_seen_enough_is_no_error(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.follow(Broken(BrokenPipeError()))

    assert capsys.readouterr().err == ""


def row(house: House, task: str, path: str, state: TaskRunState, generation: int) -> TaskRunRow:
    return TaskRunRow(
        house.run.id, task, path, state, 1, generation, 0, 0, 1, 1, 1, 2, 0, None, None, 0, None,
        None, "",
    )  # fmt: skip
