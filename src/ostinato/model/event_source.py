"""This module declares where the messages come from that start runs."""

from msgspec import Struct


class Webhook(Struct, frozen=True, tag="webhook", omit_defaults=True):
    """Start a run for each message that is posted to ``/api/v1/events/<name>``.

    Attributes:
        name: Last part of the address; several flows may listen to one name.
        secret: Name of the variable with the secret that a sender signs messages with, as
            GitHub does (``X-Hub-Signature-256``), or gives in ``X-Webhook-Token``; empty to take
            messages of everybody who may use the server.
    """

    name: str
    secret: str = ""

    @property
    def label(self) -> str:
        """What people call it."""
        return f"webhook {self.name}"


class PostgresNotify(Struct, frozen=True, tag="postgres_notify", omit_defaults=True):
    """Start a run for each ``NOTIFY channel, 'message'`` of a PostgreSQL database.

    PostgreSQL keeps no notifications for those that do not listen: what is sent while no
    scheduler runs is not seen.

    Attributes:
        conn_id: Connection to the database.
        channel: That is listened to.
        id_key: Key of a message that is JSON under which its id is: one that is sent twice
            starts one run. Empty to take each as another one.
    """

    conn_id: str
    channel: str
    id_key: str = ""

    @property
    def label(self) -> str:
        """What people call it."""
        return f"notify {self.conn_id}/{self.channel}"


class FileArrival(Struct, frozen=True, tag="file_arrival", omit_defaults=True):
    """Start a run for each file that comes, and again when its content is replaced.

    Attributes:
        path: With wildcards ``*``, ``?``, ``[a-z]`` and ``**``; relative to the project.
        stable_for_s: Seconds for which a file must not have grown or changed to be whole.
        takes_existing: Whether files that are there when it is first watched start runs.
    """

    path: str
    stable_for_s: float = 1.0
    takes_existing: bool = True

    @property
    def label(self) -> str:
        """What people call it."""
        return f"files {self.path}"


class RedisMessage(Struct, frozen=True, tag="redis", omit_defaults=True):
    """Start a run for each entry of a Redis stream, or each message of a channel.

    Entries of a stream are kept by Redis until they were taken: none is missed. Messages of a
    channel reach those that listen at the moment.

    Attributes:
        conn_id: Connection to the server.
        stream: That is read, as one consumer group for the project.
        channel: That is subscribed to, where no stream is named; may hold wildcards.
        id_key: Key of a message that is JSON under which its id is: one that is sent twice
            starts one run. Empty for the id
            of the entry; messages of a channel have none.
    """

    conn_id: str
    stream: str = ""
    channel: str = ""
    id_key: str = ""

    @property
    def label(self) -> str:
        """What people call it."""
        return f"redis {self.conn_id}/{self.stream or self.channel}"


class NatsMessage(Struct, frozen=True, tag="nats", omit_defaults=True):
    """Start a run for each message of a NATS subject.

    Attributes:
        conn_id: Connection to the server.
        subject: That is subscribed to; may hold wildcards ``*`` and ``>``.
        stream: Of JetStream, which keeps messages until they were taken: none is missed. Empty
            for plain NATS, whose messages reach those that listen at the moment.
        id_key: Key of a message that is JSON under which its id is: one that is sent twice
            starts one run. Empty for the
            header ``Nats-Msg-Id``, or the place in the stream.
    """

    conn_id: str
    subject: str
    stream: str = ""
    id_key: str = ""

    @property
    def label(self) -> str:
        """What people call it."""
        return f"nats {self.conn_id}/{self.subject}"


EventSource = Webhook | PostgresNotify | FileArrival | RedisMessage | NatsMessage
