"""Resources are opened once, when they are asked for, and closed in reverse order."""

import threading
from typing import Any

import pytest

from ostinato.authoring.ports import Resource
from ostinato.runtime.resources import ResourceShelf
from tests.unit.runtime.attempts import flow_of


class Recorded(Resource):
    """A resource that remembers what was done with it.

    Args:
        name: Of the resource.
        events: Where it is remembered.
    """

    def __init__(self, name: str, events: list[str] | None = None) -> None:
        self.name = name
        self.events = [] if events is None else events

    def open(self) -> str:
        self.events.append(f"open {self.name}")
        return f"the open {self.name}"

    def close(self) -> None:
        self.events.append(f"close {self.name}")


def nothing() -> None:
    return


def test_they_are_closed_in_reverse_order() -> None:
    events: list[str] = []
    flow = flow_of(nothing, resources={n: Recorded(n, events) for n in ("first", "second")})
    shelf = ResourceShelf({})

    assert [shelf.of(flow)[name] for name in ("second", "first")] == [
        "the open second",
        "the open first",
    ]
    shelf.close()

    assert events == ["open second", "open first", "close first", "close second"]
    assert not shelf.has_open


class Fragile(Recorded):
    def close(self) -> None:
        super().close()
        raise ConnectionError("gone")


def test_one_that_raises_as_it_is_closed_keeps_none_open(caplog: pytest.LogCaptureFixture) -> None:
    events: list[str] = []
    kept = {"first": Recorded("first", events), "second": Fragile("second", events)}
    shelf = ResourceShelf({})
    resources = shelf.of(flow_of(nothing, resources=kept))
    list(resources.values())

    shelf.close()

    assert events[2:] == ["close second", "close first"]
    assert "resource second: close() raised" in caplog.text


def test_one_that_raises_as_it_is_opened_is_tried_again() -> None:
    class Late(Recorded):
        def open(self) -> str:
            if not self.events:
                super().open()
                raise ConnectionError("not yet")
            return super().open()

    resources = ResourceShelf({}).of(flow_of(nothing, resources={"late": Late("late")}))
    with pytest.raises(ConnectionError):
        resources["late"]

    assert resources["late"] == "the open late"


def test_threads_share_what_is_open() -> None:
    together = threading.Barrier(8)
    recorded = Recorded("shared")
    resources = ResourceShelf({}).of(flow_of(nothing, resources={"shared": recorded}))

    def use() -> None:
        together.wait()
        resources["shared"]

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert recorded.events == ["open shared"]


def test_an_object_replaces_a_resource() -> None:
    recorded = Recorded("warehouse")
    shelf = ResourceShelf({"warehouse": "a test's own"})
    opened: Any = shelf.of(flow_of(nothing, resources={"warehouse": recorded}))

    assert opened["warehouse"] == "a test's own"
    assert recorded.events == []
