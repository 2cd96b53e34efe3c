"""This module listens to the notifications of a PostgreSQL database."""

import itertools

from ostinato.authoring.listeners import Port, named_by, read_body
from ostinato.clock import SystemClock
from ostinato.integrations.postgres import PostgresHook
from ostinato.model.connection import Connection
from ostinato.model.event_source import PostgresNotify
from ostinato.model.message import Message

#: Seconds after which it is asked whether to end.
_LOOK_S = 0.5

#: Seconds between two questions whether the server is still there: a line that was cut in
#: silence tells nothing.
_PING_S = 15.0


class PostgresListener:
    """Listen to a channel of a database.

    Args:
        source: The channel.
        connection: To the database.
    """

    def __init__(self, source: PostgresNotify, connection: Connection) -> None:
        self._source = source
        self._connection = connection
        self._clock = SystemClock()

    def listen(self, port: Port) -> None:
        """Deliver notifications until the port is stopped.

        Args:
            port: Takes them.
        """
        hook = PostgresHook(self._connection)
        database = hook.open()
        # Ids of what has none: of this moment, counted.
        began_us, numbers = self._clock.now_us(), itertools.count(1)
        try:
            database.autocommit = True
            database.execute(f"LISTEN {hook.dialect.quote_name(self._source.channel)}")
            port.ready()
            pinged_s = self._clock.monotonic_s()
            while not port.is_stopped:
                # It ends with the first ones, and gives all that have come by then.
                found = list(database.notifies(timeout=_LOOK_S, stop_after=1))
                messages = []
                for notification in found:
                    body = read_body(notification.payload)
                    name = named_by(body, self._source.id_key)
                    messages.append(Message(name or f"{began_us}.{next(numbers)}", body))
                if messages:
                    port.deliver(messages)
                elif self._clock.monotonic_s() - pinged_s > _PING_S:
                    database.execute("SELECT 1")
                    pinged_s = self._clock.monotonic_s()
        finally:
            database.close()
