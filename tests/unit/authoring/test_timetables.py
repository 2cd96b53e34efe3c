"""This module tests schedules that are objects, several, or what files say of them."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import DAILY, rrule

from ostinato import DAG
from ostinato.authoring.schedules import schedule_text
from ostinato.authoring.timetables import moments_after
from ostinato.engine.timetable import check_schedule
from ostinato.errors import InvalidArgument
from ostinato.schedules import Cron, Dates, Interval, RRule, Timetable

BERLIN = ZoneInfo("Europe/Berlin")

#: As users write moments, which are in the flow's zone.
SIX = datetime(2025, 1, 1, 6)  # noqa: DTZ001 - see above


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (Cron("0  6 * * *"), "0 6 * * *"),
        (Cron("0 6 * * *", timezone="Europe/Berlin"), "CRON_TZ=Europe/Berlin 0 6 * * *"),
        (Interval(timedelta(hours=2)), "every 7200"),
        (
            Interval("90m", anchor=SIX),
            "every 5400 from 2025-01-01T05:00:00Z",
        ),
        (Interval(1.5, anchor="2025-01-01T06:00+00:00"), "every 1.5 from 2025-01-01T06:00:00Z"),
        (RRule("FREQ=MONTHLY;BYDAY=-1FR"), "FREQ=MONTHLY;BYDAY=-1FR"),
        (
            RRule("FREQ=DAILY;BYHOUR=6", timezone="Asia/Tokyo"),
            "DTSTART;TZID=Asia/Tokyo:20200101T000000 FREQ=DAILY;BYHOUR=6",
        ),
        (
            RRule(rrule(DAILY, dtstart=SIX, count=3)),
            "DTSTART:20250101T060000 RRULE:FREQ=DAILY;COUNT=3",
        ),
        (
            rrule(DAILY, dtstart=SIX, interval=2),
            "DTSTART:20250101T060000 RRULE:FREQ=DAILY;INTERVAL=2",
        ),
        (Dates("2025-01-31"), "dates 2025-01-30T23:00:00Z"),
        (
            Dates([date(2025, 2, 28), datetime(2025, 1, 31, 6, tzinfo=UTC)], timezone="UTC"),
            "dates 2025-01-31T06:00:00Z 2025-02-28T00:00:00Z",
        ),
        ([datetime(2025, 1, 31, 7, tzinfo=BERLIN)], "dates 2025-01-31T06:00:00Z"),
        (["0 6 * * *", Cron("@weekly"), timedelta(hours=1)], "0 6 * * * | @weekly | every 3600"),
        ("0 6 * * * |  0 18 * * SAT", "0 6 * * * | 0 18 * * SAT"),
        ("every 1h30m", "every 5400"),
        ({"cron": "0 6 * * *", "timezone": "Asia/Tokyo"}, "CRON_TZ=Asia/Tokyo 0 6 * * *"),
        ({"interval": "2h"}, "every 7200"),
        ({"rrule": "FREQ=DAILY"}, "FREQ=DAILY"),
        ({"dates": [date(2025, 1, 31)]}, "dates 2025-01-30T23:00:00Z"),
        ([{"cron": "0 6 * * *"}, "@weekly"], "0 6 * * * | @weekly"),
    ],
)
def test_schedule_is_kept_as_text_that_the_timetable_reads(schedule: Any, text: str) -> None:
    found = schedule_text(schedule, timezone="Europe/Berlin")

    assert found == text
    assert schedule_text(found) == text
    check_schedule(found, "Europe/Berlin")


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (Cron("0 24 * * *"), "hour 24 is not from 0 to 23"),
        (Cron("0 6 * * *", timezone="Europe/Berln"), "no time zone 'Europe/Berln'"),
        ("CRON_TZ=Europe/Berln 0 6 * * *", "no time zone 'Europe/Berln'"),
        (Interval("soon"), "'soon' is no duration"),
        (Interval(0), "never fires"),
        (RRule("FREQ=DAYLY"), "is no recurrence rule"),
        ("FREQ=DAYLY", "is no recurrence rule"),
        (Dates([]), "without dates never fires"),
        (Dates("soon"), "'soon' is no date"),
        ([], "of no parts never fires"),
        (["@daily", "@once"], "@once does not combine"),
        ("@daily | @continuous", "@continuous does not combine"),
        ([Timetable()], "Timetable() does not combine"),
        ({"crn": "0 6 * * *"}, "did you mean 'cron'?"),
        ({"cron": "0 6 * * *", "zone": "UTC"}, "such as {cron:"),
        (test_schedule_is_kept_as_text_that_the_timetable_reads, "assets and tasks do not exist"),
        ("dates tomorrow", "'tomorrow' is no moment"),
    ],
)
def test_wrong_schedule_is_told(schedule: Any, said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        schedule_text(schedule)

    assert said in str(caught.value)


class Workdays(Timetable):
    def __init__(self, hour: int) -> None:
        self.hour = hour

    def next(self, after: datetime) -> datetime | None:
        day = after.replace(hour=self.hour, minute=0, second=0, microsecond=0)
        while day <= after or day.weekday() > 4:
            day += timedelta(days=1)
        return day


def test_timetable_of_a_user_is_kept_by_what_it_calls_itself() -> None:
    flow = DAG("etl", schedule=Workdays(hour=6))

    assert flow.definition.schedule == "timetable Workdays(hour=6)"
    assert flow.timetable is not None


def us(*parts: int) -> int:
    moment = datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]  # the parts are six at most
    return int(moment.timestamp()) * 1_000_000


def test_moments_of_a_timetable_of_a_user_are_in_the_zone_of_its_flow() -> None:
    friday = us(2025, 3, 28, 12)

    found = moments_after(
        Workdays(6), friday, timezone="Europe/Berlin", now_us=friday, count=2, has_all=False
    )

    first, second = us(2025, 3, 31, 4), us(2025, 4, 1, 4)
    assert found == [(first, first, first), (second, first, second)]


@pytest.mark.parametrize(
    ("has_all", "days"), [(True, [2, 3, 6]), (False, [17, 20, 21])], ids=["all", "newest"]
)
def test_of_moments_that_have_passed_the_newest_counts(has_all: bool, days: list[int]) -> None:
    now_us = us(2025, 1, 17, 12)

    found = moments_after(
        Workdays(6), us(2025, 1, 1, 12), timezone="", now_us=now_us, count=3, has_all=has_all
    )

    assert [each[0] for each in found] == [us(2025, 1, day, 6) for day in days]


class Stuck(Timetable):
    def next(self, after: datetime) -> datetime | None:
        return after


class Wrong(Timetable):
    def next(self, after: datetime) -> datetime | None:
        return "tomorrow"  # type: ignore[return-value]  # as users do


@pytest.mark.parametrize(
    ("timetable", "said"),
    [(Stuck(), "which is not after it"), (Wrong(), "returns 'tomorrow', which is no datetime")],
)
def test_timetable_that_makes_no_sense_is_told(timetable: Timetable, said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        moments_after(timetable, 0, timezone="", now_us=0, count=2, has_all=False)


def test_flow_says_how_its_schedule_is_meant() -> None:
    flow = DAG(
        "etl",
        schedule="@daily",
        schedule_reading="interval_start",
        schedule_params={"region": "eu"},
        jitter="5m",
    ).definition

    assert (flow.schedule_reading, flow.jitter_s) == ("interval_start", 300.0)
    assert flow.schedule_params == {"region": "eu"}
    assert DAG("other", schedule_reading="tick").definition.schedule_reading == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"schedule_reading": "interval_end"}, "no schedule_reading 'interval_end'"),
        ({"jitter": "soon"}, "'soon' is no duration"),
        (
            {"start_date": date(2025, 2, 1), "end_date": date(2025, 1, 1)},
            "end_date 2025-01-01T00:00:00Z is before start_date",
        ),
    ],
)
def test_flow_with_a_wrong_schedule_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        DAG("etl", schedule="@daily", **options)
