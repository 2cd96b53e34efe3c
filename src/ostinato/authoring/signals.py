"""This module holds the exceptions by which a task says how its attempt ends."""

from datetime import datetime, timedelta

from ostinato.authoring.quantities import seconds_of
from ostinato.authoring.triggers import Trigger
from ostinato.errors import InvalidArgument
from ostinato.model.deferral import Deferral, InputRequest

#: Method of an operator that takes what a trigger or a person gave, as in Airflow.
DEFAULT_METHOD = "execute_complete"


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
    """Continue later, and hold no worker until then.

    Without ``method`` the task is executed again from its beginning. With it, that method of the
    operator is called in place of ``execute``, with the context and what was waited for.

    Args:
        until: The moment, with a time zone.
        delta: How long from the moment it is raised; instead of ``until``.
        trigger: Waits for a condition on the trigger host; instead of both.
        request: Waits for a person's answer; instead of all of them.
        method: Of the operator; by default ``execute_complete`` for a trigger or a request.
        timeout: How long a trigger or a person may take; without it there is no limit.
        holds_nothing: Whether the process that drives the run need not wait for a person.

    Raises:
        InvalidArgument: If not exactly one of the first four is given, ``until`` has no time
            zone, or a timeout is given with a moment.

    Example:
        ``raise Defer(delta=timedelta(minutes=5))``
    """

    def __init__(
        self,
        *,
        until: datetime | None = None,
        delta: float | timedelta | str | None = None,
        trigger: Trigger | None = None,
        request: InputRequest | None = None,
        method: str = "",
        timeout: float | timedelta | str | None = None,
        holds_nothing: bool = False,
    ) -> None:
        given = [one for one in (until, delta, trigger, request) if one is not None]
        if len(given) != 1:
            raise InvalidArgument("Defer takes one of until=, delta=, trigger= and request=")
        if until is not None and until.tzinfo is None:
            raise InvalidArgument(f"Defer(until={until!r}) has no time zone")
        is_for_event = trigger is not None or request is not None
        if timeout is not None and not is_for_event:
            raise InvalidArgument("Defer takes timeout= with trigger= or request= only")
        super().__init__(f"for {delta}" if delta is not None else f"until {given[0]}")
        self.until = until
        self.delta_s = None if delta is None else _seconds(delta, "Defer")
        self.timeout_s = None if timeout is None else _seconds(timeout, "Defer")
        self.deferral = Deferral(
            method or (DEFAULT_METHOD if is_for_event else ""),
            trigger.spec() if trigger is not None else None,
            request,
            holds_nothing,
        )


class Suspended(BaseException):
    """End the body of a flow until a person has answered; no ``except Exception`` catches it.

    Args:
        defer: What is waited for.
    """

    def __init__(self, defer: Defer) -> None:
        super().__init__(str(defer))
        self.defer = defer


def _seconds(value: float | timedelta | str, signal: str) -> float:
    try:
        return seconds_of(value)
    except ValueError as err:
        raise InvalidArgument(f"{signal}: {err}") from None
