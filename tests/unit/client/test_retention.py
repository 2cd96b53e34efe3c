"""This module tests what is kept and what is deleted, on a real store and real folders."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ostinato.automation.retention import EVERY_S, FAILED_S, Pruner
from ostinato.client.backfills import Backfills
from ostinato.client.retention import Policy, Retention, policy_of
from ostinato.clock import VirtualClock
from ostinato.errors import StoreFull
from ostinato.model.backfill import BackfillDate, DateState, Settled
from ostinato.model.state import RunState
from ostinato.model.value import StoredValue, ValueFormat
from ostinato.project.discovery import Project
from ostinato.project.settings import RetentionSettings, Settings
from ostinato.store.protocol import RunFilter
from ostinato.store.records import Batch, CacheRow, NewRun, RunRow, RunUpdate
from ostinato.store.sqlite import open_store

DAY_S = 24 * 3600.0
START_US = 1_750_000_000_000_000


class House:
    """A store with runs of many days, and the folders of their files."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock(START_US)
        self.store = open_store(folder / "store.db", durability="relaxed", clock=self.clock)
        self.lease = self.store.register_coordinator()
        self.store.save_manifest("v1", "shop", b"definitions")
        self.project = Project(
            name="shop",
            root=folder,
            settings=Settings(),
            data_dir=folder,
            store_path=folder / "store.db",
            values_root=folder / "values",
            logs_root=folder / "logs",
            is_implicit=False,
        )

    def pass_days(self, days: float = 1) -> None:
        self.clock.advance_to(self.clock.now_us() + round(days * DAY_S * 1e6))

    def run(
        self, flow: str = "etl", state: RunState | None = RunState.SUCCEEDED, version: str = "v1"
    ) -> RunRow:
        """Record a run of a day, with its folders; None for one that goes on."""
        self.pass_days()
        run = self.store.create_runs([NewRun("shop", flow, version)], owner=self.lease)[0]
        for root in ("values", "logs", "files"):
            file = self.project.data_dir / root / str(run.id) / "load" / "_" / "file"
            file.parent.mkdir(parents=True)
            file.write_text("x")
        if state is not None:
            batch = Batch()
            now_us = self.clock.now_us()
            batch.runs.append(RunUpdate(int(state), "", now_us, now_us, 0, run.id))
            self.store.commit(batch, self.lease)
        return run

    def retention(self, **policy: Any) -> Retention:
        return Retention(self.store, self.project, Policy(**policy), self.clock)

    def prune(self, **policy: Any) -> Counter[str]:
        counts: Counter[str] = Counter()
        for step in self.retention(**policy).prune():
            counts[step.what] += step.number
        return counts

    def left(self) -> list[int]:
        """Return the numbers of the runs that are left, oldest first."""
        rows, _ = self.store.runs(RunFilter(), limit=1000)
        return [row.number for row in rows[::-1]]

    def folders(self, root: str) -> list[str]:
        return sorted(each.name for each in (self.project.data_dir / root).iterdir())


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.store.close()


def test_old_runs_go_with_their_files(house: House) -> None:
    runs = [house.run() for _ in range(5)]

    plan = house.retention(runs_s=2.5 * DAY_S).plan()
    counts = house.prune(runs_s=2.5 * DAY_S)

    assert plan == {"runs": 2, "runs of etl": 2}
    assert counts["runs"] == 2
    assert house.left() == [3, 4, 5]
    for root in ("values", "logs", "files"):
        assert house.folders(root) == [str(run.id) for run in runs[2:]]
    assert house.store.check_integrity() == []


def test_so_many_runs_of_each_flow_stay(house: House) -> None:
    for _ in range(4):
        house.run("etl")
        house.run("report")

    plan = house.retention(runs_per_flow=2).plan()
    counts = house.prune(runs_per_flow=2)

    assert plan == {"runs": 4, "runs of etl": 2, "runs of report": 2}
    assert counts["runs"] == 4
    assert house.left() == [3, 3, 4, 4]


def test_a_run_that_is_both_old_and_too_many_counts_once(house: House) -> None:
    for _ in range(4):
        house.run()

    assert house.retention(runs_s=DAY_S, runs_per_flow=2).plan()["runs"] == 2


def test_the_newest_run_and_the_newest_success_stay(house: House) -> None:
    house.run(state=RunState.SUCCEEDED)
    house.run(state=RunState.SUCCEEDED)
    house.run(state=RunState.FAILED)
    house.run(state=RunState.FAILED)
    house.pass_days(100)

    house.prune(runs_s=DAY_S, runs_per_flow=1)

    assert house.left() == [2, 4]


def test_runs_that_go_on_or_are_of_a_live_backfill_stay(house: House) -> None:
    live, of_backfill = house.run(state=None), house.run(state=RunState.FAILED)
    house.run(state=RunState.FAILED)
    house.run()
    dates = [BackfillDate(1, 0, 1)]
    backfills = Backfills(house.store.backfills, lambda: None)
    row = backfills.create("shop", "etl", "v1", dates, params=b"{}")
    active = Settled(0, DateState.WAITING, DateState.ACTIVE, of_backfill.id)
    backfills.settle(row, [active])
    house.pass_days(100)

    house.prune(runs_s=DAY_S)

    assert house.left() == [live.number, of_backfill.number, 4]


def test_what_a_killed_process_left_is_deleted(house: House) -> None:
    run = house.run()
    house.run()
    before_us = house.clock.now_us() + 1
    house.store.pruning.delete_runs(house.store.pruning.old_runs("shop", before_us, limit=1))

    counts = house.prune()

    assert house.store.pruning.half_deleted() == []
    assert str(run.id) not in house.folders("logs")
    assert counts["runs"] == 0


def test_logs_and_values_may_go_before_their_runs(house: House) -> None:
    runs = [house.run() for _ in range(3)]
    stranger = house.project.logs_root / "17"
    stranger.mkdir()

    plan = house.retention(logs_s=1.5 * DAY_S, values_s=0.5 * DAY_S).plan()
    house.prune(logs_s=1.5 * DAY_S, values_s=0.5 * DAY_S)

    assert plan == {"logs of runs": 1, "values of runs": 2}
    assert house.folders("logs") == ["17", *(str(run.id) for run in runs[1:])]
    assert house.folders("values") == [str(runs[2].id)]
    assert house.left() == [1, 2, 3]


def test_cached_values_stay_until_they_expire(house: House) -> None:
    run = house.run()
    house.run()
    (house.project.values_root / str(run.id) / "load" / "_" / "kept").write_text("x")
    location = f"{run.id}/load/_/kept"
    stored = StoredValue("return_value", ValueFormat.JSON, 1, None, location)
    expires_us = house.clock.now_us() + round(10 * DAY_S * 1e6)
    batch = Batch()
    value = msgspec.msgpack.encode(stored)
    batch.cached.append(CacheRow("key", "etl#1", house.clock.now_us(), expires_us, value))
    house.store.commit(batch, house.lease)
    house.pass_days(5)

    house.prune(runs_s=DAY_S)
    kept = (house.project.values_root / location).exists()
    own = (house.project.values_root / str(run.id) / "load" / "_" / "file").exists()
    house.pass_days(6)
    counts = house.prune(runs_s=DAY_S)

    assert (kept, own) == (True, False)
    assert counts["cached results"] == 1


def test_definitions_that_nothing_names_go_after_a_day(house: House) -> None:
    house.run()
    house.store.save_manifest("v2", "shop", b"definitions")

    young = house.prune()
    house.pass_days(2)
    counts = house.prune()

    assert (young["definitions"], counts["definitions"]) == (0, 1)
    assert house.store.load_manifest("v1") is not None


def test_nothing_is_deleted_by_default(house: House) -> None:
    for _ in range(3):
        house.run()
    house.pass_days(10_000)

    counts = house.prune()

    assert (counts, house.left()) == ({}, [1, 2, 3])


def test_settings_are_durations() -> None:
    settings = RetentionSettings(runs="90d", runs_per_flow=5, logs="1w", values="1d12h")

    policy = policy_of(settings)

    assert policy == Policy(
        runs_s=90 * DAY_S, runs_per_flow=5, logs_s=7 * DAY_S, values_s=1.5 * DAY_S
    )


def test_part_deletes_once_an_hour(house: House, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        house.run()
    caplog.set_level("INFO")
    pruner = Pruner(house.retention(runs_s=DAY_S / 2))

    pause_s = pruner.turn()

    assert pause_s == EVERY_S
    assert house.left() == [3]
    assert "deleted what is old: 2 runs" in caplog.text


def test_part_waits_for_a_store_that_fails(house: House) -> None:
    class Failing(Retention):
        def prune(self) -> Any:
            raise StoreFull("the store has no room left")

    pruner = Pruner(Failing(house.store, house.project, Policy(), house.clock))

    assert pruner.turn() == FAILED_S

    assert pruner.health().detail == "the store has no room left"


def test_part_ends_when_it_is_stopped(house: House) -> None:
    pruner = Pruner(house.retention())
    pruner.drain()

    pruner.serve()

    assert pruner.health().is_live
