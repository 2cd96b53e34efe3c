"""This module keeps lanes in the order in which they are served: flows by turns, then by key.

Each flow counts its turns. The one with the fewest is served next, and a turn adds to its
count, the less the larger its share is. This is start-time fair queueing (Goyal, Vin and Cheng,
"Start-time Fair Queueing: A Scheduling Algorithm for Integrated Services Packet Switching
Networks", 1996) with all attempts taken for equally long: how long one takes is known too late.

Changes are cheap however many lanes stand in an order: what has become untrue of an entry is
found when the entry comes to the front.
"""

from collections.abc import Iterator
from heapq import heappop, heappush, heapreplace
from typing import Generic, Protocol, TypeVar

Key = tuple[int, int]


class Turns:
    """How often a flow was served at an executor.

    Attributes:
        value: The count; 1 for each at the usual share.
        lanes: How many lanes of it have something to serve.
    """

    __slots__ = ("lanes", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.lanes = 0


class Standing(Protocol):
    """What stands in an order: it knows its newest entry."""

    entry: object


Each = TypeVar("Each", bound=Standing)


class FairOrder(Generic[Each]):
    """Lanes that wait for the same; each stands in one order at a time."""

    # Invariant: a lane stands here exactly if its entry is one of ours; other entries of it are
    # passed over. Each flow that has an entry stands among the flows once.
    __slots__ = ("_count", "_flows", "_lanes")

    def __init__(self) -> None:
        self._count = 0
        self._flows: list[tuple[float, int, Turns]] = []
        self._lanes: dict[Turns, list[tuple[Key, int, Each]]] = {}

    def add(self, lane: Each, turns: Turns, key: Key) -> object:
        """Add a lane, or give one that is here another key, and return its entry.

        Args:
            lane: What is served.
            turns: Of its flow.
            key: The smaller, the earlier in its flow.
        """
        self._count += 1
        entry = (key, self._count, lane)
        lanes = self._lanes.get(turns)
        if lanes is None:
            self._lanes[turns] = [entry]
            heappush(self._flows, (turns.value, self._count, turns))
        else:
            heappush(lanes, entry)
        return entry

    def first(self) -> Each | None:
        """Return who is served next, None if nobody is there."""
        flows = self._flows
        while flows:
            value, _, turns = flows[0]
            if value != turns.value:
                self._count += 1
                heapreplace(flows, (turns.value, self._count, turns))
                continue
            lanes = self._lanes[turns]
            while lanes:
                entry = lanes[0]
                if entry[2].entry is entry:
                    return entry[2]
                heappop(lanes)
            heappop(flows)
            del self._lanes[turns]
        return None

    def lanes(self) -> Iterator[Each]:
        """Yield all that are here, in no order."""
        for entries in self._lanes.values():
            yield from (entry[2] for entry in entries if entry[2].entry is entry)

    def replace(self, lane: Each, turns: Turns, key: Key) -> object:
        """Give a lane that is here another key, and return its entry; quick for the first one.

        Args:
            lane: What is served.
            turns: Of its flow.
            key: The smaller, the earlier in its flow.
        """
        lanes = self._lanes[turns]
        self._count += 1
        entry = (key, self._count, lane)
        if lanes[0] is lane.entry:
            heapreplace(lanes, entry)
        else:
            heappush(lanes, entry)
        return entry
