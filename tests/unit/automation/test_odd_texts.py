"""What senders and functions say is kept on both stores, whatever characters it has."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from ostinato.automation.deliveries import Deliveries
from ostinato.client.local import LocalClient
from ostinato.clock import SystemClock
from ostinato.executors.code_host import CodeHost
from ostinato.executors.served_code import InForce
from ostinato.model.event_source import Webhook
from ostinato.model.flow import FlowDefinition, Parameter
from ostinato.model.message import Message
from ostinato.project.discovery import find_project
from ostinato.project.target import Target
from ostinato.store.protocol import RunFilter, Store
from ostinato.store.sqlite import open_store

SOURCE = Webhook("orders")
FLOW = FlowDefinition("load", parameters=(Parameter("message"),), on=(SOURCE,))


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "sqlite":
        store: Store = open_store(":memory:")
    else:
        from ostinato.store.postgres.store import open_postgres

        store = open_postgres(request.getfixturevalue("postgres_store_uri"))
    with ExitStack() as closing:
        closing.callback(store.close)
        yield store


@pytest.fixture
def deliveries(store: Store, tmp_path: Path) -> Deliveries:
    (tmp_path / "ostinato.yaml").write_text("name: shop\n")
    client = LocalClient(store, values_root=tmp_path, logs_root=tmp_path)
    host: CodeHost = None  # type: ignore[assignment]  # nothing is called
    flows = {"load": InForce(FLOW, "v1", host)}
    return Deliveries(client, find_project(Target(path=tmp_path)), lambda: flows, SystemClock())


@pytest.mark.parametrize("text", ["a\0b", "\0", "é" * 5_000, "x" * 100_000, "'; --", "\\u0000"])
def test_a_message_starts_its_run_whatever_it_says(
    deliveries: Deliveries, store: Store, text: str
) -> None:
    for _ in range(2):
        deliveries.deliver(SOURCE, [Message(text, text), Message(f"{text}2", {"message": text})])

    runs, _ = store.runs(RunFilter(flow="load"))
    assert [msgspec.json.decode(run.params) for run in runs] == [{"message": text}] * 2
    ticks = store.sensors.ticks("shop", SOURCE.label)
    assert [(tick.outcome, tick.runs + tick.known) for tick in ticks] == [("requested", 2)] * 2


def test_why_a_message_does_not_fit_is_kept_whatever_it_says(
    deliveries: Deliveries, store: Store
) -> None:
    number = Parameter("message", {"type": "integer"})
    fits_nothing = msgspec.structs.replace(FLOW, parameters=(number,))
    flows = deliveries._flows()["load"]
    deliveries._flows = lambda: {"load": msgspec.structs.replace(flows, definition=fits_nothing)}

    deliveries.deliver(SOURCE, [Message("a\0b", "c\0d")])

    (tick,) = store.sensors.ticks("shop", SOURCE.label)
    assert tick.outcome == "failed"
    assert "is not an integer" in tick.reason
