"""This module declares what ``alerts`` in ``ostinato.yaml`` may say, and reads it."""

from collections.abc import Callable, Iterator
from typing import Literal

from msgspec import Struct

from ostinato.authoring.quantities import seconds_of
from ostinato.authoring.suggestions import did_you_mean
from ostinato.errors import Place, SettingsError
from ostinato.model.alert import NO_ALERTS, AlertRule, Alerts, Channel, QuietTime
from ostinato.model.notice import Moment

#: Weekdays, Monday first.
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

#: What happens to alerts in a quiet time.
Then = Literal["hold", "drop"]

_MINUTES_A_DAY = 24 * 60

KeyPath = tuple[str, ...]


class ConnectionChannel(Struct, frozen=True, forbid_unknown_fields=True):
    """A channel whose URL is that of a connection.

    Attributes:
        connection: Its id.
    """

    connection: str


class QuietSettings(
    Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from", "end": "to"}
):
    """A time of day in which nobody is disturbed.

    Attributes:
        start: When it begins, as ``"22:00"``.
        end: When it ends; on the next day if it is not after ``from``.
        timezone: IANA zone in which it is read; the project's if empty.
        days: Weekdays on which it begins; all if it says nothing.
        then: ``hold``: alerts go out when it ends; ``drop``: they do not.
    """

    # YAML reads 22:00 as a number of base 60, which is its minutes.
    start: str | int
    end: str | int
    timezone: str = ""
    days: Day | tuple[Day, ...] = DAYS
    then: Then = "hold"


class RuleSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which moments are told to which channels.

    Attributes:
        on: Moments.
        channels: Names of channels.
        name: Of the rule; ``rule 1``, ``rule 2`` ... if empty.
        flows: Patterns of flow names.
        tasks: Patterns of task ids, for the moments of tasks.
        tags: Patterns of tags of flow or task; all if it says nothing.
        title: Template of the first line; the usual one if empty.
        body: Template of the message; the usual one if empty.
        every: How long an alert on the same task or flow is not repeated.
        quiet: When nobody is disturbed.
    """

    on: Moment | tuple[Moment, ...]
    channels: str | tuple[str, ...]
    name: str = ""
    flows: str | tuple[str, ...] = "*"
    tasks: str | tuple[str, ...] = "*"
    tags: str | tuple[str, ...] = ()
    title: str = ""
    body: str = ""
    every: str | int | float = 0
    quiet: QuietSettings | None = None


class AlertSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Who is told of what.

    Attributes:
        channels: URLs of Apprise by the name of the channel.
        rules: What goes where.
    """

    channels: dict[str, str | tuple[str, ...] | ConnectionChannel] = {}
    rules: tuple[RuleSettings, ...] = ()


#: What holds where nobody is told of anything.
NO_ALERT_SETTINGS = AlertSettings()

Locate = Callable[[KeyPath], Place]


def read_alerts(settings: AlertSettings, timezone: str, locate: Locate | None = None) -> Alerts:
    """Return channels and rules, checked.

    Args:
        settings: As they were written.
        timezone: Zone of quiet times that name none.
        locate: Tells where a key stands.

    Raises:
        SettingsError: A channel, a time or a duration is wrong.
    """
    if settings == NO_ALERT_SETTINGS:
        return NO_ALERTS
    reader = _Reader(settings, timezone, locate or _nowhere)
    return Alerts(dict(reader.channels()), tuple(reader.rules()))


class _Reader:
    """Reads settings and says where something is wrong."""

    def __init__(self, settings: AlertSettings, timezone: str, locate: Locate) -> None:
        self._settings = settings
        self._timezone = timezone
        self._locate = locate

    def channels(self) -> Iterator[tuple[str, Channel]]:
        for name, value in self._settings.channels.items():
            path = ("alerts", "channels", name)
            if isinstance(value, ConnectionChannel):
                yield name, Channel(name, connection=value.connection)
                continue
            urls = _several(value)
            if not urls:
                raise self._wrong(path, "has no URL")
            for url in urls:
                # The URL may be a secret: no message shows it.
                if "://" not in url and "${" not in url:
                    raise self._wrong(path, "is no URL", "such as mailto://… or ${VARIABLE}")
            if "[" in name:
                raise self._wrong(path, "has a bracket in its name")
            yield name, Channel(name, urls)

    def rules(self) -> Iterator[AlertRule]:
        names: set[str] = set()
        for index, rule in enumerate(self._settings.rules):
            path = ("alerts", "rules", str(index))
            name = rule.name or f"rule {index + 1}"
            if name in names:
                raise self._wrong((*path, "name"), f"{name!r} is the name of two rules")
            names.add(name)
            yield AlertRule(
                name,
                _several(rule.on),
                self._known_channels((*path, "channels"), _several(rule.channels)),
                _several(rule.flows),
                _several(rule.tasks),
                _several(rule.tags),
                rule.title,
                rule.body,
                self._seconds((*path, "every"), rule.every),
                None if rule.quiet is None else self._quiet((*path, "quiet"), rule.quiet),
            )

    def _known_channels(self, path: KeyPath, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in self._settings.channels:
                known = list(self._settings.channels)
                hint = did_you_mean(name, known) or "declare it under 'channels'"
                raise self._wrong(path, f"there is no channel {name!r}", hint)
        if not names:
            raise self._wrong(path, "names no channel")
        return names

    def _seconds(self, path: KeyPath, value: object) -> float:
        try:
            return seconds_of(value)
        except ValueError as error:
            raise self._wrong(path, str(error)) from None

    def _quiet(self, path: KeyPath, quiet: QuietSettings) -> QuietTime:
        start = self._minute((*path, "from"), quiet.start)
        end = self._minute((*path, "to"), quiet.end) % _MINUTES_A_DAY
        days = _several(quiet.days)
        if start == end and set(days) == set(DAYS):
            raise self._wrong(path, "never ends", "from and to are the same on all days")
        zone = quiet.timezone or self._timezone
        from ostinato.engine.timetable import zone_of  # noqa: PLC0415 - zones are seldom needed

        try:
            zone_of(zone)
        except ValueError as error:
            raise self._wrong((*path, "timezone"), str(error)) from None
        return QuietTime(
            start, end, zone, tuple(sorted(map(DAYS.index, days))), quiet.then == "drop"
        )

    def _minute(self, path: KeyPath, value: str | int) -> int:
        if isinstance(value, str):
            hour, colon, minute = value.partition(":")
            is_time = bool(colon) and hour.isdecimal() and minute.isdecimal() and int(minute) < 60
            value = int(hour) * 60 + int(minute) if is_time else -1
        is_end = path[-1] == "to"
        if 0 <= value < _MINUTES_A_DAY + is_end:
            return value
        raise self._wrong(path, "is no time of day", 'such as "22:00"')

    def _wrong(self, path: KeyPath, problem: str, hint: str = "") -> SettingsError:
        message = f"{'.'.join(path)}: {problem}"
        return SettingsError(message, place=self._locate(path), hint=hint)


def _several(value: object) -> tuple:  # type: ignore[type-arg]  # of whatever the setting holds
    return value if isinstance(value, tuple) else (value,)


def _nowhere(_path: KeyPath) -> Place:
    return Place("ostinato.yaml")
