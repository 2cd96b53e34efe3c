"""This module tests how backfills are driven, on a real store."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ostinato.automation.backfills import BackfillDriver
from ostinato.client.flows import FlowDirectory
from ostinato.client.local import LocalClient
from ostinato.clock import SystemClock
from ostinato.errors import StoreUnreachable, UsageError
from ostinato.model.backfill import BackfillDate, BackfillRow, BackfillState, DateState, Reprocess
from ostinato.model.flow import FlowDefinition, Parameter
from ostinato.model.manifest import Manifest, encode_manifest
from ostinato.model.state import RunState
from ostinato.project.discovery import Project
from ostinato.project.settings import Settings
from ostinato.store.protocol import RunFilter
from ostinato.store.records import Batch, NewRun, RunRow, RunUpdate
from ostinato.store.sqlite import open_store

DAY_US = 24 * 3600 * 1_000_000
FLOW = FlowDefinition("etl", schedule="@daily", parameters=(Parameter("rows", default=3),))


class House:
    """A store with a driver of backfills, and a worker that ends runs as it is told."""

    def __init__(self, folder: Path) -> None:
        self.store = open_store(folder / "store.db", durability="relaxed")
        self.client = LocalClient(self.store, values_root=folder, logs_root=folder)
        self.project = Project(
            name="shop",
            root=folder,
            settings=Settings(),
            data_dir=folder,
            store_path=folder / "store.db",
            values_root=folder,
            logs_root=folder,
            is_implicit=False,
        )
        self.lease = self.store.register_coordinator()
        self.save("v1", FLOW)
        self.flows = FlowDirectory(self.store, self.project, SystemClock())
        self.driver = self.new_driver()

    def new_driver(self) -> BackfillDriver:
        return BackfillDriver(self.client, self.project, self.flows)

    def save(self, version: str, flow: FlowDefinition) -> None:
        self.store.save_manifest(version, "shop", encode_manifest(Manifest("shop", (flow,))))

    def backfill(
        self,
        days: int,
        *,
        reprocess: Reprocess = Reprocess.NONE,
        max_active: int = 2,
        params: bytes = b'{"rows":3}',
    ) -> BackfillRow:
        dates = [
            BackfillDate(day * DAY_US, (day - 1) * DAY_US, day * DAY_US)
            for day in range(1, days + 1)
        ]
        kinds = {"reprocess": reprocess, "max_active": max_active}
        return self.client.backfills.create("shop", "etl", "v1", dates, params=params, **kinds)  # type: ignore[arg-type]  # each fits

    def runs(self, *states: RunState) -> list[RunRow]:
        """Return the runs, oldest first."""
        return self.client.runs(RunFilter(states=states), limit=1000)[0][::-1]

    def end(self, run: RunRow, state: RunState = RunState.SUCCEEDED) -> None:
        """End a run as a worker does."""
        self.store.take_run(run.id, self.lease)
        batch = Batch()
        batch.runs.append(RunUpdate(int(state), "", 1, 2, 0, run.id))
        self.store.commit(batch, self.lease)

    def known(self, day: int, state: RunState | None) -> None:
        """Record a run of a day that was made by something else."""
        run = self.store.create_runs([NewRun("shop", "etl", "v1", logical_date_us=day * DAY_US)])[0]
        if state is not None:
            self.end(run, state)

    def counts(self, row: BackfillRow) -> dict[DateState, int]:
        return self.client.backfills.progress(row).counts

    def state(self, row: BackfillRow) -> str:
        return self.client.backfills.find("shop", str(row.id)).state


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.store.close()


def drive(house: House, state: RunState = RunState.SUCCEEDED) -> list[int]:
    """Drive all backfills to their ends; return the most runs that were live at a time."""
    live = []
    while house.driver.turn():
        queued = house.runs(RunState.QUEUED)
        live.append(len(queued))
        if queued:
            house.end(queued[0], state)
    return live


def test_runs_are_made_in_order_and_no_more_than_may_be_live(house: House) -> None:
    row = house.backfill(5, max_active=2)

    live = drive(house)

    runs = house.runs()
    assert max(live) == 2
    assert [run.logical_date_us // DAY_US for run in runs] == [1, 2, 3, 4, 5]
    assert house.state(row) == "succeeded"
    assert house.counts(row) == {DateState.SUCCEEDED: 5}


def test_runs_are_the_services_and_say_where_they_come_from(house: House) -> None:
    row = house.backfill(1, params=b'{"rows":7}')

    house.driver.turn()

    (run,) = house.runs()
    assert (run.home, run.trigger, run.tags) == ("service", "backfill", (f"backfill:{row.id}",))
    assert run.logical_key == f"backfill:{row.id}:1970-01-02T00:00:00Z"
    assert run.priority == -1
    assert (run.interval_start_us, run.interval_end_us) == (0, DAY_US)
    assert msgspec.json.decode(run.params) == {"rows": 7}


@pytest.mark.parametrize(
    ("reprocess", "days"),
    [(Reprocess.NONE, [5]), (Reprocess.FAILED, [2, 3, 5]), (Reprocess.ALL, [1, 2, 3, 5])],
)
def test_what_was_run_before_is_run_as_is_wanted(
    house: House, reprocess: Reprocess, days: list[int]
) -> None:
    house.known(1, RunState.SUCCEEDED)
    house.known(2, RunState.FAILED)
    house.known(3, RunState.CANCELLED)
    house.known(4, None)
    row = house.backfill(5, reprocess=reprocess, max_active=9)
    plan = house.client.backfills.plan("shop", "etl", dates_of(house, row), reprocess)

    house.driver.turn()

    made = [run for run in house.runs() if run.trigger == "backfill"]
    assert [run.logical_date_us // DAY_US for run in made] == days
    assert [each.date.date_us // DAY_US for each in plan if each.is_run] == days
    assert house.counts(row).get(DateState.SKIPPED) == 5 - len(days)


def dates_of(house: House, row: BackfillRow) -> list[BackfillDate]:
    return [BackfillDate(*date[2:5]) for date in house.client.backfills.dates(row)]


def test_the_newest_run_of_a_date_decides(house: House) -> None:
    house.known(1, RunState.FAILED)
    house.known(1, RunState.SUCCEEDED)
    row = house.backfill(1, reprocess=Reprocess.FAILED)

    drive(house)

    assert house.counts(row) == {DateState.SKIPPED: 1}
    assert house.state(row) == "succeeded"


def test_driver_that_was_killed_after_making_runs_makes_no_others(house: House) -> None:
    row = house.backfill(3, max_active=2)
    house.driver.turn()
    first = [date.run_id for date in house.client.backfills.dates(row)]
    # As if the process had ended before it wrote which runs it had made.
    with house.store._database.writing() as connection:
        connection.execute("UPDATE backfill_dates SET state = 'waiting', run_id = 0")

    house.new_driver().turn()

    assert len(house.runs()) == 2
    assert [date.run_id for date in house.client.backfills.dates(row)] == first


def test_two_drivers_make_each_run_once(house: House) -> None:
    house.backfill(6, max_active=3)
    other = house.new_driver()

    house.driver.turn()
    other.turn()
    house.driver.turn()

    assert len(house.runs()) == 3


def test_failed_dates_are_retried_by_runs_of_their_own(house: House) -> None:
    row = house.backfill(2)
    house.driver.turn()
    failed, succeeded = house.runs()
    house.end(failed, RunState.FAILED)
    house.end(succeeded)
    drive(house)
    state = house.state(row)

    count = house.client.backfills.retry(house.client.backfills.find("shop", "last"))
    drive(house)

    assert (state, count) == ("failed", 1)
    assert house.runs()[-1].logical_key == f"backfill:{row.id}:1970-01-02T00:00:00Z:2"
    assert len(house.runs()) == 3
    assert house.state(row) == "succeeded"


def test_paused_backfill_makes_no_runs_and_goes_on_later(house: House) -> None:
    row = house.backfill(3, max_active=1)
    house.driver.turn()
    house.client.backfills.pause(row)
    house.end(house.runs()[0])

    drive(house)
    paused = house.counts(row), house.state(row)
    house.client.backfills.resume(row)
    drive(house)

    assert paused == ({DateState.SUCCEEDED: 1, DateState.WAITING: 2}, "paused")
    assert house.state(row) == "succeeded"


def test_cancelled_backfill_cancels_its_runs_and_ends_with_them(house: House) -> None:
    row = house.backfill(3, max_active=1)
    house.driver.turn()
    house.client.backfills.cancel(row)

    house.driver.turn()
    (run,) = house.runs()
    before = house.state(row), house.store.has_requests(run.id)
    house.end(run, RunState.CANCELLED)
    drive(house)

    assert before == ("cancelling", True)
    assert house.counts(row) == {DateState.CANCELLED: 3}
    assert house.state(row) == "cancelled"


def test_new_runs_are_of_the_version_in_force(house: House) -> None:
    house.backfill(2, max_active=1)
    house.driver.turn()
    house.save("v2", FLOW)
    house.flows.publish({"etl": "v2"})

    house.end(house.runs()[0])
    drive(house)

    assert [run.manifest_version for run in house.runs()] == ["v1", "v2"]


def test_version_that_the_parameters_do_not_fit_is_left_out(house: House) -> None:
    house.save("v2", FlowDefinition("etl", parameters=(Parameter("lines"),)))
    house.flows.publish({"etl": "v2"})
    house.backfill(1)

    house.driver.turn()

    assert house.runs()[0].manifest_version == "v1"


def test_backfill_whose_definitions_are_gone_says_so_and_stays(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    row = house.backfill(1)
    with house.store._database.writing() as connection:
        connection.execute("DELETE FROM manifests")

    house.driver.turn()
    house.driver.turn()

    assert [each.getMessage() for each in caplog.records] == [
        f"backfill {row.id} cannot go on: the definitions of flow 'etl' are no longer in the store"
    ]
    assert house.state(row) == "running"


@pytest.mark.parametrize(
    ("verb", "state", "message"),
    [
        ("pause", BackfillState.PAUSED, "is paused; there is nothing to pause"),
        ("resume", BackfillState.RUNNING, "is running; there is nothing to resume"),
        ("cancel", BackfillState.SUCCEEDED, "has ended: it is succeeded"),
        ("retry", BackfillState.RUNNING, "nothing of backfill 1 failed"),
        ("retry", BackfillState.CANCELLING, "is being cancelled"),
    ],
)
def test_what_makes_no_sense_is_refused(
    house: House, verb: str, state: BackfillState, message: str
) -> None:
    row = house.backfill(1)
    house.store.backfills.change_state(row.id, BackfillState.RUNNING, state)

    with pytest.raises(UsageError) as caught:
        getattr(house.client.backfills, verb)(row._replace(state=state.value))

    assert message in str(caught.value)


def test_backfill_that_is_not_there_is_told_from_those_that_are(house: House) -> None:
    house.backfill(1)

    for name in ("2", "etl", "9" * 30):
        with pytest.raises(UsageError, match=r"there is no backfill .* \(the newest is 1\)"):
            house.client.backfills.find("shop", name)
    with pytest.raises(UsageError, match="ostinato backfill create"):
        house.client.backfills.find("bank", "1")


def test_part_serves_until_it_is_stopped(house: House) -> None:
    row = house.backfill(0)
    looks = iter((True, True))
    driver = BackfillDriver(
        house.client, house.project, house.flows, is_active=lambda: next(looks, False)
    )
    original = driver.turn

    def turn() -> bool:
        moved = original()
        driver.wake()
        if house.state(row) == "succeeded":
            driver.drain()
        return moved

    driver.turn = turn  # type: ignore[method-assign]  # sees each look

    driver.serve()

    assert house.state(row) == "succeeded"
    assert driver.health().is_ready


def test_part_waits_for_a_store_that_does_not_say_who_is_active(house: House) -> None:
    answers: Iterator[bool | None] = iter((None,))

    def is_active() -> bool:
        if next(answers, True) is None:
            driver.wake()
            raise StoreUnreachable("the store cannot be reached")
        driver.drain()
        return True

    driver = BackfillDriver(house.client, house.project, house.flows, is_active=is_active)

    driver.serve()

    assert driver.health().is_ready
