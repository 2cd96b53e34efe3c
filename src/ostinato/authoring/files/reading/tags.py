"""This module holds what YAML tags call: the built-in functions and those of users.

The same functions can be called in the templates of ``METADATA.yml``.
"""

import copy
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ostinato.clock import Clock, SystemClock

#: What a user gives as constructors: functions, or functions by the names of their tags.
Constructors = Mapping[str, Any] | Iterable[Callable[..., Any]]

#: Names the variable that names the variable that says in which environment the code runs.
_SWITCH = "AB__ENV"

#: What `env_switch` gives where nothing fits.
_UNSPECIFIED = "value_unspecified"


class TagFunctions:
    """The functions that tags and templates can call, by name without ``!``.

    Args:
        constructors: Of the user, as a mapping or a list of functions.
        macros: Of the user's templates; each is a tag too, before a constructor of its name.
        clock: Tells what day it is.
    """

    def __init__(
        self,
        constructors: Constructors | None = None,
        macros: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        own = {**_by_name(constructors or {}), **dict(macros or {})}
        #: Those that tags call.
        self.of_tags: dict[str, Any] = {
            "datetime": moment,
            "days_ago": self.days_ago,
            "env_switch": env_switch,
            "env_var": env_var,
            "previous_date": self.previous_date,
            "previous_hour": self.previous_hour,
            "timedelta": timedelta,
            **own,
        }
        #: Those that templates call.
        self.of_templates: dict[str, Any] = {**self.of_tags, "datetime": datetime, **own}
        #: Whose result depends on nothing but the arguments.
        self.constant = frozenset({"datetime", "timedelta"} - set(own))

    def with_r(self) -> "TagFunctions":
        """Return them with the tags of R Markdown, whose code runs when the document is made."""
        functions = copy.copy(self)
        functions.of_tags = {"expr": _code_of_r, "r": _code_of_r, **self.of_tags}
        functions.constant = self.constant | ({"expr", "r"} - self.of_tags.keys())
        return functions

    def days_ago(self, n: int) -> datetime:
        """Return midnight UTC of so many days before today."""
        return datetime.combine(self._now().date(), time(), UTC) - timedelta(days=n)

    def previous_date(self, tz: str = "utc", days: int = 1) -> str:
        """Return yesterday's date in a time zone, or that of so many days ago."""
        return (self._now(tz) - timedelta(days=days)).date().isoformat()

    def previous_hour(self, tz: str = "utc", hours: int = 1, days: int = 0) -> str:
        """Return the beginning of the hour before in a time zone."""
        there = self._now() - timedelta(hours=hours, days=days)
        return there.astimezone(_zone(tz)).strftime("%Y-%m-%d %H:00:00")

    def _now(self, tz: str = "utc") -> datetime:
        return datetime.fromtimestamp(self._clock.now_us() / 1e6, _zone(tz))


def _code_of_r(*code: Any, **rest: Any) -> str:
    del rest
    return " ".join(map(str, code))


def moment(*args: Any, **kwargs: Any) -> datetime:
    """Return a datetime of its parts, of a date, or of a text such as ``2022-01-15``."""
    if len(args) == 1 and not kwargs:
        (value,) = args
        if isinstance(value, datetime):
            return value
        if isinstance(value, date):
            return datetime.combine(value, time())
        if isinstance(value, str):
            return datetime.fromisoformat(value)
    return datetime(*args, **kwargs)  # noqa: DTZ001 - as gusty: the flow has the zone


def env_var(var: str, default: Any = None) -> Any:
    """Return the value of an environment variable."""
    return os.environ.get(var, default)


def env_switch(default: Any = None, **values: Any) -> Any:
    """Return the value for the environment, whose name is in the variable ``ENV``.

    Another variable is asked if ``AB__ENV`` names one.
    """
    name = os.environ.get(os.environ.get(_SWITCH, "ENV"), _UNSPECIFIED)
    return values.get(name, _UNSPECIFIED if default is None else default)


def _by_name(constructors: Constructors) -> dict[str, Any]:
    if isinstance(constructors, Mapping):
        return {str(name).strip("!"): function for name, function in constructors.items()}
    return {function.__name__: function for function in constructors}


def _zone(name: str) -> ZoneInfo:
    return ZoneInfo("UTC" if name.lower() == "utc" else name)
