"""This module turns the schedules that users write into the text of the model."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from ostinato.authoring.quantities import seconds_of
from ostinato.authoring.schedule_checks import check_timezone, cron_problem, every, rule_problem
from ostinato.authoring.suggestions import did_you_mean
from ostinato.authoring.timetables import Cron, Dates, Interval, RRule, Schedule, Timetable
from ostinato.errors import InvalidArgument, Place
from ostinato.model import schedule as model
from ostinato.model.schedule import CONTINUOUS, ONCE, CronPart, CustomPart, Part

#: Schedules by name.
PRESETS = (ONCE, CONTINUOUS, *model.PRESETS)

#: Schedules that name no moments.
WITHOUT_TICKS = frozenset({ONCE, CONTINUOUS})

_ZONE = "CRON_TZ="
_RULES = ("RRULE:", "DTSTART:", "DTSTART;", "RDATE", "EXRULE:", "EXDATE", "FREQ=")

#: What a mapping says, as files write it: by the key that tells its kind.
_KINDS: Mapping[str, Any] = {"cron": Cron, "interval": Interval, "rrule": RRule, "dates": Dates}


def schedule_text(schedule: object, place: Place | None = None, *, timezone: str = "") -> str:
    """Return a schedule as the model keeps it.

    Args:
        schedule: A cron expression, a preset such as ``@daily``, a timedelta, ``every 90m``, a
            recurrence rule, an object of ``ostinato.schedules``, several of them, datetimes, or
            None; in files a mapping such as ``{cron: 0 6 * * *, timezone: Europe/Berlin}``.
        place: Where it stands.
        timezone: Of the flow; moments without a zone are in it. Empty for UTC.

    Raises:
        InvalidArgument: If it is none of these.
    """
    if schedule is None:
        return ""
    if isinstance(schedule, Timetable):
        return str(CustomPart(" ".join(repr(schedule).split())))
    if isinstance(schedule, str):
        text = " ".join(schedule.split())
        if text in WITHOUT_TICKS:
            return text
    return model.joined(_parts(schedule, place, timezone))


def _parts(schedule: object, place: Place | None, timezone: str) -> list[Part]:
    if isinstance(schedule, Schedule):
        return [schedule.part(timezone, place)]
    if isinstance(schedule, timedelta):
        return [every(schedule.total_seconds(), place)]
    if isinstance(schedule, str):
        return [_of_text(text, schedule, place) for text in _split(schedule)]
    if isinstance(schedule, date):
        return [Dates(schedule).part(timezone, place)]
    if isinstance(schedule, Mapping):
        return [_of_mapping(schedule, place).part(timezone, place)]
    if type(schedule).__module__ == "dateutil.rrule":
        return [RRule(schedule).part(timezone, place)]
    if isinstance(schedule, list | tuple | set | frozenset):
        return _of_several(schedule, place, timezone)
    message = f"schedule {schedule!r} is neither a cron expression, a preset nor a timedelta"
    raise InvalidArgument(message, place=place, hint=_hint(schedule))


def _of_several(several: Iterable[object], place: Place | None, timezone: str) -> list[Part]:
    each = list(several)
    if not each:
        hint = "None is no schedule"
        raise InvalidArgument("a schedule of no parts never fires", place=place, hint=hint)
    moments = [one for one in each if isinstance(one, datetime | date)]
    parts: list[Part] = [Dates(moments).part(timezone, place)] if moments else []
    for one in each:
        if isinstance(one, Timetable):
            message = f"{one!r} does not combine with other schedules"
            raise InvalidArgument(message, place=place, hint="have its class do so")
        if isinstance(one, str) and one.strip() in WITHOUT_TICKS:
            message = f"{one} does not combine with other schedules"
            raise InvalidArgument(message, place=place)
        if not isinstance(one, datetime | date):
            parts += _parts(one, place, timezone)
    return parts


def _of_mapping(said: Mapping[Any, Any], place: Place | None) -> Schedule:
    given = {str(key): value for key, value in said.items()}
    kind = next((key for key in _KINDS if key in given), None)
    if kind is None:
        wrong = next(iter(given), "")
        hint = did_you_mean(wrong, _KINDS) or f"it has one of {', '.join(_KINDS)}"
        raise InvalidArgument(f"schedule {dict(said)!r} has no kind", place=place, hint=hint)
    value = given.pop(kind)
    try:
        made: Schedule = _KINDS[kind](value, **given)
    except (TypeError, AttributeError):
        message = f"schedule {dict(said)!r} cannot be read"
        hint = f"such as {_EXAMPLES[kind]}"
        raise InvalidArgument(message, place=place, hint=hint) from None
    return made


_EXAMPLES = {
    "cron": "{cron: '0 6 * * *', timezone: Europe/Berlin}",
    "interval": "{interval: 90m, anchor: 2025-01-01T06:00}",
    "rrule": "{rrule: 'FREQ=MONTHLY;BYDAY=-1FR', timezone: Europe/Berlin}",
    "dates": "{dates: [2025-01-31, 2025-02-28]}",
}


def _split(schedule: str) -> list[str]:
    return [" ".join(text.split()) for text in schedule.split("|")]


def _of_text(text: str, schedule: str, place: Place | None) -> Part:
    if text.startswith("every ") and " from " not in text:
        try:
            seconds = _seconds(text.removeprefix("every "))
        except ValueError:
            raise InvalidArgument(
                f"schedule {schedule!r} is no interval", place=place, hint="write 'every <seconds>'"
            ) from None
        return every(seconds, place)
    if text.startswith(("every ", "dates ", *_RULES)):
        if text.startswith(_RULES) and (problem := rule_problem(text.split())):
            message = f"schedule {schedule!r} is no recurrence rule: {problem}"
            raise InvalidArgument(message, place=place)
        return _of_model(text, place)
    if text in WITHOUT_TICKS:
        message = f"{text} does not combine with other schedules"
        raise InvalidArgument(message, place=place)
    if text.startswith("@"):
        if text not in PRESETS:
            hint = did_you_mean(text, PRESETS) or f"presets are {', '.join(PRESETS)}"
            raise InvalidArgument(f"schedule {schedule!r} is unknown", place=place, hint=hint)
        return CronPart(text)
    zone = ""
    if text.startswith(_ZONE):
        zone, _, text = text.removeprefix(_ZONE).partition(" ")
        check_timezone(zone, place)
    problem = cron_problem(text)
    if problem:
        message = f"schedule {schedule!r} is no cron expression: {problem}"
        raise InvalidArgument(message, place=place)
    return CronPart(text, zone)


def _of_model(text: str, place: Place | None) -> Part:
    try:
        (part,) = model.parts_of(text)
    except InvalidArgument as error:
        raise InvalidArgument(error.message, place=place, hint=error.hint) from None
    return part


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return seconds_of(text)


def _hint(schedule: object) -> str:
    if hasattr(schedule, "uri") or hasattr(schedule, "task_id") or callable(schedule):
        return "schedules of assets and tasks do not exist yet"
    return "see ostinato.schedules"
