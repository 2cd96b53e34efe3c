"""This module is how messages from systems outside come in: a listener for each kind of source.

Listeners are found by the entry points of the group ``ostinato.events``, whose names are the tags
of sources; each is a class that takes the source and the connection.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from ostinato.errors import MissingPackage
from ostinato.model.connection import Connection
from ostinato.model.message import Message

#: Group of entry points: tag of a source → class of its listener.
ENTRY_POINTS = "ostinato.events"


class Port(Protocol):
    """What a listener tells, and how it learns that it is to end."""

    @property
    def is_stopped(self) -> bool:
        """Whether ``listen`` is to return; to be asked about every second."""
        ...

    def ready(self) -> None:
        """Say that it is connected: messages that come from here on are not missed."""
        ...

    def deliver(self, messages: Sequence[Message]) -> None:
        """Start the runs of messages; they are durable when this returns.

        What it raises is to be raised by ``listen``, and nothing acknowledged.
        """
        ...


class Listener(Protocol):
    """Wait for messages of one source."""

    def listen(self, port: Port) -> None:
        """Deliver messages until the port is stopped; raise what goes wrong.

        Whoever calls it calls it again after a while. It is called in a thread of its own.
        """
        ...


def listener_for(source: msgspec.Struct, connection: Connection) -> Listener:
    """Return the listener of a source.

    Args:
        source: Where messages come from.
        connection: How to reach it.

    Raises:
        MissingPackage: No installed package knows its kind.
    """
    # 10 ms: loaded where a flow listens.
    from importlib.metadata import entry_points  # noqa: PLC0415 - see above

    tag = source.__struct_config__.tag
    found = [point for point in entry_points(group=ENTRY_POINTS) if point.name == tag]
    if not found:
        raise MissingPackage(f"no installed package listens to {type(source).__name__}")
    # Another package's listener takes the place of ours.
    found.sort(key=lambda point: point.value.startswith("ostinato."))
    listener: Listener = found[0].load()(source, connection)
    return listener


def read_body(data: bytes | str) -> Any:
    """Return what a message says: JSON values, or text where it is no JSON.

    >>> read_body(b'{"order": 7}'), read_body("hello")
    ({'order': 7}, 'hello')
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return data if isinstance(data, str) else data.decode("utf-8", "replace")


def named_by(body: Any, key: str) -> str:
    """Return the id that a message carries under a key of its body; empty if it has none.

    >>> named_by({"order": 7}, "order"), named_by("hello", "order")
    ('7', '')
    """
    found = body.get(key) if key and isinstance(body, dict) else None
    return "" if found is None else str(found)
