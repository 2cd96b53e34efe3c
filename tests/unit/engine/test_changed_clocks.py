"""This module tests schedules on days of changed clocks: a table for each of three zones.

Berlin moves by an hour at 01:00 UTC, New York by an hour at 02:00 local time, Lord Howe by half
an hour at 02:00 local time; each table has two days of either kind, in two years.
"""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from ostinato.engine.occurrences import FlowTimetable, Occurrence
from ostinato.engine.timetable.zones import moment_of, us_of
from ostinato.model.flow import FlowDefinition

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"

#: Zone, schedule, day in UTC, and the moments in UTC at which it fires from then on.
Case = tuple[str, str, str, list[str]]

#: Clocks go from 02:00 to 03:00, and from 03:00 back to 02:00.
BERLIN_TABLE: list[Case] = [
    # Forward, 2024-03-31: 02:30 is not there, and fires at 03:00.
    (BERLIN, "30 2 * * *", "2024-03-30", ["30 01:30", "31 01:00", "01 00:30"]),
    (BERLIN, "0 2 * * *", "2024-03-30", ["30 01:00", "31 01:00", "01 00:00"]),
    (BERLIN, "0 3 * * *", "2024-03-30", ["30 02:00", "31 01:00", "01 01:00"]),
    (BERLIN, "0 * * * *", "2024-03-30T23:30", ["31 00:00", "31 01:00", "31 02:00"]),
    (BERLIN, "*/30 * * * *", "2024-03-31T00:10", ["31 00:30", "31 01:00", "31 01:30"]),
    (BERLIN, "@daily", "2024-03-30T12:00", ["30 23:00", "31 22:00", "01 22:00"]),
    (BERLIN, "FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "2024-03-30", ["30 01:30", "31 01:30", "01 00:30"]),
    # Back, 2024-10-27: 02:30 comes twice, and fires the first time.
    (BERLIN, "30 2 * * *", "2024-10-26", ["26 00:30", "27 00:30", "28 01:30"]),
    (BERLIN, "0 2 * * *", "2024-10-26", ["26 00:00", "27 00:00", "28 01:00"]),
    (BERLIN, "0 3 * * *", "2024-10-26", ["26 01:00", "27 02:00", "28 02:00"]),
    (BERLIN, "0 * * * *", "2024-10-26T23:30", ["27 00:00", "27 01:00", "27 02:00"]),
    (BERLIN, "*/30 * * * *", "2024-10-27T00:10", ["27 00:30", "27 01:00", "27 01:30"]),
    (BERLIN, "@daily", "2024-10-26T12:00", ["26 22:00", "27 23:00", "28 23:00"]),
    (BERLIN, "FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "2024-10-26", ["26 00:30", "27 00:30", "28 01:30"]),
    # The year after.
    (BERLIN, "30 2 * * *", "2025-03-29", ["29 01:30", "30 01:00", "31 00:30"]),
    (BERLIN, "30 2 * * *", "2025-10-25", ["25 00:30", "26 00:30", "27 01:30"]),
    (BERLIN, "every 86400 from 2025-03-28T02:30:00Z", "2025-03-29", ["29 02:30", "30 02:30"]),
]

#: The same, at 07:00 and 06:00 UTC.
NEW_YORK_TABLE: list[Case] = [
    (NEW_YORK, "30 2 * * *", "2024-03-09", ["09 07:30", "10 07:00", "11 06:30"]),
    (NEW_YORK, "0 * * * *", "2024-03-10T05:30", ["10 06:00", "10 07:00", "10 08:00"]),
    (NEW_YORK, "@daily", "2024-03-09T12:00", ["10 05:00", "11 04:00"]),
    (NEW_YORK, "FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "2024-03-09", ["09 07:30", "10 07:30"]),
    (NEW_YORK, "30 1 * * *", "2024-11-02", ["02 05:30", "03 05:30", "04 06:30"]),
    (NEW_YORK, "30 2 * * *", "2024-11-02", ["02 06:30", "03 07:30", "04 07:30"]),
    (NEW_YORK, "0 * * * *", "2024-11-03T04:30", ["03 05:00", "03 06:00", "03 07:00"]),
    (NEW_YORK, "15,45 1 * * *", "2024-11-03", ["03 05:15", "03 05:45", "04 06:15"]),
    (NEW_YORK, "@daily", "2024-11-02T12:00", ["03 04:00", "04 05:00"]),
    (NEW_YORK, "30 2 * * *", "2025-03-08", ["08 07:30", "09 07:00", "10 06:30"]),
    (NEW_YORK, "30 1 * * *", "2025-11-01", ["01 05:30", "02 05:30", "03 06:30"]),
]

#: From 02:00 to 02:30 at 15:30 UTC in October, from 02:00 back to 01:30 at 15:00 UTC in April.
LORD_HOWE_TABLE: list[Case] = [
    (LORD_HOWE, "15 2 * * *", "2024-10-04", ["04 15:45", "05 15:30", "06 15:15"]),
    (LORD_HOWE, "30 2 * * *", "2024-10-04", ["04 16:00", "05 15:30", "06 15:30"]),
    (LORD_HOWE, "*/30 * * * *", "2024-10-05T14:40", ["05 15:00", "05 15:30", "05 16:00"]),
    (LORD_HOWE, "@daily", "2024-10-04T12:00", ["04 13:30", "05 13:30", "06 13:00"]),
    (LORD_HOWE, "45 1 * * *", "2024-04-05", ["05 14:45", "06 14:45", "07 15:15"]),
    (LORD_HOWE, "15 2 * * *", "2024-04-05", ["05 15:15", "06 15:45", "07 15:45"]),
    (LORD_HOWE, "*/30 * * * *", "2024-04-06T14:10", ["06 14:30", "06 15:00", "06 15:30"]),
    (LORD_HOWE, "@daily", "2024-04-05T12:00", ["05 13:00", "06 13:00", "07 13:30"]),
    (LORD_HOWE, "15 2 * * *", "2025-10-03", ["03 15:45", "04 15:30", "05 15:15"]),
    (LORD_HOWE, "45 1 * * *", "2025-04-04", ["04 14:45", "05 14:45", "06 15:15"]),
]


@pytest.mark.parametrize(
    ("zone", "schedule", "day", "moments"), [*BERLIN_TABLE, *NEW_YORK_TABLE, *LORD_HOWE_TABLE]
)
def test_schedule_fires_where_clocks_are_changed(
    zone: str, schedule: str, day: str, moments: list[str]
) -> None:
    timetable = FlowTimetable(FlowDefinition("etl", schedule=schedule, timezone=zone))
    start_us = us_of(datetime.fromisoformat(day).replace(tzinfo=UTC)) - 1

    found = timetable.next(start_us)
    forwards: list[Occurrence] = []
    while found is not None and len(forwards) < len(moments):
        forwards.append(found)
        found = timetable.following(found)

    assert [f"{moment_of(each.tick_us):%d %H:%M}" for each in forwards] == moments
    # Backwards it is the same: no moment is lost or doubled by the direction of the search.
    for before, each in pairwise(forwards):
        assert (each.start_us, each.end_us) == (before.tick_us, each.tick_us)
        assert timetable.latest(each.tick_us) == each
        assert timetable.latest(each.tick_us - 1) == timetable.next(before.tick_us - 1)
