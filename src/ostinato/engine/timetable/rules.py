"""This module computes the ticks of recurrence rules of iCalendar (RFC 5545).

A rule is reckoned in local time. A time of day that clocks skip fires behind the gap, one that
they repeat fires at its first passing; rules of hours, minutes and seconds fire in both
passings and not in the gap, as cron does.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice, takewhile
from typing import NamedTuple

from dateutil.rrule import rruleset, rrulestr

from ostinato.engine.timetable.listed import ListedTicks
from ostinato.engine.timetable.zones import REPEATED, is_near_change, moment_of, us_of, zone_of
from ostinato.errors import InvalidArgument

#: Where rules begin that say nothing of it, in flows that say nothing either.
_BEGINNING = datetime(2020, 1, 1)  # noqa: DTZ001 - local time of the rule's zone

#: More moments than this are not counted out.
MAX_COUNT = 100_000

#: Of a frequency: how long its unit is, and whether it is shorter than a day.
_UNITS = {
    "WEEKLY": timedelta(weeks=1),
    "DAILY": timedelta(days=1),
    "HOURLY": timedelta(hours=1),
    "MINUTELY": timedelta(minutes=1),
    "SECONDLY": timedelta(seconds=1),
}
_FINE = frozenset({"HOURLY", "MINUTELY", "SECONDLY"})
#: Fields that tell days of a year.
_DAYS = frozenset({"BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO"})
_STAMP = "%Y%m%dT%H%M%S"


class _Rule(NamedTuple):
    """One RRULE or EXRULE."""

    name: str
    fields: dict[str, str]

    @property
    def step(self) -> timedelta | None:
        """By how much its beginning may be moved without moving its ticks."""
        unit = _UNITS.get(self.fields.get("FREQ", ""))
        if unit is None or "COUNT" in self.fields:
            return None
        return unit * int(self.fields.get("INTERVAL", "1"))

    @property
    def text(self) -> str:
        return f"{self.name}:" + ";".join(f"{key}={value}" for key, value in self.fields.items())

    @property
    def days(self) -> str:
        """A rule of all days that it may hit, empty where it names none."""
        named = {key: value for key, value in self.fields.items() if key in _DAYS}
        if not named or self.fields.get("FREQ") not in _UNITS:
            return ""
        return _Rule("RRULE", {"FREQ": "YEARLY", **named}).text


class RuleTicks:
    """The ticks of a rule, or of several with dates beside them and without others.

    Args:
        lines: ``DTSTART``, ``RRULE``, ``RDATE``, ``EXRULE`` and ``EXDATE``; a rule may stand
            without its name.
        timezone: Of the flow; ``DTSTART`` may name another one.
        anchor_us: Beginning where ``DTSTART`` does not stand; None for none.

    Raises:
        InvalidArgument: They cannot be read.
    """

    def __init__(self, lines: Sequence[str], timezone: str, anchor_us: int | None) -> None:
        self._text = " ".join(lines)
        named = [line if ":" in line else f"RRULE:{line}" for line in lines]
        self._zone = self._zone_of(named, timezone)
        self._start = _BEGINNING
        if anchor_us is not None:
            self._start = moment_of(anchor_us).astimezone(self._zone).replace(tzinfo=None)
        self._rules: list[_Rule] = []
        self._dates: list[str] = []
        #: Whether ticks are closer than a day, so that both passings of an hour count.
        self._is_fine = False
        try:
            for line in named:
                self._read(line)
            self._is_fine = any(rule.fields.get("FREQ") in _FINE for rule in self._rules)
            self._all = self._counted()
        except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
            message = f"{self._text!r} is no recurrence rule: {error}"
            raise InvalidArgument(message, hint="such as FREQ=WEEKLY;BYDAY=MO,WE") from None

    def next_us(self, after_us: int) -> int | None:
        """Return the first tick after a moment."""
        if self._all is not None:
            return self._all.next_us(after_us)
        local, slack = self._local(after_us)
        first: int | None = None
        last_local = datetime.max  # noqa: DTZ901 - local time of the rule's zone
        for each in self._from(local - slack):
            if each > last_local:
                break
            for tick_us in self._instants(each):
                if tick_us > after_us and (first is None or tick_us < first):
                    first, last_local = tick_us, min(last_local, each + slack)
        return first

    def latest_us(self, at_us: int) -> int | None:
        """Return the latest tick at or before a moment."""
        if self._all is not None:
            return self._all.latest_us(at_us)
        local, slack = self._local(at_us)
        until = local + slack
        back = max((rule.step or timedelta(days=366) for rule in self._rules), default=REPEATED)
        while True:
            start = max(until - slack - back, self._start)
            found = [
                tick_us
                for each in takewhile(lambda moment: moment <= until, self._from(start))
                for tick_us in self._instants(each)
                if tick_us <= at_us
            ]
            if found:
                return max(found)
            if start <= self._start:
                return None
            back *= 4

    # Local time

    def _local(self, at_us: int) -> tuple[datetime, timedelta]:
        """Return local time, and how far off others are that may be before or behind it."""
        moment = moment_of(at_us)
        slack = REPEATED if is_near_change(self._zone, moment) else timedelta()
        return moment.astimezone(self._zone).replace(tzinfo=None), slack

    def _instants(self, local: datetime) -> Iterator[int]:
        first = local.replace(tzinfo=self._zone)
        if self._zone is UTC:
            yield us_of(first)
            return
        before, behind = first.utcoffset(), first.replace(fold=1).utcoffset()
        assert before is not None, "zones know their offsets"
        assert behind is not None, "zones know their offsets"
        if before == behind or not self._is_fine:
            # In a gap, the offset before it moves the time behind it.
            yield us_of(first.astimezone(UTC))
        elif before > behind:
            yield us_of(first.astimezone(UTC))
            yield us_of(first.replace(fold=1).astimezone(UTC))

    def _from(self, local: datetime) -> Iterator[datetime]:
        """Yield local times of ticks from one on, in ascending order."""
        start = self._start
        steps = {rule.step for rule in self._rules}
        step = next(iter(steps)) if len(steps) == 1 else None
        if step is not None and local > start:
            # A rule of seconds that began years ago is not counted up to now.
            start += step * max((local - start) // step - 1, 0)
        found: Iterator[datetime] = self._whole(start).xafter(local, inc=True)
        return found

    def _whole(self, start: datetime) -> rruleset:
        lines = [*(rule.text for rule in self._rules), *self._dates]
        whole: rruleset = rrulestr("\n".join(lines), dtstart=start, forceset=True)
        return whole

    # Reading

    def _zone_of(self, lines: Sequence[str], timezone: str) -> tzinfo:
        for line in lines:
            name, _, value = line.partition(":")
            if name.startswith("DTSTART"):
                for parameter in name.split(";")[1:]:
                    if parameter.startswith("TZID="):
                        return zone_of(parameter.removeprefix("TZID="))
                if value.endswith("Z"):
                    return UTC
        return zone_of(timezone)

    def _read(self, line: str) -> None:
        name, _, value = line.partition(":")
        kind = name.partition(";")[0].upper()
        if kind == "DTSTART":
            self._start = self._stamp(value, "")
        elif kind in ("RRULE", "EXRULE"):
            fields: dict[str, str] = {}
            for field in value.upper().rstrip(";").split(";"):
                key, _, given = field.partition("=")
                fields[key] = given
            if "UNTIL" in fields:
                fields["UNTIL"] = self._stamp(fields["UNTIL"], "").strftime(_STAMP)
            if int(fields.get("INTERVAL", "1")) < 1:
                raise ValueError("INTERVAL is not above 0")
            self._rules.append(_Rule(kind, fields))
        elif kind in ("RDATE", "EXDATE"):
            zone = next((p[5:] for p in name.split(";") if p.startswith("TZID=")), "")
            stamps = [self._stamp(each, zone).strftime(_STAMP) for each in value.split(",")]
            self._dates.append(f"{kind}:{','.join(stamps)}")
        else:
            raise ValueError(f"{kind} is not known")

    def _stamp(self, text: str, zone: str) -> datetime:
        """Return a moment of iCalendar in local time."""
        is_day = "T" not in text
        form = "%Y%m%d" if is_day else _STAMP
        moment = datetime.strptime(text.removesuffix("Z"), form)  # noqa: DTZ007 - follows below
        if text.endswith("Z") or zone:
            source = UTC if text.endswith("Z") else zone_of(zone)
            moment = moment.replace(tzinfo=source).astimezone(self._zone).replace(tzinfo=None)
        return moment

    def _counted(self) -> ListedTicks | None:
        """Return all ticks where a rule counts them; reads the rules in any case."""
        whole = self._whole(self._start)
        for rule in self._rules:
            # The search for a 30 February would take long each time.
            if rule.days and next(iter(rrulestr(rule.days, dtstart=self._start)), None) is None:
                return ListedTicks([])
        counts = [int(rule.fields["COUNT"]) for rule in self._rules if "COUNT" in rule.fields]
        if not counts and any(rule.name == "RRULE" for rule in self._rules):
            return None
        if max(counts, default=0) > MAX_COUNT:
            raise ValueError(f"COUNT is more than {MAX_COUNT}")
        found = {us for each in islice(whole, MAX_COUNT + 1) for us in self._instants(each)}
        if len(found) > MAX_COUNT:
            raise ValueError(f"these are more than {MAX_COUNT} moments")
        return ListedTicks(sorted(found))
