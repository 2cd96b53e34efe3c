"""This module decides which alerts a moment asks for, and when they may go out."""

from datetime import UTC, datetime, time, timedelta
from fnmatch import fnmatchcase

from ostinato.engine.timetable import zone_of
from ostinato.model.alert import AlertRule, QuietTime
from ostinato.model.flow import FlowDefinition, TaskDefinition
from ostinato.model.notice import Moment

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)

#: Quiet times that may follow each other without a pause: those of a week.
_ADJOINING = 8


def watched_moments(
    rule: AlertRule, flow: FlowDefinition, task: TaskDefinition | None = None
) -> frozenset[Moment]:
    """Return the moments of a task, or of the runs of a flow, that a rule is about.

    Args:
        rule: The rule.
        flow: What runs.
        task: One of its tasks; None for the run itself.
    """
    tags = flow.tags if task is None else (*flow.tags, *task.tags)
    if not _fits(flow.name, rule.flows):
        return frozenset()
    if rule.tags and not any(_fits(tag, rule.tags) for tag in tags):
        return frozenset()
    if task is not None and not _fits(task.id, rule.tasks):
        return frozenset()
    return frozenset(moment for moment in rule.moments if moment.is_of_run is (task is None))


def topic_of(
    rule: AlertRule, moment: Moment, flow: str, task_id: str, *, run_id: int, is_mapped: bool
) -> str:
    """Return what repeated alerts have in common; empty where none is a repetition.

    However wide a mapped task is, a run alerts once of it.
    """
    if not rule.every_s and not is_mapped:
        return ""
    run = "" if rule.every_s else f"|{run_id}"
    return f"{rule.name}|{moment}|{flow}|{task_id}{run}"


def is_repeated(rule: AlertRule, last_us: int, now_us: int) -> bool:
    """Whether an alert comes too soon after the last one on its topic.

    Args:
        rule: Its rule.
        last_us: When that was; 0 for never.
        now_us: Now.
    """
    if not last_us:
        return False
    return not rule.every_s or now_us - last_us < rule.every_s * 1e6


def due_us(rule: AlertRule, now_us: int) -> int | None:
    """Return when an alert may go out: now, or after the quiet time; None if it is dropped."""
    if rule.quiet is None:
        return now_us
    end_us = quiet_until_us(rule.quiet, now_us)
    if end_us is None:
        return now_us
    return None if rule.quiet.is_dropped else end_us


def quiet_until_us(quiet: QuietTime, at_us: int) -> int | None:
    """Return when the quiet time around a moment ends, None if there is none around it.

    It is read on the clocks of its zone. Where they are set, a time that they skip counts as
    the moment to which they are set forward, and of a time that they show twice the first counts.
    """
    until_us = _end_around(quiet, at_us)
    for _ in range(_ADJOINING):
        following = None if until_us is None else _end_around(quiet, until_us)
        if following is None:
            break
        until_us = following
    return until_us


def _end_around(quiet: QuietTime, at_us: int) -> int | None:
    zone = zone_of(quiet.timezone)
    moment = _EPOCH + timedelta(microseconds=at_us)
    today = moment.astimezone(zone).date()
    overnight = _DAY if quiet.end_minute <= quiet.start_minute else timedelta()
    # One that began yesterday, or the day before where clocks were set over midnight.
    for back in (0, 1, 2):
        day = today - back * _DAY
        if day.weekday() not in quiet.days:
            continue
        start = datetime.combine(day, _time(quiet.start_minute), zone).astimezone(UTC)
        end = datetime.combine(day + overnight, _time(quiet.end_minute), zone).astimezone(UTC)
        if start <= moment < end:
            return (end - _EPOCH) // timedelta(microseconds=1)
    return None


def _time(minute: int) -> time:
    return time(*divmod(minute, 60))


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
