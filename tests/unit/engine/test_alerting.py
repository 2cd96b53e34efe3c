"""Which alerts a moment asks for, and when they may go out."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.engine.alerting import (
    due_us,
    is_repeated,
    quiet_until_us,
    topic_of,
    watched_moments,
)
from ostinato.model.alert import AlertRule, QuietTime
from ostinato.model.flow import FlowDefinition, TaskDefinition
from ostinato.model.notice import Moment

HOUR = 3600
FLOW = FlowDefinition("etl_sales", tags=("prod",))
LOAD = TaskDefinition("load", tags=("heavy",))
NIGHT = QuietTime(22 * 60, 7 * 60)
ALL = tuple(Moment)


def rule(
    *moments: Moment,
    flows: tuple[str, ...] = ("*",),
    tasks: tuple[str, ...] = ("*",),
    tags: tuple[str, ...] = (),
    every_s: float = 0.0,
    quiet: QuietTime | None = None,
) -> AlertRule:
    return AlertRule(
        "r", moments or ALL, ("team",), flows, tasks, tags, every_s=every_s, quiet=quiet
    )


def us(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1e6)


# Which


def test_moments_of_tasks_and_of_runs_stand_apart() -> None:
    assert watched_moments(rule(), FLOW) == {m for m in Moment if m.is_of_run}
    assert watched_moments(rule(), FLOW, LOAD) == {m for m in Moment if not m.is_of_run}
    assert watched_moments(rule(Moment.FAILURE), FLOW) == set()


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (rule(flows=("etl_*",)), True),
        (rule(flows=("other", "etl_sales")), True),
        (rule(flows=("etl",)), False),
        (rule(tasks=("l?ad",)), True),
        (rule(tasks=("Load",)), False),
        (rule(tags=("prod",)), True),
        (rule(tags=("he*",)), True),
        (rule(tags=("test",)), False),
        (rule(flows=("etl_*",), tags=("test",)), False),
    ],
)
def test_a_rule_is_about_what_its_patterns_name(chosen: AlertRule, expected: bool) -> None:
    assert bool(watched_moments(chosen, FLOW, LOAD)) is expected


def test_patterns_of_tasks_keep_no_moment_of_the_run_out() -> None:
    chosen = rule(Moment.FAILURE, Moment.RUN_FAILURE, tasks=("other",))

    assert watched_moments(chosen, FLOW) == {Moment.RUN_FAILURE}
    assert watched_moments(chosen, FLOW, LOAD) == set()


# How often


def topic(chosen: AlertRule, *, run_id: int = 1, is_mapped: bool = False) -> str:
    return topic_of(chosen, Moment.FAILURE, "etl", "load", run_id=run_id, is_mapped=is_mapped)


def test_without_a_limit_only_a_mapped_task_repeats_itself_in_its_run() -> None:
    assert topic(rule()) == ""
    assert topic(rule(), is_mapped=True) != topic(rule(), run_id=2, is_mapped=True)
    assert is_repeated(rule(), last_us=1, now_us=10**18)


def test_with_a_limit_runs_share_a_topic_and_time_ends_it() -> None:
    hourly = rule(every_s=HOUR)

    assert topic(hourly) == topic(hourly, run_id=2, is_mapped=True) != ""
    assert not is_repeated(hourly, last_us=0, now_us=5)
    assert is_repeated(hourly, last_us=10, now_us=HOUR * 10**6 + 9)
    assert not is_repeated(hourly, last_us=10, now_us=HOUR * 10**6 + 10)


# When


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2025-01-01T21:59:59", None),
        ("2025-01-01T22:00:00", "2025-01-02T07:00:00"),
        ("2025-01-02T00:30:00", "2025-01-02T07:00:00"),
        ("2025-01-02T06:59:59", "2025-01-02T07:00:00"),
        ("2025-01-02T07:00:00", None),
    ],
)
def test_a_quiet_time_lasts_over_midnight(at: str, until: str | None) -> None:
    assert quiet_until_us(NIGHT, us(at)) == (None if until is None else us(until))


def test_a_day_is_that_on_which_the_quiet_time_begins() -> None:
    friday = QuietTime(22 * 60, 7 * 60, days=(4,))

    assert quiet_until_us(friday, us("2025-01-04T03:00:00")) == us("2025-01-04T07:00:00")
    assert quiet_until_us(friday, us("2025-01-03T03:00:00")) is None
    assert quiet_until_us(friday, us("2025-01-04T23:00:00")) is None


def test_adjoining_quiet_times_are_one() -> None:
    weekend = QuietTime(0, 0, days=(5, 6))

    assert quiet_until_us(weekend, us("2025-01-04T12:00:00")) == us("2025-01-06T00:00:00")


@pytest.mark.parametrize(
    ("at", "until"),
    [
        # 02:30 is skipped; clocks go from 02:00 to 03:00.
        ("2025-03-29T23:00:00+01:00", "2025-03-30T03:30:00+02:00"),
        # 02:30 comes twice; the first one counts.
        ("2025-10-25T23:00:00+02:00", "2025-10-26T02:30:00+02:00"),
    ],
)
def test_clocks_that_are_set_end_a_quiet_time_once(at: str, until: str) -> None:
    quiet = QuietTime(22 * 60, 2 * 60 + 30, "Europe/Berlin")
    at_us, until_us = (int(datetime.fromisoformat(text).timestamp() * 1e6) for text in (at, until))

    assert quiet_until_us(quiet, at_us) == until_us
    assert quiet_until_us(quiet, until_us) is None


def test_an_alert_is_held_dropped_or_goes_out() -> None:
    at_us = us("2025-01-01T23:00:00")
    dropping = QuietTime(22 * 60, 7 * 60, is_dropped=True)

    assert due_us(rule(), at_us) == at_us
    assert due_us(rule(quiet=NIGHT), at_us) == us("2025-01-02T07:00:00")
    assert due_us(rule(quiet=dropping), at_us) is None
    assert due_us(rule(quiet=NIGHT), us("2025-01-01T12:00:00")) == us("2025-01-01T12:00:00")


quiet_times = st.builds(
    QuietTime,
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    st.sets(st.integers(0, 6), min_size=1, max_size=6).map(lambda days: tuple(sorted(days))),
)

#: Moments in microseconds: any, and around the changes of clocks in Europe.
moments = st.one_of(
    st.integers(us("2024-01-01"), us("2027-01-01")),
    *(
        st.integers(us(change) - 30 * HOUR * 10**6, us(change) + 30 * HOUR * 10**6)
        for change in ("2025-03-30T01:00", "2025-10-26T01:00")
    ),
)


@given(quiet_times, moments)
def test_what_is_held_goes_out_at_a_moment_that_is_not_quiet(quiet: QuietTime, at_us: int) -> None:
    until_us = quiet_until_us(quiet, at_us)

    if until_us is not None:
        assert until_us > at_us
        assert quiet_until_us(quiet, until_us) is None
        assert quiet_until_us(quiet, until_us - 1) == until_us
        assert until_us - at_us <= (6 * 24 + 26) * HOUR * 10**6


@given(quiet_times, moments)
def test_a_moment_is_quiet_if_its_clock_shows_a_quiet_time(quiet: QuietTime, at_us: int) -> None:
    local = datetime.fromtimestamp(at_us / 1e6, UTC).astimezone(ZoneInfo(quiet.timezone))
    day = timedelta(days=1)
    offsets = {(local + shift * day).utcoffset() for shift in (-2, -1, 0, 1, 2)}
    minute = local.hour * 60 + local.minute
    today, yesterday = local.weekday() in quiet.days, (local.weekday() - 1) % 7 in quiet.days
    if quiet.start_minute < quiet.end_minute:
        expected = today and quiet.start_minute <= minute < quiet.end_minute
    else:
        expected = (today and minute >= quiet.start_minute) or (
            yesterday and minute < quiet.end_minute
        )

    found = quiet_until_us(quiet, at_us)

    # Where clocks are set, the two can differ for an hour; elsewhere they agree.
    if len(offsets) == 1:
        assert (found is not None) is expected
