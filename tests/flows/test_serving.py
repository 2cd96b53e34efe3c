"""This module tests flows that a script serves: a run at each moment of a schedule."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ostinato import flow
from ostinato.clock import VirtualClock
from ostinato.coordinator.session import EmbeddedSession
from ostinato.engine.timetable import next_tick_us
from ostinato.errors import InvalidArgument, ParameterError
from ostinato.schedules import Dates, Timetable
from ostinato.store.protocol import RunFilter
from ostinato.store.records import RunRow
from ostinato.store.sqlite import open_store

#: 2025-03-30 00:30 UTC; half an hour later clocks in Berlin are set forward.
START_US = 1_743_294_600_000_000


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for what the flows record."""
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))
    return tmp_path


def rows_of(home: Path) -> list[RunRow]:
    """Return all runs, oldest first."""
    store = open_store(home / "store.db")
    try:
        return store.runs(RunFilter())[0][::-1]
    finally:
        store.close()


def test_each_moment_has_a_run_of_its_own(home: Path) -> None:
    seen: list[int] = []

    @flow
    def report(rows: int = 1) -> None:
        seen.append(rows)

    report.serve(
        timedelta(seconds=0.02), params={"rows": 2}, runs=2, name="nightly", tags=["a", "nightly"]
    )

    assert seen == [2, 2]
    rows = rows_of(home)
    assert rows[0].tags == ("nightly", "a")
    assert [row.trigger for row in rows] == ["schedule", "schedule"]
    assert all(row.logical_date_us % 20_000 == 0 for row in rows)
    assert rows[0].logical_date_us < rows[1].logical_date_us
    assert [row.interval_end_us - row.interval_start_us for row in rows] == [20_000, 20_000]


def test_who_serves_the_same_moments_does_not_run_them_again(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[int] = []

    @flow(schedule="0 * * * *")
    def report() -> None:
        seen.append(1)

    for _ in range(2):
        session = EmbeddedSession()
        session.serve(report, params={}, runs=2, clock=VirtualClock(START_US))
        session.close()

    assert len(seen) == len(rows_of(home)) == 2
    assert "report#1 was started already" in capsys.readouterr().err


def test_a_run_that_fails_ends_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @flow
    def report() -> None:
        message = "wrong"
        raise ValueError(message)

    report.serve(interval=0.02, runs=2)

    assert [row.state.label for row in rows_of(home)] == ["failed", "failed"]
    assert "report#2 failed" in capsys.readouterr().err


def test_ctrl_c_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    @flow
    def report() -> None:
        raise KeyboardInterrupt

    report.serve(interval=0.02)

    assert "report: no longer served" in capsys.readouterr().err


def test_what_cannot_be_served_is_said_at_once() -> None:
    @flow
    def report(rows: int = 1) -> None:
        pass

    with pytest.raises(InvalidArgument):
        report.serve(cron="nonsense")
    with pytest.raises(ParameterError):
        report.serve("@daily", params={"rows": "many"})


def test_the_next_moment_over_a_change_of_clocks() -> None:
    def next_ones(cron: str, start: datetime, count: int) -> list[str]:
        found = []
        at_us = round(start.timestamp() * 1e6)
        for _ in range(count):
            at_us = next_tick_us(cron, "Europe/Berlin", at_us)
            found.append(datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%d %H:%M"))
        return found

    spring = datetime(2025, 3, 29, 12, tzinfo=UTC)
    assert next_ones("0 6 * * *", spring, 2) == ["30 04:00", "31 04:00"]
    autumn = datetime(2025, 10, 25, 23, 30, tzinfo=UTC)
    assert next_ones("0 * * * *", autumn, 4) == ["26 00:00", "26 01:00", "26 02:00", "26 03:00"]
    assert next_ones("30 2 * * *", datetime(2025, 10, 25, 12, tzinfo=UTC), 2)[1] == "27 01:30"


class TwoMoments(Timetable):
    def next(self, after: datetime) -> datetime | None:
        second = datetime(2025, 6, 15, 16, tzinfo=after.tzinfo)
        return next((each for each in (second.replace(hour=15), second) if each > after), None)


@pytest.mark.parametrize(
    "schedule", [Dates("2025-06-15T15:00", "2025-06-15T16:00"), TwoMoments()], ids=["dates", "code"]
)
def test_every_kind_of_schedule_is_served_under_the_keys_of_the_scheduler(
    home: Path, capsys: pytest.CaptureFixture[str], schedule: Any
) -> None:
    @flow(schedule=schedule)
    def report() -> None: ...

    start_us = int(datetime(2025, 6, 15, 14, 30, tzinfo=UTC).timestamp()) * 1_000_000
    session = EmbeddedSession()
    session.serve(report, params={}, runs=2, clock=VirtualClock(start_us))
    session.close()

    first, second = rows_of(home)
    assert first.logical_key == "schedule:report:2025-06-15T15:00:00Z"
    assert second.logical_key == "schedule:report:2025-06-15T16:00:00Z"
    assert second.interval_end_us == second.logical_date_us


def test_airflows_reading_is_served_too(home: Path) -> None:
    @flow(schedule="@hourly", schedule_reading="interval_start")
    def report() -> None: ...

    session = EmbeddedSession()
    session.serve(report, params={}, runs=1, clock=VirtualClock(START_US))
    session.close()

    (row,) = rows_of(home)
    assert row.logical_date_us == row.interval_start_us
    assert row.interval_end_us - row.interval_start_us == 3600 * 1_000_000
