"""This module speaks to NATS: its hook, and the listener to its subjects."""

import asyncio
import itertools
import re
from typing import Any

from ostinato.authoring.hooks import Hook, missing_package
from ostinato.authoring.listeners import Port, named_by, read_body
from ostinato.clock import SystemClock
from ostinato.errors import ExecutionError
from ostinato.model.connection import Connection
from ostinato.model.event_source import NatsMessage
from ostinato.model.message import Message

#: Seconds after which it is asked whether to end.
_LOOK_S = 1.0

#: Seconds after which a server that does not answer is given up.
CONNECT_TIMEOUT_S = 10

#: Messages that are taken at a time.
_MAX_MESSAGES = 100

#: Header by which JetStream tells a message that is sent twice.
_ID_HEADER = "Nats-Msg-Id"


class NatsHook(Hook):
    """Speak to a NATS server: ``nats://user:password@host:4222``.

    ``extra`` holds arguments of ``nats.connect``, such as ``token``. The type ``tls`` is NATS
    over TLS.
    """

    async def open(self) -> Any:
        """Connect, and return a client of nats-py; close it after use.

        Raises:
            MissingPackage: The driver is not installed.
            ExecutionError: The server is not there, or refuses.
        """
        try:
            # 80 ms and optional.
            import nats  # noqa: PLC0415 - see above
            import nats.errors  # noqa: PLC0415 - see above
        except ModuleNotFoundError:
            raise missing_package("nats-py", "ostinato[nats]", "a NATS connection") from None

        async def ignore(_error: Exception) -> None:
            """Keep the driver from printing what is raised as well."""

        connection = self.connection
        protocol = "tls" if connection.conn_type == "tls" else "nats"
        host = connection.host or "localhost"
        options: dict[str, Any] = {
            # Whoever listens connects again by itself.
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0,
            "connect_timeout": CONNECT_TIMEOUT_S,
            "error_cb": ignore,
        }
        if connection.login:
            options |= {"user": connection.login, "password": connection.password}
        elif connection.password:
            options["token"] = connection.password
        try:
            address = f"{protocol}://{host}:{connection.port or 4222}"
            return await nats.connect(address, **{**options, **connection.extra})
        except (OSError, nats.errors.Error) as err:
            name = connection.conn_id or "to NATS"
            why = str(err) or type(err).__name__
            raise ExecutionError(f"connection {name!r} cannot be opened: {why}") from err

    def test(self) -> str:
        """Connect and ask for the server's version."""

        async def ask() -> str:
            client = await self.open()
            try:
                return f"NATS {client.connected_server_version}"
            finally:
                await client.close()

        return asyncio.run(ask())


class NatsListener:
    """Listen to a subject.

    Args:
        source: The subject.
        connection: To the server.
    """

    def __init__(self, source: NatsMessage, connection: Connection) -> None:
        self._source = source
        self._connection = connection
        self._began_us = SystemClock().now_us()
        self._numbers = itertools.count(1)

    def listen(self, port: Port) -> None:
        """Deliver messages until the port is stopped.

        Args:
            port: Takes them.
        """
        asyncio.run(self._listen(port))

    async def _listen(self, port: Port) -> None:
        client = await NatsHook(self._connection).open()
        try:
            if self._source.stream:
                await self._follow_stream(client, port)
            else:
                await self._follow_subject(client, port)
        finally:
            await client.close()

    async def _follow_subject(self, client: Any, port: Port) -> None:
        subscription = await client.subscribe(self._source.subject)
        await client.flush()
        port.ready()
        while not port.is_stopped:
            found = await _next(subscription.next_msg(timeout=_LOOK_S), client)
            if found is not None:
                # The loop may wait: what comes meanwhile is kept by the driver.
                port.deliver([self._message(found)])

    async def _follow_stream(self, client: Any, port: Port) -> None:
        """Read a stream as a durable consumer: what is not acknowledged comes again."""
        source = self._source
        durable = re.sub(r"\W", "_", f"ostinato_{source.subject}")
        consumer = await client.jetstream().pull_subscribe(
            source.subject, durable=durable, stream=source.stream
        )
        port.ready()
        while not port.is_stopped:
            found = await _next(consumer.fetch(_MAX_MESSAGES, timeout=_LOOK_S), client)
            if found:
                port.deliver([self._message(message) for message in found])
                for message in found:
                    await message.ack()

    def _message(self, found: Any) -> Message:
        body = read_body(found.data)
        name = named_by(body, self._source.id_key) or (found.headers or {}).get(_ID_HEADER, "")
        if not name and self._source.stream:
            name = f"{found.metadata.stream}.{found.metadata.sequence.stream}"
        return Message(name or f"{self._began_us}.{next(self._numbers)}", body)


async def _next(waiting: Any, client: Any) -> Any:
    """Return what comes within its time, None if nothing does; raise where the line is cut."""
    try:
        return await waiting
    except TimeoutError:
        if not client.is_connected:
            raise ExecutionError("the connection was lost") from None
        return None
