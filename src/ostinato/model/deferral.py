"""This module describes what a deferred task run waits for, and what it goes on with."""

from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct


class TriggerSpec(Struct, frozen=True, omit_defaults=True):
    """A trigger as data, so that it outlives the process that waits on it.

    Attributes:
        type: Where its class is found, as ``module:Class``.
        args: Its fields as JSON values.
    """

    type: str
    args: dict[str, Any] = {}


class InputRequest(Struct, frozen=True, omit_defaults=True):
    """What a person is asked.

    Attributes:
        title: One line.
        message: More, as Markdown.
        schema: JSON Schema that the answer must fit; empty accepts anything.
        default: The answer when nobody has answered in time.
        has_default: Whether there is one.
    """

    title: str
    message: str = ""
    schema: dict[str, Any] = {}
    default: Any = None
    has_default: bool = False


class Deferral(Struct, frozen=True, tag="deferral", omit_defaults=True):
    """What a task run waits for: a moment alone, or a trigger or a person until that moment.

    Attributes:
        method: Of the operator, called with what came; empty executes the task from its start.
        trigger: Waits on an event loop; None for none.
        request: Waits for a person; None for none.
        holds_nothing: Whether the process that drives the run need not wait, too.
    """

    method: str = ""
    trigger: TriggerSpec | None = None
    request: InputRequest | None = None
    holds_nothing: bool = False

    @property
    def what(self) -> str:
        """In words for people: ``a person: Release it?``; empty where only time is waited for."""
        if self.request is not None:
            return f"a person: {self.request.title}"
        if self.trigger is not None:
            return f"its {self.trigger.type.rpartition(':')[2]}"
        return ""


class Outcome(StrEnum):
    """Say how a wait ended."""

    EVENT = "event"
    TIMEOUT = "timeout"
    ERROR = "error"


class Resumption(Struct, frozen=True, tag="resumption", omit_defaults=True):
    """What an attempt that follows a deferral goes on with.

    Attributes:
        method: Of the operator, as in ``Deferral``.
        outcome: How the wait ended.
        payload: What the trigger returned or the person answered, as a JSON value.
        error: Why the trigger failed; empty otherwise.
        by: The person who answered; empty for a trigger.
    """

    method: str
    outcome: Outcome = Outcome.EVENT
    payload: Any = None
    error: str = ""
    by: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Deferral | Resumption).decode


def encode_wait(deferral: Deferral | None, resumption: Resumption | None) -> bytes | None:
    """Write what a task run waits for, or what it goes on with; None for neither."""
    wait = deferral or resumption
    return None if wait is None else _encode(wait)


def decode_wait(data: bytes | None) -> Deferral | Resumption | None:
    """Read what ``encode_wait`` wrote."""
    return None if data is None else _decode(data)
