"""This module is what templates find under ``macros``."""

import datetime as dt
import json
import random  # noqa: TID251 - templates may draw lots; nothing of Ostinato depends on it
import time
import uuid
from types import ModuleType

from ostinato.clock import SystemClock

#: Seconds of the units in which a distance of time is told.
_UNITS = (
    ("year", 365 * 86_400),
    ("month", 30 * 86_400),
    ("week", 7 * 86_400),
    ("day", 86_400),
    ("hour", 3_600),
    ("minute", 60),
    ("second", 1),
)


class Macros:
    """Functions and modules for templates, such as ``{{ macros.ds_add(ds, 5) }}``."""

    datetime = dt.datetime
    timedelta = dt.timedelta
    json: ModuleType = json
    time: ModuleType = time
    uuid: ModuleType = uuid
    random = staticmethod(random.random)

    @staticmethod
    def ds_add(ds: str, days: int) -> str:
        """Return a date some days later.

        Args:
            ds: The date as ``2025-01-31``.
            days: How many; negative for earlier.

        >>> Macros.ds_add("2025-01-31", 1)
        '2025-02-01'
        """
        moved = dt.datetime.strptime(str(ds), "%Y-%m-%d") + dt.timedelta(days=days)  # noqa: DTZ007 - a date has no zone
        return moved.strftime("%Y-%m-%d")

    @staticmethod
    def ds_format(ds: str, input_format: str, output_format: str) -> str:
        """Return a date in another form.

        Args:
            ds: The date.
            input_format: Its form, as for ``strptime``.
            output_format: The form wanted, as for ``strftime``.

        >>> Macros.ds_format("2025-01-31", "%Y-%m-%d", "%d/%m/%y")
        '31/01/25'
        """
        return dt.datetime.strptime(str(ds), input_format).strftime(output_format)  # noqa: DTZ007 - as written

    @staticmethod
    def datetime_diff_for_humans(moment: dt.datetime, since: dt.datetime | None = None) -> str:
        """Return how far a moment is away, in words.

        Args:
            moment: The moment; one without a zone is in UTC.
            since: From where; from now by default.

        >>> Macros.datetime_diff_for_humans(dt.datetime(2025, 1, 3), dt.datetime(2025, 1, 1))
        '2 days after'
        """
        origin = since or dt.datetime.fromtimestamp(SystemClock().now_us() / 1e6, dt.UTC)
        seconds = (_aware(moment) - _aware(origin)).total_seconds()
        size = abs(seconds)
        name, unit = next((u for u in _UNITS if size >= u[1]), _UNITS[-1])
        count = int(size // unit)
        distance = f"{count} {name}{'s' * (count != 1)}"
        if since is not None:
            return f"{distance} {'after' if seconds > 0 else 'before'}"
        return f"in {distance}" if seconds > 0 else f"{distance} ago"

    def __repr__(self) -> str:
        return "<macros>"


def _aware(moment: dt.datetime) -> dt.datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
