"""Messages start a run of each flow that listens, once, whatever happens to their sources."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ostinato.automation.file_arrivals import FileArrivals
from ostinato.automation.messages import MessageDriver
from ostinato.client.local import LocalClient
from ostinato.clock import VirtualClock
from ostinato.errors import StoreFull
from ostinato.model.connection import Connection
from ostinato.model.event_source import FileArrival
from ostinato.model.message import Message
from ostinato.model.sensor_state import TickRow
from ostinato.project.discovery import find_project
from ostinato.project.target import Target
from ostinato.store.protocol import RunFilter
from ostinato.store.records import RunRow
from ostinato.store.sqlite import open_store
from tests.unit.executors.projects import served

START_US = 1_750_000_000_000_000
HOOK = "webhook orders"

FLOWS = """
from ostinato import FileArrival, PostgresNotify, Webhook, flow

@flow(on={on})
def load(order: int = 0, path: str = "", message: object = None): pass
"""


class Shop:
    """A project with a store."""

    def __init__(self, folder: Path, closing: ExitStack) -> None:
        self.folder = folder
        (folder / "flows").mkdir()
        (folder / "in").mkdir()
        (folder / "ostinato.yaml").write_text("name: shop\n")
        self.project = find_project(Target(path=folder))
        self.clock = VirtualClock(START_US)
        self.store = open_store(folder / "store.db", durability="relaxed", clock=self.clock)
        closing.callback(self.store.close)
        self.client = LocalClient(self.store, values_root=folder, logs_root=folder)


class House(Shop):
    """A shop with its code in force, and a driver of its messages."""

    def __init__(self, folder: Path, closing: ExitStack) -> None:
        super().__init__(folder, closing)
        self.code = closing.enter_context(served(folder))
        self.is_active = True
        self.uri = "postgres://127.0.0.1:1/none"
        self.driver = MessageDriver(
            self.client,
            self.project,
            self.code,
            connect=self.connect,
            clock=self.clock,
            is_active=lambda: self.is_active,
        )
        closing.callback(self.driver._end)

    def connect(self, conn_id: str) -> Connection:
        return Connection.from_uri(self.uri, conn_id)

    def write(self, on: str, more: str = "") -> None:
        """Put code in force."""
        (self.folder / "flows" / "all.py").write_text(FLOWS.format(on=on) + more)
        change = self.code.load()
        assert change.problems == ()

    def post(self, name: str, body: object) -> bool:
        return self.client.sensors.receive("shop", HOOK, name, msgspec.json.encode(body))

    def runs(self, flow: str = "load") -> list[RunRow]:
        """Return runs, oldest first."""
        return self.client.runs(RunFilter(flow=flow), limit=1000)[0][::-1]

    def params(self, flow: str = "load") -> list[dict[str, Any]]:
        return [msgspec.json.decode(run.params) for run in self.runs(flow)]

    def ticks(self, name: str = HOOK) -> list[TickRow]:
        """Return ticks, oldest first."""
        return self.client.sensors.ticks("shop", name)[::-1]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as closing:
        yield House(tmp_path, closing)


# Webhooks


def test_a_posted_message_starts_a_run_with_its_keys_as_parameters(house: House) -> None:
    house.write('Webhook("orders")')
    house.post("m1", {"order": 7, "more": "x"})

    house.driver.turn()

    (run,) = house.runs()
    assert (run.trigger, run.home, run.tags) == ("event", "service", (f"event:{HOOK}",))
    assert run.logical_key == "event:webhook orders:m1"
    assert house.params() == [{"order": 7, "path": "", "message": {"order": 7, "more": "x"}}]
    assert [(tick.outcome, tick.runs) for tick in house.ticks()] == [("requested", 1)]
    assert house.client.sensors.messages("shop", HOOK) == []


def test_each_flow_that_listens_has_a_run(house: House) -> None:
    house.write('Webhook("orders")', '@flow(on=[Webhook("orders")])\ndef other(): pass\n')
    house.post("m1", {})

    house.driver.turn()

    assert [len(house.runs(flow)) for flow in ("load", "other")] == [1, 1]
    assert house.ticks()[0].runs == 2


def test_a_message_that_comes_again_later_starts_no_second_run(house: House) -> None:
    house.write('Webhook("orders")')
    for _ in range(2):
        house.post("m1", {"order": 7})
        house.driver.turn()
        house.clock.advance_to(START_US + 1)

    assert len(house.runs()) == 1
    assert [(tick.runs, tick.known) for tick in house.ticks()] == [(1, 0), (0, 1)]


def test_a_message_that_does_not_fit_is_told_of_and_the_others_start_runs(house: House) -> None:
    house.write('Webhook("orders")')
    house.post("m1", {"order": "x"})
    house.post("m2", {"order": 7})

    house.driver.turn()

    assert [params["order"] for params in house.params()] == [7]
    (tick,) = house.ticks()
    assert tick.outcome == "failed"
    assert tick.reason.startswith("message m1: parameter 'order' of flow 'load'")
    assert house.client.sensors.messages("shop", HOOK) == []


def test_messages_wait_while_their_source_is_paused(house: House) -> None:
    house.write('Webhook("orders")')
    house.driver.turn()
    house.client.sensors.pause("shop", HOOK)
    house.post("m1", {})
    house.driver.turn()
    assert house.runs() == []

    house.client.sensors.resume("shop", HOOK)
    house.driver.turn()

    assert len(house.runs()) == 1


def test_many_messages_are_delivered_in_their_order(house: House) -> None:
    house.write('Webhook("orders")')
    for number in range(250):
        house.post(f"m{number}", {"order": number})

    house.driver.turn()

    assert [params["order"] for params in house.params()] == list(range(250))


def test_it_serves_until_it_is_stopped(house: House) -> None:
    house.write('Webhook("orders")')
    thread = threading.Thread(target=house.driver.serve)
    thread.start()
    house.post("m1", {})
    house.driver.wake()
    while not house.runs():
        os.sched_yield()

    house.driver.stop()
    thread.join()

    assert house.driver.health().is_ready


# What cannot be reached


def test_a_source_that_cannot_be_reached_is_told_of_and_tried_again(house: House) -> None:
    house.write('PostgresNotify("shop", "orders")')
    house.driver.turn()

    label = "notify shop/orders"
    while len(ticks := house.client.sensors.ticks("shop", label)) < 2:
        os.sched_yield()

    assert {tick.outcome for tick in ticks} == {"failed"}
    assert "connection 'shop' cannot be opened" in ticks[0].reason


def test_a_source_that_no_flow_names_any_more_is_listened_to_no_more(house: House) -> None:
    house.write('PostgresNotify("shop", "orders")')
    house.driver.turn()
    thread = house.driver._listening["notify shop/orders"]

    house.write("None")
    house.driver.turn()

    thread.join()
    assert house.driver._listening == {}


@pytest.mark.slow
def test_a_line_that_is_cut_is_opened_again(house: House, postgres_uri: str) -> None:
    import psycopg

    house.write('PostgresNotify("shop", "orders", id_key="order")')
    house.uri = postgres_uri
    label = "notify shop/orders"

    def wait_for(outcomes: list[str]) -> None:
        while [tick.outcome for tick in house.ticks(label)] != outcomes:
            os.sched_yield()

    with psycopg.connect(postgres_uri, autocommit=True) as database:
        house.driver.turn()
        wait_for(["skipped"])
        database.execute("""SELECT pg_notify('orders', '{"order": 1}')""")
        wait_for(["skipped", "requested"])
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE query LIKE 'LISTEN%' AND pid != pg_backend_pid()"
        )
        wait_for(["skipped", "requested", "failed", "skipped"])
        for _ in range(2):
            database.execute("""SELECT pg_notify('orders', '{"order": 2}')""")
        while len(house.runs()) < 2:
            os.sched_yield()

    assert [params["order"] for params in house.params()] == [1, 2]


@pytest.mark.slow
def test_one_that_was_replaced_takes_no_message(house: House, postgres_uri: str) -> None:
    import psycopg

    house.write('PostgresNotify("shop", "orders")')
    house.uri = postgres_uri
    house.driver.turn()
    label = "notify shop/orders"
    while not house.ticks(label):
        os.sched_yield()
    house.is_active = False

    with psycopg.connect(postgres_uri, autocommit=True) as database:
        database.execute("SELECT pg_notify('orders', '7')")
    house.driver._listening[label].join()

    assert house.runs() == []


# Files


class Arrivals:
    """Looks for files, with a store and without threads."""

    def __init__(self, shop: Shop, **source: Any) -> None:
        self.shop = shop
        self.source = FileArrival("in/*.csv", **source)
        self.delivered: list[Message] = []
        self.problem: Exception | None = None
        self.begin()

    def begin(self) -> None:
        """Look as a process does that has just begun."""
        clock = self.shop.clock
        self.arrivals = FileArrivals(self.shop.client, self.shop.project, self.take, clock)

    def take(self, _source: FileArrival, messages: Sequence[Message]) -> None:
        if self.problem is not None:
            raise self.problem
        self.delivered.extend(messages)

    def look(self, seconds: float = 0.0) -> list[str]:
        """Let time pass and look; return the names of what was delivered."""
        self.shop.clock.advance_to(self.shop.clock.now_us() + int(seconds * 1e6))
        self.delivered.clear()
        self.pause_s = self.arrivals.look({self.source.label: self.source})
        return [message.body["name"] for message in self.delivered]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with ExitStack() as closing:
        yield Shop(tmp_path, closing)


@pytest.fixture
def arrivals(shop: Shop) -> Iterator[Callable[..., Arrivals]]:
    made: list[Arrivals] = []

    def make(**source: Any) -> Arrivals:
        made.append(Arrivals(shop, **source))
        return made[-1]

    yield make
    for each in made:
        each.arrivals.close()


def put(shop: Shop, name: str, content: str = "x", mtime: int = 1_000) -> Path:
    file = shop.folder / "in" / name
    file.write_text(content)
    os.utime(file, (mtime, mtime))
    return file


def test_a_file_is_delivered_once_it_has_not_changed_for_a_while(
    shop: Shop, arrivals: Callable[..., Arrivals]
) -> None:
    looking = arrivals(stable_for_s=1.0)
    file = put(shop, "a.csv", "part")
    assert looking.look() == []
    # Another look at once: the folder was not watched until then.
    assert looking.pause_s == 0
    assert looking.look() == []
    assert 0 < looking.pause_s <= 1.0
    put(shop, "a.csv", "part and more", mtime=1_001)
    assert looking.look(0.9) == []
    assert looking.look(0.9) == []

    assert looking.look(0.2) == ["a.csv"]

    (message,) = looking.delivered
    assert message.body == {
        "path": str(file),
        "name": "a.csv",
        "size": 13,
        "modified": "1970-01-01T00:16:41+00:00",
    }
    assert looking.look(5) == []


def test_files_are_delivered_in_the_order_of_their_time(
    shop: Shop, arrivals: Callable[..., Arrivals]
) -> None:
    looking = arrivals(stable_for_s=0)
    for name, mtime in (("c.csv", 3), ("a.csv", 5), ("b.csv", 4), ("no.txt", 1)):
        put(shop, name, mtime=mtime)

    assert looking.look() == ["c.csv", "b.csv", "a.csv"]


def test_a_restart_takes_nothing_twice_and_misses_nothing(
    shop: Shop, arrivals: Callable[..., Arrivals]
) -> None:
    looking = arrivals(stable_for_s=0)
    put(shop, "a.csv")
    assert looking.look() == ["a.csv"]
    put(shop, "b.csv")

    looking.begin()

    assert looking.look() == ["b.csv"]
    looking.begin()
    assert looking.look() == []


def test_a_file_that_is_replaced_is_another_one(
    shop: Shop, arrivals: Callable[..., Arrivals]
) -> None:
    looking = arrivals(stable_for_s=0)
    put(shop, "a.csv")
    looking.look()
    first = put(shop, "a.csv", mtime=2_000)

    assert looking.look() == ["a.csv"]
    first.unlink()
    assert looking.look() == []
    assert shop.client.sensors.seen_files("shop", "files in/*.csv") == set()


def test_files_from_before_may_be_left_out(shop: Shop, arrivals: Callable[..., Arrivals]) -> None:
    put(shop, "old.csv")
    looking = arrivals(stable_for_s=0, takes_existing=False)
    assert looking.look() == []
    put(shop, "new.csv")

    looking.begin()

    assert looking.look() == ["new.csv"]


def test_a_name_that_is_no_text_keeps_no_other_file_back(
    shop: Shop, arrivals: Callable[..., Arrivals]
) -> None:
    looking = arrivals(stable_for_s=0)
    put(shop, "a.csv")
    (shop.folder / "in" / os.fsdecode(b"\xff.csv")).write_text("x")

    assert looking.look() == ["a.csv"]


def test_a_file_that_could_not_be_delivered_is_delivered_later(
    shop: Shop, arrivals: Callable[..., Arrivals]
) -> None:
    looking = arrivals(stable_for_s=0)
    put(shop, "a.csv")
    looking.problem = StoreFull("no room")
    with pytest.raises(StoreFull):
        looking.look()
    looking.problem = None

    assert looking.look() == ["a.csv"]


def test_the_system_tells_of_files_that_arrive(house: House) -> None:
    house.write('FileArrival("in/*.csv", stable_for_s=0)')
    house.driver.turn()

    put(house, "a.csv")
    while not house.runs():
        os.sched_yield()

    assert house.params()[0]["path"] == str(house.folder / "in" / "a.csv")
