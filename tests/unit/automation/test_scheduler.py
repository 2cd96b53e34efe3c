"""This module tests how schedules are fired, on a real store with a clock that is moved."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from ostinato.automation.scheduler import Scheduler
from ostinato.client.local import LocalClient
from ostinato.clock import VirtualClock
from ostinato.engine.timetable.zones import moment_of, us_of
from ostinato.errors import StoreFull
from ostinato.model.flow import FlowDefinition, Parameter
from ostinato.model.schedule_tick import TickOutcome
from ostinato.model.state import RunState
from ostinato.project.discovery import Project
from ostinato.project.settings import Settings
from ostinato.store.protocol import RunFilter
from ostinato.store.records import Batch, NewRun, RunRow, RunUpdate
from ostinato.store.sqlite import SqliteStore, open_store

#: 11:30 on a Wednesday.
START = datetime(2025, 1, 1, 11, 30, tzinfo=UTC)


class Served(NamedTuple):
    definition: FlowDefinition
    version: str = "v1"


class House:
    """A store, a scheduler, and a clock."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.clock = VirtualClock(us_of(START))
        self.store: SqliteStore = open_store(
            folder / "store.db", durability="relaxed", clock=self.clock
        )
        self.client = LocalClient(self.store, values_root=folder, logs_root=folder)
        self.project = Project(
            name="shop",
            root=folder,
            settings=Settings(**settings),
            data_dir=folder,
            store_path=folder / "store.db",
            values_root=folder,
            logs_root=folder,
            is_implicit=False,
        )
        self.flows: dict[str, Served] = {}
        self.is_complete = True
        self.scheduler = self.new_scheduler()

    def new_scheduler(self) -> Scheduler:
        self.scheduler = Scheduler(
            self.client,
            self.project,
            flows=lambda: self.flows,
            clock=self.clock,
            is_complete=lambda: self.is_complete,
        )
        return self.scheduler

    def serve(self, *flows: FlowDefinition, version: str = "v1") -> None:
        self.flows = {flow.name: Served(flow, version) for flow in flows}
        self.scheduler.wake()
        self.scheduler.turn()

    def advance(self, **by: float) -> None:
        """Go on, and do what is to be done at each moment on the way."""
        until_us = self.clock.now_us() + timedelta(**by) // timedelta(microseconds=1)
        while (now_us := self.clock.now_us()) < until_us:
            wait_us = max(round(self.scheduler.turn() * 1e6), 1)
            next_us = self.scheduler._agenda.next_us or until_us
            self.clock.advance_to(min(max(next_us, now_us + wait_us), until_us))
        self.scheduler.turn()

    def jump(self, **by: float) -> None:
        """Have time pass in which nobody looks."""
        now_us = self.clock.now_us() + timedelta(**by) // timedelta(microseconds=1)
        self.clock.go_back_to(now_us)
        self.clock.advance_to(now_us)

    def end(self, run: RunRow) -> None:
        """End a run as a worker does."""
        lease = self.store.register_coordinator()
        self.store.take_run(run.id, lease)
        batch = Batch()
        batch.runs.append(RunUpdate(int(RunState.SUCCEEDED), "", 1, 2, 0, run.id))
        self.store.commit(batch, lease)

    def runs(self, flow: str = "") -> list[RunRow]:
        return self.client.runs(RunFilter(flow=flow), limit=1000)[0][::-1]

    def dates(self, flow: str = "") -> list[str]:
        return [f"{moment_of(run.logical_date_us):%d %H:%M}" for run in self.runs(flow)]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.store.close()


def test_flow_fires_at_each_moment_of_its_schedule(house: House) -> None:
    house.serve(FlowDefinition("etl", schedule="@hourly"))
    house.advance(hours=3)

    assert house.dates() == ["01 12:00", "01 13:00", "01 14:00"]


def test_run_of_a_schedule_says_what_it_is(house: House) -> None:
    flow = FlowDefinition(
        "etl",
        schedule="@hourly",
        parameters=(Parameter("rows", default=3), Parameter("region", is_required=True)),
        schedule_params={"region": "eu"},
        tags=("shop",),
    )
    house.serve(flow)
    house.advance(hours=1)

    (run,) = house.runs()
    noon = us_of(datetime(2025, 1, 1, 12, tzinfo=UTC))
    assert (run.trigger, run.home, run.manifest_version) == ("schedule", "service", "v1")
    assert run.logical_key == "schedule:etl:2025-01-01T12:00:00Z"
    assert (run.interval_start_us, run.interval_end_us) == (noon - 3600_000_000, noon)
    assert msgspec.json.decode(run.params) == {"rows": 3, "region": "eu"}
    assert run.tags == ("shop",)
    (tick,) = house.client.schedules.ticks("shop", "etl")
    assert (tick.tick_us, tick.outcome, tick.run_id) == (noon, TickOutcome.FIRED, run.id)


def test_airflows_reading_stands_for_the_begin_of_the_interval(house: House) -> None:
    house.serve(FlowDefinition("etl", schedule="@hourly", schedule_reading="interval_start"))
    house.advance(hours=1)

    (run,) = house.runs()
    assert house.dates() == ["01 11:00"]
    assert run.logical_key == "schedule:etl:2025-01-01T12:00:00Z"
    assert run.interval_start_us == run.logical_date_us


def test_run_has_the_version_that_is_in_force_when_it_is_made(house: House) -> None:
    flow = FlowDefinition("etl", schedule="@hourly")
    house.serve(flow)
    house.advance(minutes=29, seconds=50)
    house.serve(flow, version="v2")
    house.advance(minutes=10)

    assert [run.manifest_version for run in house.runs()] == ["v2"]


def test_missed_moments_fire_once_without_catchup(house: House) -> None:
    house.serve(FlowDefinition("etl", schedule="@hourly"))
    house.jump(hours=5)
    house.advance(hours=1)

    assert house.dates() == ["01 16:00", "01 17:00"]
    first = house.client.schedules.ticks("shop", "etl")[-1]
    assert first.reason == "stands for all that were missed since 2025-01-01T12:00:00Z"


def test_missed_moments_fire_each_with_catchup(house: House) -> None:
    house.serve(FlowDefinition("etl", schedule="@hourly", catchup=True))
    house.jump(hours=3)
    house.new_scheduler().turn()

    assert house.dates() == ["01 12:00", "01 13:00", "01 14:00"]


def test_what_was_missed_while_no_scheduler_lived_fires_once(house: House) -> None:
    flow = FlowDefinition("etl", schedule="@hourly")
    house.serve(flow)
    house.advance(hours=1)
    house.jump(hours=48)
    house.new_scheduler()
    house.serve(flow)
    house.advance(minutes=1)

    assert house.dates() == ["01 12:00", "03 12:00"]


def test_nothing_fires_for_the_time_before_a_flow_was_there(house: House) -> None:
    early = us_of(START) - 30 * 24 * 3600_000_000
    house.serve(FlowDefinition("etl", schedule="@hourly", start_at_us=early))
    house.scheduler.turn()

    assert house.runs() == []


def test_catchup_begins_with_the_start_date(house: House) -> None:
    early = us_of(datetime(2024, 12, 30, tzinfo=UTC))
    house.serve(FlowDefinition("etl", schedule="@daily", start_at_us=early, catchup=True))
    house.scheduler.turn()

    assert house.dates() == ["30 00:00", "31 00:00", "01 00:00"]


def test_long_catchup_is_made_in_parts(house: House) -> None:
    early = us_of(START) - 2_500 * 60_000_000
    house.serve(FlowDefinition("etl", schedule="* * * * *", start_at_us=early, catchup=True))
    for _ in range(4):
        house.scheduler.turn()

    assert house.client.runs(RunFilter(), limit=5000)[0][0].number == 2_501


def test_end_date_is_the_last_moment(house: House) -> None:
    end_us = us_of(START) + 2 * 3600_000_000
    house.serve(FlowDefinition("etl", schedule="@hourly", end_at_us=end_us))
    house.advance(hours=24)

    assert house.dates() == ["01 12:00", "01 13:00"]


def test_jitter_makes_a_run_later_and_leaves_its_date(house: House) -> None:
    house.serve(FlowDefinition("etl", schedule="@hourly", jitter_s=600))
    house.advance(hours=5)

    late = [run.created_us - run.logical_date_us for run in house.runs()]
    assert house.dates() == ["01 12:00", "01 13:00", "01 14:00", "01 15:00", "01 16:00"]
    assert all(0 <= each < 600_000_000 for each in late)
    assert len(set(late)) == 5


def test_changed_schedule_counts_from_its_change(house: House) -> None:
    house.serve(FlowDefinition("etl", schedule="@daily"))
    house.advance(hours=13)
    house.jump(hours=1)
    house.serve(FlowDefinition("etl", schedule="*/20 * * * *"))
    house.advance(minutes=30)

    assert house.dates() == ["02 00:00", "02 01:40", "02 02:00"]


def test_flow_that_is_taken_away_fires_no_more_and_misses_nothing(house: House) -> None:
    flow, other = FlowDefinition("etl", schedule="@hourly"), FlowDefinition("other")
    house.serve(flow, other)
    house.serve(other)
    house.advance(hours=3)
    house.serve(flow, other)
    house.advance(hours=1)

    assert house.dates() == ["01 15:00"]


def test_flow_whose_file_is_broken_is_not_gone(house: House) -> None:
    flow = FlowDefinition("etl", schedule="@hourly")
    house.serve(flow)
    house.is_complete = False
    house.new_scheduler()
    house.serve()
    house.advance(hours=3)
    house.is_complete = True
    house.serve(flow)
    house.advance(minutes=1)

    assert house.dates() == ["01 14:00"]


def test_paused_schedule_fires_nothing_and_makes_nothing_up(house: House) -> None:
    house.serve(FlowDefinition("etl", schedule="@hourly"))
    house.client.schedules.pause("shop", ["etl"], "ann")
    house.advance(hours=2)
    house.client.schedules.resume("shop", ["etl"], "ann")
    house.scheduler.notice()
    house.advance(hours=1)

    assert house.dates() == ["01 14:00"]
    row = house.client.schedules.find("shop", "etl")
    assert row is not None
    assert (row.is_paused, row.changed_by, row.ticks) == (False, "ann", 1)


def test_pause_outlasts_the_scheduler(house: House) -> None:
    flow = FlowDefinition("etl", schedule="@hourly")
    house.client.schedules.pause("shop", ["etl"], "ann")
    house.serve(flow)
    house.advance(hours=1)
    house.new_scheduler()
    house.serve(flow)
    house.advance(hours=1)

    assert house.runs() == []


def test_resumed_schedule_with_catchup_makes_up_for_its_pause(house: House) -> None:
    house.serve(FlowDefinition("etl", schedule="@hourly", catchup=True))
    house.advance(hours=1)
    house.client.schedules.pause("shop", ["etl"], "ann")
    house.scheduler.notice()
    house.advance(hours=2)
    house.client.schedules.resume("shop", ["etl"], "ann")
    house.scheduler.notice()
    house.advance(minutes=1)

    assert house.dates() == ["01 12:00", "01 13:00", "01 14:00"]


def test_once_fires_one_time(house: House) -> None:
    flow = FlowDefinition("etl", schedule="@once")
    house.serve(flow)
    house.advance(hours=1)
    house.new_scheduler()
    house.serve(flow)
    house.advance(hours=24)

    assert house.dates() == ["01 11:30"]
    assert house.runs()[0].logical_key == "schedule:etl:once"


def test_continuous_flow_runs_again_when_its_run_has_ended(house: House) -> None:
    house.serve(FlowDefinition("etl", schedule="@continuous"), FlowDefinition("other"))
    house.advance(seconds=10)
    (first,) = house.runs()
    house.end(first)
    house.advance(seconds=10)
    house.new_scheduler().turn()

    second = house.runs()[-1]
    assert len(house.runs()) == 2
    assert second.logical_key == f"schedule:etl:after:{first.id}"
    house.client.schedules.pause("shop", ["etl"], "ann")
    house.end(second)
    house.advance(seconds=10)
    assert len(house.runs()) == 2


def test_clock_that_is_set_back_fires_nothing_twice(house: House) -> None:
    house.serve(FlowDefinition("etl", schedule="@hourly"))
    house.advance(hours=2)
    house.jump(hours=-1)
    house.advance(hours=2)

    assert house.dates() == ["01 12:00", "01 13:00", "01 14:00"]


def test_clock_that_was_years_ahead_stops_no_schedule(house: House) -> None:
    house.serve(FlowDefinition("etl", schedule="@daily"))
    house.jump(days=3650)
    house.advance(hours=1)
    house.jump(days=-3650)
    house.new_scheduler()
    house.scheduler.turn()
    house.advance(hours=24)

    assert house.dates()[-1] == "02 00:00"


def test_two_schedulers_make_one_run(house: House) -> None:
    house.serve(FlowDefinition("etl", schedule="@hourly"))
    other = Scheduler(house.client, house.project, flows=lambda: house.flows, clock=house.clock)
    other.turn()
    house.jump(minutes=30)
    house.scheduler.turn()
    other.turn()

    assert house.dates() == ["01 12:00"]


def test_parameter_that_nobody_gives_is_a_failed_tick(house: House) -> None:
    bad = FlowDefinition(
        "bad", schedule="@hourly", parameters=(Parameter("day", is_required=True),)
    )
    house.serve(bad, FlowDefinition("good", schedule="@hourly"))
    house.advance(hours=1)

    assert [run.flow for run in house.runs()] == ["good"]
    (tick,) = house.client.schedules.ticks("shop", "bad")
    assert tick.outcome == TickOutcome.FAILED
    assert "'day'" in tick.reason


def test_full_disk_delays_a_run_and_loses_none(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(runs: list[NewRun], **_: object) -> None:
        raise StoreFull("no room is left")

    house.serve(FlowDefinition("etl", schedule="@hourly"))
    house.jump(minutes=31)
    with monkeypatch.context() as patch:
        patch.setattr(house.client, "create_runs", full)
        assert house.scheduler._look() == 0.2
        assert house.scheduler._look() == 0.4
    assert house.scheduler.health().detail == "no room is left"
    house.scheduler._look()

    assert house.dates() == ["01 12:00"]
    assert house.scheduler.health().detail == ""


def test_schedules_that_never_fire_are_told_and_stop_no_others(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.serve(
        FlowDefinition("never", schedule="FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"),
        FlowDefinition("broken", schedule="0 0 * *"),
        FlowDefinition("nowhere", schedule="@daily", timezone="Europe/Berln"),
        FlowDefinition("over", schedule="@hourly", end_at_us=0),
        FlowDefinition("etl", schedule="@hourly"),
    )
    house.advance(hours=1)

    assert [run.flow for run in house.runs()] == ["etl"]
    assert [record.message.partition(" (")[0] for record in caplog.records] == [
        "the schedule 'FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30' of 'never' never fires",
        "flow 'broken' does not fire: '0 0 * *' is no schedule",
        "flow 'nowhere' does not fire: there is no time zone 'Europe/Berln'",
    ]


def test_scheduler_that_stands_by_fires_nothing(house: House) -> None:
    is_active = False
    standby = Scheduler(
        house.client,
        house.project,
        flows=lambda: house.flows,
        clock=house.clock,
        is_active=lambda: is_active,
    )
    house.serve(FlowDefinition("etl", schedule="@hourly"))
    house.jump(minutes=31)
    standby._look()
    assert house.runs() == []
    is_active = True
    standby._look()

    assert house.dates() == ["01 12:00"]


def test_scheduler_that_is_active_again_goes_on_where_the_other_was(house: House) -> None:
    actives = {"first"}

    def scheduler(name: str) -> Scheduler:
        return Scheduler(
            house.client,
            house.project,
            flows=lambda: house.flows,
            clock=house.clock,
            is_active=lambda: name in actives,
        )

    first, second = scheduler("first"), scheduler("second")
    house.flows = {"etl": Served(FlowDefinition("etl", schedule="@hourly"))}
    for active in ("first", "first", "second", "second", "first"):
        actives = {active}
        first._look()
        second._look()
        house.jump(hours=1)

    assert house.dates() == ["01 12:00", "01 13:00", "01 14:00", "01 15:00"]
    ticks = house.client.schedules.ticks("shop", "etl")
    assert [tick.number for tick in ticks] == [3, 2, 1, 0]
    assert len({tick.tick_us for tick in ticks}) == 4


def test_only_the_newest_ticks_are_kept(house: House) -> None:
    house.serve(FlowDefinition("etl", schedule="* * * * *"))
    house.advance(minutes=60)

    ticks = house.client.schedules.ticks("shop", "etl", limit=1000)
    assert [tick.number for tick in ticks] == list(range(59, 9, -1))
