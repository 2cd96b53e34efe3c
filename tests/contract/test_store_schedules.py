"""This module tests what a store keeps of schedules."""

from ostinato.model.schedule_tick import ScheduleRow, ScheduleTickRow, TickOutcome
from ostinato.store.schedules import KEPT_TICKS
from tests.contract.conftest import House

ETL = ScheduleRow("etl", "@daily", since_us=1, last_tick_us=2, next_us=3, ticks=4)


def tick(number: int) -> ScheduleTickRow:
    return ScheduleTickRow("etl", number, number, number + 1, TickOutcome.FIRED, 7, "why")


def test_schedule_is_kept_as_it_stands(house: House) -> None:
    schedules = house.store.schedules
    schedules.record("shop", [ETL, ScheduleRow("report", "@hourly")])
    schedules.record("other", [ETL._replace(ticks=9)])
    later = ETL._replace(schedule="@weekly", since_us=5, last_tick_us=6, next_us=0, ticks=5)
    schedules.record("shop", [later])

    assert schedules.all("shop") == [later, ScheduleRow("report", "@hourly")]
    assert schedules.find("shop", "etl") == later
    assert schedules.find("shop", "nope") is None


def test_pause_is_nobodys_but_who_says_so(house: House) -> None:
    schedules = house.store.schedules
    schedules.record("shop", [ETL])
    house.clock.jump_to(1_000)
    schedules.set_paused("shop", ["etl", "unseen"], "ann", is_paused=True)
    schedules.record("shop", [ETL])
    house.clock.jump_to(2_000)
    schedules.set_paused("shop", ["etl"], "bob", is_paused=True)

    assert schedules.paused("shop") == {"etl", "unseen"}
    assert schedules.find("shop", "etl") == ETL._replace(is_paused=True, changed_by="ann")

    schedules.set_paused("shop", ["etl"], "bob", is_paused=False)
    found = schedules.find("shop", "etl")
    assert found == ETL._replace(changed_by="bob", since_us=2_000)
    assert schedules.paused("shop") == {"unseen"}
    assert schedules.paused("other") == set()


def test_newest_ticks_are_kept(house: House) -> None:
    schedules = house.store.schedules
    schedules.record("shop", [ETL], [tick(number) for number in range(KEPT_TICKS)])
    schedules.record("shop", [], [tick(KEPT_TICKS), tick(KEPT_TICKS + 1)])

    found = schedules.ticks("shop", "etl", 1_000)
    assert found == [tick(number) for number in range(KEPT_TICKS + 1, 1, -1)]
    assert schedules.ticks("shop", "etl", 2) == found[:2]
    assert schedules.ticks("shop", "report", 2) == []
