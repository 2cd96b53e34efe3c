"""Listeners deliver what real servers send, and what was not taken comes again."""

import asyncio
import queue
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ostinato.authoring.listeners import Listener, listener_for
from ostinato.errors import ExecutionError, MissingPackage
from ostinato.integrations.nats import NatsHook
from ostinato.integrations.redis import RedisHook
from ostinato.model.connection import Connection
from ostinato.model.event_source import NatsMessage, PostgresNotify, RedisMessage, Webhook
from ostinato.model.message import Message

TIMEOUT_S = 20.0

pytestmark = pytest.mark.slow


class Listening:
    """A listener in a thread, and what it delivers."""

    def __init__(self, listener: Listener) -> None:
        self.is_stopped = False
        self.refusal: Exception | None = None
        self.error: Exception | None = None
        self._messages: queue.Queue[Message] = queue.Queue()
        self._is_ready = threading.Event()
        self._listener = listener
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        self._is_ready.wait(TIMEOUT_S)

    def _run(self) -> None:
        try:
            self._listener.listen(self)
        except Exception as error:  # noqa: BLE001 - drivers raise anything
            self.error = error
            self._is_ready.set()

    def ready(self) -> None:
        self._is_ready.set()

    def deliver(self, messages: Sequence[Message]) -> None:
        if self.refusal is not None:
            raise self.refusal
        for message in messages:
            self._messages.put(message)

    def next(self) -> Message:
        return self._messages.get(timeout=TIMEOUT_S)

    def is_quiet(self) -> bool:
        return self._messages.empty()

    def stop(self) -> None:
        self.is_stopped = True
        self.thread.join(TIMEOUT_S)


@contextmanager
def listening(source: Any, connection: Connection) -> Iterator[Listening]:
    found = Listening(listener_for(source, connection))
    try:
        yield found
    finally:
        found.stop()


def test_what_nobody_listens_to_is_said() -> None:
    with pytest.raises(MissingPackage, match="listens to Webhook"):
        listener_for(Webhook("x"), Connection())


# PostgreSQL


def notify(uri: str, channel: str, payload: str) -> None:
    import psycopg

    with psycopg.connect(uri, autocommit=True) as database:
        database.execute("SELECT pg_notify(%s, %s)", (channel, payload))


@pytest.fixture
def shop(postgres_uri: str) -> Connection:
    from psycopg.conninfo import conninfo_to_dict

    parts: dict[str, Any] = dict(conninfo_to_dict(postgres_uri))
    return Connection(
        "db",
        "postgres",
        host=str(parts.pop("host")),
        login=str(parts.pop("user", "")),
        schema=str(parts.pop("dbname")),
        extra=parts,
    )


def test_notifications_are_delivered(shop: Connection, postgres_uri: str) -> None:
    with listening(PostgresNotify("db", "New orders", id_key="order"), shop) as found:
        notify(postgres_uri, "New orders", '{"order": 7}')
        notify(postgres_uri, "New orders", "plain")
        notify(postgres_uri, "other", "unheard")
        notify(postgres_uri, "New orders", "plain")

        messages = [found.next() for _ in range(3)]

    assert [message.body for message in messages] == [{"order": 7}, "plain", "plain"]
    assert messages[0].id == "7"
    assert messages[1].id != messages[2].id


def test_a_connection_that_is_cut_is_an_error(shop: Connection, postgres_uri: str) -> None:
    import psycopg

    with listening(PostgresNotify("db", "orders"), shop) as found:
        with psycopg.connect(postgres_uri, autocommit=True) as database:
            database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE query LIKE 'LISTEN%' AND pid != pg_backend_pid()"
            )
        found.thread.join(TIMEOUT_S)

    assert found.error is not None
    assert "terminat" in str(found.error)


# Redis


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    folder = tmp_path_factory.mktemp("r")
    path = str(folder / "s")
    program = ["redis-server", "--port", "0", "--unixsocket", path, "--save", ""]
    with subprocess.Popen([*program, "--dir", str(folder)], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        while b"ready to accept connections" not in server.stdout.readline():
            pass
        threading.Thread(target=server.stdout.read, daemon=True).start()
        yield Connection("redis", "redis", host=path)
        server.terminate()


@pytest.mark.system("redis-server")
def test_entries_of_a_stream_are_delivered_from_its_beginning(redis_server: Connection) -> None:
    with closing(RedisHook(redis_server).open()) as client:
        first = client.xadd("orders", {"order": "7", "name": "ann"})
        with listening(RedisMessage("redis", stream="orders"), redis_server) as found:
            messages = [found.next()]
            client.xadd("orders", {"message": '{"order": 8}'})
            messages.append(found.next())

    assert messages[0].body == {"order": 7, "name": "ann"}
    assert messages[0].id == str(first, "ascii")  # type: ignore[arg-type]  # bytes, here
    assert messages[1].body == {"order": 8}


@pytest.mark.system("redis-server")
def test_an_entry_that_was_not_taken_comes_again_and_no_other(redis_server: Connection) -> None:
    source = RedisMessage("redis", stream="orders", id_key="order")
    with closing(RedisHook(redis_server).open()) as client:
        client.xadd("orders", {"order": "1"})
        with listening(source, redis_server) as first:
            assert first.next().id == "1"
            first.refusal = ExecutionError("the store is full")
            client.xadd("orders", {"order": "2"})
            first.thread.join(TIMEOUT_S)
        client.xadd("orders", {"order": "3"})

        with listening(source, redis_server) as second:
            again = [second.next().id, second.next().id]

    assert first.error is first.refusal
    assert again == ["2", "3"]
    assert second.is_quiet()


@pytest.mark.system("redis-server")
@pytest.mark.parametrize("channel", ["orders.new", "orders.*"])
def test_messages_of_a_channel_are_delivered(redis_server: Connection, channel: str) -> None:
    source = RedisMessage("redis", channel=channel)
    with (
        closing(RedisHook(redis_server).open()) as client,
        listening(source, redis_server) as found,
    ):
        client.publish("orders.new", '{"order": 7}')
        client.publish("other", "unheard")

        assert found.next().body == {"order": 7}
        assert found.is_quiet()


@pytest.mark.system("redis-server")
def test_a_redis_server_that_goes_is_an_error(redis_server: Connection) -> None:
    with listening(RedisMessage("redis", stream="orders"), redis_server) as found:
        with closing(RedisHook(redis_server).open()) as client:
            client.shutdown(nosave=True)
        found.thread.join(TIMEOUT_S)

    assert found.error is not None


@pytest.mark.system("redis-server")
def test_a_redis_connection_can_be_tested(redis_server: Connection) -> None:
    assert RedisHook(redis_server).test().startswith("Redis ")


# NATS


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[Connection]:
    program = ["nats-server", "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", str(tmp_path)]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        address = ""
        for line in server.stderr:
            if "Listening for client connections on" in line:
                address = line.split()[-1]
            if "Server is ready" in line:
                break
        threading.Thread(target=server.stderr.read, daemon=True).start()
        yield Connection.from_uri(f"nats://{address}", "nats")
        server.terminate()


def with_nats(connection: Connection, do: Callable[[Any], Any]) -> None:
    async def run() -> None:
        client = await NatsHook(connection).open()
        await do(client)
        await client.flush()
        await client.close()

    asyncio.run(run())


@pytest.mark.system("nats-server")
def test_messages_of_a_subject_are_delivered(nats_server: Connection) -> None:
    async def publish(client: Any) -> None:
        await client.publish("orders.new", b'{"order": 7}')
        await client.publish("other", b"unheard")
        await client.publish("orders.old", b"plain", headers={"Nats-Msg-Id": "m2"})

    with listening(NatsMessage("nats", "orders.*", id_key="order"), nats_server) as found:
        with_nats(nats_server, publish)

        assert found.next() == Message("7", {"order": 7})
        assert found.next() == Message("m2", "plain")
        assert found.is_quiet()


@pytest.mark.system("nats-server")
def test_a_message_of_a_stream_that_was_not_taken_comes_again(nats_server: Connection) -> None:
    async def publish(client: Any) -> None:
        stream = client.jetstream()
        await stream.add_stream(name="ORDERS", subjects=["orders.*"])
        await stream.publish("orders.new", b"1")
        await stream.publish("orders.new", b"2")

    async def again(client: Any) -> None:
        await client.jetstream().publish("orders.new", b"3")

    source = NatsMessage("nats", "orders.*", stream="ORDERS")
    with_nats(nats_server, publish)
    with listening(source, nats_server) as first:
        taken = [first.next(), first.next()]
    with listening(source, nats_server) as second:
        with_nats(nats_server, again)
        taken.append(second.next())

    assert taken == [Message(f"ORDERS.{number}", number) for number in (1, 2, 3)]


@pytest.mark.system("nats-server")
def test_a_nats_connection_can_be_tested_and_one_to_nobody_is_refused(
    nats_server: Connection,
) -> None:
    assert NatsHook(nats_server).test().startswith("NATS ")
    with pytest.raises(ExecutionError, match="connection 'gone' cannot be opened"):
        NatsHook(Connection.from_uri("nats://127.0.0.1:1", "gone")).test()
