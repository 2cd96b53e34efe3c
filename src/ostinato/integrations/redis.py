"""This module speaks to Redis: its hook, and the listener to its streams and channels."""

import itertools
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ostinato.authoring.hooks import Hook, missing_package
from ostinato.authoring.listeners import Port, named_by, read_body
from ostinato.clock import SystemClock
from ostinato.errors import ExecutionError
from ostinato.model.connection import Connection
from ostinato.model.event_source import RedisMessage
from ostinato.model.message import Message

if TYPE_CHECKING:
    import redis

#: Seconds after which it is asked whether to end.
_LOOK_S = 1.0

#: Seconds after which a server that does not answer is given up, unless ``extra`` says otherwise.
CONNECT_TIMEOUT_S = 10

#: Consumer group of the streams: one for all schedulers, so that each entry is taken once.
GROUP = "ostinato"

#: Entries that are taken at a time.
_MAX_ENTRIES = 100


class RedisHook(Hook):
    """Speak to a Redis server.

    ``redis://user:password@host:6379/0``: the schema is the number of the database; the type
    ``rediss`` is Redis over TLS. ``extra`` holds arguments of ``redis.Redis``. A host that begins
    with a slash is a socket.
    """

    def open(self) -> "redis.Redis":
        """Return a client, which connects when it is used; close it after use.

        Raises:
            MissingPackage: The driver is not installed.
        """
        try:
            # 60 ms and optional.
            import redis  # noqa: PLC0415 - see above
        except ModuleNotFoundError:
            raise missing_package("redis", "ostinato[redis]", "a Redis connection") from None
        return redis.Redis(**self._parameters())

    def test(self) -> str:
        """Ask the server for its version."""
        client = self.open()
        try:
            found: Any = client.info("server")
        finally:
            client.close()
        return f"Redis {found['redis_version']}"

    def _parameters(self) -> dict[str, Any]:
        connection = self.connection
        is_socket = connection.host.startswith("/")
        given: dict[str, Any] = {
            "unix_socket_path" if is_socket else "host": connection.host,
            "port": connection.port,
            "username": connection.login,
            "password": connection.password,
            "db": int(connection.schema) if connection.schema.isdecimal() else None,
        }
        parameters: dict[str, Any] = {
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            # Longer than any wait for messages.
            "socket_timeout": CONNECT_TIMEOUT_S,
        }
        if connection.conn_type == "rediss":
            parameters["ssl"] = True
        parameters |= {name: value for name, value in given.items() if value not in (None, "")}
        return parameters | connection.extra


class RedisListener:
    """Listen to a stream or a channel.

    Args:
        source: Which one.
        connection: To the server.
    """

    def __init__(self, source: RedisMessage, connection: Connection) -> None:
        self._source = source
        self._connection = connection
        self._clock = SystemClock()

    def listen(self, port: Port) -> None:
        """Deliver entries or messages until the port is stopped.

        Args:
            port: Takes them.
        """
        client = RedisHook(self._connection).open()
        try:
            if self._source.stream:
                self._read_stream(client, port)
            else:
                self._follow_channel(client, port)
        finally:
            client.close()

    # Streams: what is taken and not acknowledged comes again

    def _read_stream(self, client: Any, port: Port) -> None:
        stream = self._source.stream
        self._make_group(client, stream)
        consumer = f"{socket.gethostname()}-{os.getpid()}"
        port.ready()
        # What was taken by one that was killed before it was acknowledged, and is not taken by
        # any other: one scheduler listens.
        cursor = "0-0"
        while not port.is_stopped:
            cursor, entries, *_ = client.xautoclaim(
                stream, GROUP, consumer, min_idle_time=0, start_id=cursor, count=_MAX_ENTRIES
            )
            self._take(client, port, entries)
            if _text(cursor) == "0-0":
                break
        while not port.is_stopped:
            found = client.xreadgroup(
                GROUP, consumer, {stream: ">"}, count=_MAX_ENTRIES, block=int(_LOOK_S * 1000)
            )
            for _, entries in found or ():
                self._take(client, port, entries)

    def _make_group(self, client: Any, stream: str) -> None:
        import redis  # noqa: PLC0415 - the hook has said whether it is there

        try:
            # Entries from before the group was made count too.
            client.xgroup_create(stream, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise ExecutionError(f"{stream!r} cannot be read as a stream: {error}") from None

    def _take(self, client: Any, port: Port, entries: Sequence[Any]) -> None:
        messages = []
        for entry_id, fields in entries:
            # An entry that was deleted before it was acknowledged has none.
            body = _entry_body(fields or {})
            name = named_by(body, self._source.id_key) or _text(entry_id)
            messages.append(Message(name, body))
        if messages:
            port.deliver(messages)
            client.xack(self._source.stream, GROUP, *[entry_id for entry_id, _ in entries])

    # Channels: what is sent while nobody listens is gone

    def _follow_channel(self, client: Any, port: Port) -> None:
        began_us, numbers = self._clock.now_us(), itertools.count(1)
        channel = self._source.channel
        with client.pubsub(ignore_subscribe_messages=True) as subscription:
            is_pattern = any(sign in channel for sign in "*?[")
            (subscription.psubscribe if is_pattern else subscription.subscribe)(channel)
            # Whatever answers the subscription: from here on nothing is missed.
            subscription.get_message(timeout=_LOOK_S)
            port.ready()
            while not port.is_stopped:
                found = subscription.get_message(timeout=_LOOK_S)
                if found is None:
                    continue
                body = read_body(found["data"])
                name = named_by(body, self._source.id_key) or f"{began_us}.{next(numbers)}"
                port.deliver([Message(name, body)])


def _entry_body(fields: dict[Any, Any]) -> Any:
    """Return what an entry says: its fields, or what stands under ``message`` or ``data`` alone."""
    texts = {_text(name): read_body(value) for name, value in fields.items()}
    if len(texts) == 1:
        name, value = next(iter(texts.items()))
        if name in ("message", "data", "payload") and isinstance(value, dict):
            return value
    return texts


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
