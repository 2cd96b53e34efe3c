"""This module holds triggers: what waits for a condition on an event loop shared with others."""

from contextvars import ContextVar
from typing import Any, Protocol, Self

import msgspec
from msgspec import Struct

from ostinato.errors import InvalidArgument
from ostinato.model.deferral import TriggerSpec


class TriggerPort(Protocol):
    """The way from a trigger to the coordinator of its run."""

    async def call(self, method: str, args: dict[str, Any]) -> Any:
        """Ask the coordinator; see ``runtime.messages.CALLS``."""
        ...


#: The port of the trigger that runs in this asyncio task.
current_port: ContextVar[TriggerPort | None] = ContextVar("ostinato_trigger_port", default=None)


class Trigger(Struct, forbid_unknown_fields=True):
    """Wait for a condition: subclass it at the top of a module, and write ``run``.

    Its fields are its arguments. They are stored, so that the wait outlives the process that
    waits: use JSON values, dates and times, and never a secret; a trigger asks for a connection
    when it runs. Thousands of triggers share one event loop: ``run`` awaits, it never blocks.

    Example:
        ``class RowTrigger(Trigger): table: str`` with
        ``async def run(self): ...`` that returns once the row is there.
    """

    async def run(self) -> Any:
        """Return what the task goes on with, once the condition is met.

        What it returns must be made of JSON values. What it raises fails the attempt.
        """
        message = f"{type(self).__name__} has no run()"
        raise NotImplementedError(message)

    async def call(self, method: str, **args: Any) -> Any:
        """Ask the coordinator of the run, as tasks do.

        Args:
            method: One of the calls of ``runtime.messages.CALLS``.
            args: Its arguments by name.
        """
        port = current_port.get()
        if port is None:
            message = f"{type(self).__name__} asks for {method!r} outside of a run"
            raise RuntimeError(message)
        return await port.call(method, args)

    def spec(self) -> TriggerSpec:
        """Return the trigger as data.

        Raises:
            InvalidArgument: If its class cannot be found again, or a field cannot be stored.
        """
        cls = type(self)
        if "<locals>" in cls.__qualname__:
            message = f"trigger {cls.__name__} is defined inside a function"
            raise InvalidArgument(message, hint="move the class to the top of its module")
        try:
            args = msgspec.to_builtins(self, str_keys=True)
        except (TypeError, ValueError) as err:
            message = f"a field of trigger {cls.__name__} cannot be stored: {err}"
            raise InvalidArgument(message) from None
        try:
            # What does not fit now would be found only where the trigger is made again.
            msgspec.convert(args, cls)
        except msgspec.ValidationError as err:
            message = f"a field of trigger {cls.__name__} has a wrong value: {err}"
            raise InvalidArgument(message) from None
        return TriggerSpec(f"{cls.__module__}:{cls.__qualname__}", args)

    @classmethod
    def from_args(cls, args: dict[str, Any]) -> Self:
        """Make the trigger that ``spec`` wrote.

        Args:
            args: Of a ``TriggerSpec``.

        Raises:
            InvalidArgument: If they do not fit the class any more.
        """
        try:
            return msgspec.convert(args, cls)
        except msgspec.ValidationError as err:
            message = f"trigger {cls.__name__} was stored with other fields: {err}"
            raise InvalidArgument(message) from None
