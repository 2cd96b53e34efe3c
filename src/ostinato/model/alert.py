"""This module says which alerts go where, and when they are kept back."""

from msgspec import Struct

from ostinato.model.notice import Moment


class Channel(Struct, frozen=True, omit_defaults=True):
    """Where alerts go; what is secret of it is filled in where it is used.

    Attributes:
        name: Of the channel.
        urls: Of Apprise or another notifier; ``${NAME}`` stands for an environment variable.
        connection: Id of the connection whose URI is the only URL, or empty.
    """

    name: str
    urls: tuple[str, ...] = ()
    connection: str = ""


class QuietTime(Struct, frozen=True):
    """A time of day in which nobody is disturbed.

    Attributes:
        start_minute: Minute of the day at which it begins, local time.
        end_minute: Minute of the day before which it ends; not after ``start_minute`` means on
            the next day.
        timezone: IANA name of the zone in which it is read.
        days: Weekdays on which it begins, 0 for Monday.
        is_dropped: Whether alerts are dropped in it; else they are held until it ends.
    """

    start_minute: int
    end_minute: int
    timezone: str = "UTC"
    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    is_dropped: bool = False


class AlertRule(Struct, frozen=True):
    """Which moments are told to which channels.

    Attributes:
        name: For people, and what repeated alerts have in common.
        moments: Which moments.
        channels: Names of the channels.
        flows: Patterns of flow names; any of them.
        tasks: Patterns of task ids, for moments of task runs; any of them.
        tags: Patterns of tags of the flow or the task; any of them. Empty for all.
        title: Template of the first line; empty for the usual one.
        body: Template of the message; empty for the usual one.
        every_s: Seconds in which an alert on one task or run is not repeated; 0 for no limit.
        quiet: When nobody is disturbed, or None.
    """

    name: str
    moments: tuple[Moment, ...]
    channels: tuple[str, ...]
    flows: tuple[str, ...] = ("*",)
    tasks: tuple[str, ...] = ("*",)
    tags: tuple[str, ...] = ()
    title: str = ""
    body: str = ""
    every_s: float = 0.0
    quiet: QuietTime | None = None


class Alerts(Struct, frozen=True):
    """All channels by name, and the rules in their order."""

    channels: dict[str, Channel] = {}
    rules: tuple[AlertRule, ...] = ()


#: What holds where nobody is alerted.
NO_ALERTS = Alerts()
