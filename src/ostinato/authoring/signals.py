"""This module holds the exceptions by which a task says how its attempt ends."""

from datetime import datetime, timedelta

from ostinato.authoring.quantities import seconds_of
from ostinato.errors import InvalidArgument


class TaskSignal(Exception):
    """End an attempt in another way than by success or an error.

    Raise one of its subclasses: ``Skip``, ``Fail``, ``Retry``, ``Defer``.
    """


class Skip(TaskSignal):
    """End the task run as skipped.

    Args:
        reason: Shown to people.

    Example:
        ``raise Skip("no rows today")``
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Fail(TaskSignal):
    """End the task run as failed, with no retry.

    Args:
        reason: Shown to people.

    Example:
        ``raise Fail("the table does not exist")``
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Retry(TaskSignal):
    """End the attempt as failed and try again, while retries remain.

    Args:
        reason: Shown to people.
        after: How long to wait: seconds, a timedelta, or text such as ``"5m"``; without it the
            task's ``retry_delay`` holds.

    Example:
        ``raise Retry("rate limit", after=response.headers["Retry-After"])``
    """

    def __init__(self, reason: str = "", *, after: float | timedelta | str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after_s = None if after is None else _seconds(after, "Retry")


class Defer(TaskSignal):
    """Continue later: the task is executed again from its beginning and holds no worker until then.

    Args:
        until: The moment, with a time zone.
        delta: How long from the moment it is raised; instead of ``until``.

    Raises:
        InvalidArgument: If not exactly one of them is given, or ``until`` has no time zone.

    Example:
        ``raise Defer(delta=timedelta(minutes=5))``
    """

    def __init__(
        self, *, until: datetime | None = None, delta: float | timedelta | str | None = None
    ) -> None:
        if (until is None) == (delta is None):
            raise InvalidArgument("Defer takes either until= or delta=")
        if until is not None and until.tzinfo is None:
            raise InvalidArgument(f"Defer(until={until!r}) has no time zone")
        super().__init__(f"until {until}" if delta is None else f"for {delta}")
        self.until = until
        self.delta_s = None if delta is None else _seconds(delta, "Defer")


def _seconds(value: float | timedelta | str, signal: str) -> float:
    try:
        return seconds_of(value)
    except ValueError as err:
        raise InvalidArgument(f"{signal}: {err}") from None
