"""This module is the agenda of a scheduler: which flow fires next, and the runs it will make.

Runs are filled in some time before they are due, so that at the moment itself thousands of them
are one write.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any, Protocol

from ostinato.client.parameters import validate_params
from ostinato.client.records import NewRun
from ostinato.client.service_runs import ServiceRuns
from ostinato.engine.occurrences import (
    FlowTimetable,
    KnownMoments,
    Occurrence,
    Timetable,
    due_at,
    has_ticks,
    tick_key,
)
from ostinato.errors import OstinatoError
from ostinato.model.flow import FlowDefinition
from ostinato.model.schedule import CONTINUOUS, ONCE, is_custom, moment_text
from ostinato.model.schedule_tick import ScheduleRow
from ostinato.project.discovery import Project

logger = logging.getLogger(__name__)

#: How long before it is due a run is filled in, in microseconds.
PREPARED_US = 30_000_000

#: What ``trigger`` says of the runs.
TRIGGER = "schedule"


class FlowInForce(Protocol):
    """A flow as new runs of it are made; ``executors.served_code.InForce`` is one."""

    @property
    def definition(self) -> FlowDefinition:
        """The flow."""
        ...

    @property
    def version(self) -> str:
        """Of the definitions that runs are pinned to."""
        ...


class Entry:
    """A flow on the agenda.

    Args:
        served: The flow as it is in force.
        row: How its schedule stands.

    Attributes:
        next: What fires next; None for nothing.
        after: What fires after it, if ``is_after_known``.
        run: The run of it, if that was filled in.
        is_gone: Whether another entry has taken its place.
        ticket: Of its newest place in the order of all.
    """

    __slots__ = (
        "after",
        "flow",
        "is_after_known",
        "is_gone",
        "next",
        "row",
        "run",
        "run_before",
        "served",
        "ticket",
        "timetable",
    )

    def __init__(self, served: FlowInForce, row: ScheduleRow) -> None:
        self.served = served
        self.flow = served.definition
        self.row = row
        self.timetable: Timetable | None = None
        self.next: Occurrence | None = None
        #: Id of the run before the next one, where a run follows the other; 0 for none.
        self.run_before = 0
        self.after: Occurrence | None = None
        self.is_after_known = False
        self.run: NewRun | None = None
        self.is_gone = False
        self.ticket = -1

    @property
    def at_us(self) -> int:
        """When it fires next; 0 for never."""
        if self.next is None:
            return 0
        tick_us = self.next.tick_us
        return self.timetable.fires_us(tick_us) if self.timetable is not None else tick_us

    def key(self, occurrence: Occurrence) -> str:
        """Return the key by which there is one run of an occurrence."""
        if self.flow.schedule == ONCE:
            return f"schedule:{self.flow.name}:once"
        if self.flow.schedule == CONTINUOUS:
            return f"schedule:{self.flow.name}:after:{self.run_before}"
        return tick_key(self.flow.name, occurrence.tick_us)


class Firing:
    """What an entry has to do because it is due.

    Args:
        entry: The entry.
        fired: The occurrences that make runs.
        since: The first of those that one run makes up for.
        following: What fires after them.
    """

    __slots__ = ("entry", "fired", "following", "since")

    def __init__(
        self,
        entry: Entry,
        fired: tuple[Occurrence, ...],
        since: Occurrence | None,
        following: Occurrence | None,
    ) -> None:
        self.entry = entry
        self.fired = fired
        self.since = since
        self.following = following

    @property
    def reason(self) -> str:
        """What there is to say of it."""
        if self.since is None:
            return ""
        return f"stands for all that were missed since {moment_text(self.since.tick_us)}"


class Agenda:
    """The schedules of a project in the order in which they fire.

    Args:
        project: Whose.
    """

    def __init__(self, project: Project) -> None:
        self._runs = ServiceRuns(project)
        self._timezone = project.settings.timezone
        self._entries: dict[str, Entry] = {}
        #: When something is due; and what, each with its ticket: thousands share a moment.
        self._heap: list[int] = []
        self._due: dict[int, list[tuple[int, Entry]]] = {}
        self._to_prepare: list[tuple[int, int, Entry]] = []
        #: When to ask the code of a user, and for moments after which.
        self._unknown: list[tuple[int, int, Entry, int]] = []
        self._continuous: dict[str, Entry] = {}
        self._order = count()
        #: Values of the parameters of scheduled runs by flow, of the version in force.
        self._params: dict[str, dict[str, Any]] = {}

    @property
    def entries(self) -> Mapping[str, Entry]:
        """The flows with a schedule by name."""
        return self._entries

    @property
    def continuous(self) -> Collection[Entry]:
        """The flows of which a run follows the other."""
        return self._continuous.values()

    @property
    def next_us(self) -> int | None:
        """When something is due, None if nothing ever is."""
        heap, due = self._heap, self._due
        while heap and not any(_is_valid(ticket, entry) for ticket, entry in due[heap[0]]):
            del due[heappop(heap)]
        return heap[0] if heap else None

    @property
    def prepare_us(self) -> int | None:
        """When something is to be filled in, None if nothing is."""
        heap = self._to_prepare
        while heap and not _is_valid(heap[0][1], heap[0][2]):
            heappop(heap)
        return heap[0][0] if heap else None

    @property
    def ask_us(self) -> int | None:
        """When a timetable of a user is to be asked, None if none is."""
        return self._unknown[0][0] if self._unknown else None

    def replace(
        self, flows: Mapping[str, FlowInForce], rows: Mapping[str, ScheduleRow], now_us: int
    ) -> list[ScheduleRow]:
        """Take over the flows in force, and return how schedules stand that have changed.

        Args:
            flows: All flows in force by name.
            rows: How schedules stand by the store, by name.
            now_us: The moment.
        """
        changed: list[ScheduleRow] = []
        for name in [name for name in self._entries if name not in flows]:
            self._forget(name)
        for name, flow in flows.items():
            definition = flow.definition
            if not definition.schedule:
                self._forget(name)
                continue
            row = rows.get(name) or ScheduleRow(name)
            before = self._entries.get(name)
            if before is not None and before.flow == definition and not _is_resumed(before, row):
                is_same = before.served.version == flow.version
                if is_same or not is_custom(definition.schedule):
                    before.served = flow
                    if not is_same and before.run is not None:
                        before.run = None
                        heappush(self._to_prepare, (now_us, before.ticket, before))
                    continue
            if row.schedule != definition.schedule:
                row = row._replace(schedule=definition.schedule, since_us=now_us)
            entry = self._place(flow, row, now_us)
            if entry.row != rows.get(name):
                changed.append(entry.row)
        return changed

    def forget_all(self) -> None:
        """Let go of all entries: what is still asked of them is answered to nobody."""
        for name in list(self._entries):
            self._forget(name)

    def rewind(self, now_us: int) -> None:
        """Look for what fires next anew, because the clock was set back."""
        for entry in list(self._entries.values()):
            self._place(entry.served, entry.row, now_us)

    def prepare(self, now_us: int, *, limit: int) -> bool:
        """Fill in runs that are due soon, and return whether there are more of them."""
        for _ in range(limit):
            at_us = self.prepare_us
            if at_us is None or at_us > now_us:
                return False
            _, _, entry = heappop(self._to_prepare)
            if entry.next is not None and entry.run is None:
                if entry.timetable is not None:
                    entry.after = entry.timetable.following(entry.next)
                    entry.is_after_known = True
                try:
                    entry.run = self.run_of(entry, entry.next)
                except OstinatoError as error:
                    # It is told of when it is due.
                    logger.debug("no run of %r can be made: %s", entry.flow.name, error)
        return True

    def count_next(self) -> int:
        """Return how many are due at the next moment."""
        at_us = self.next_us
        return 0 if at_us is None else len(self._due[at_us])

    def put_back(self, firing: Firing) -> None:
        """Have what was taken be due as it was before."""
        self._put(firing.entry)

    def due(self, now_us: int) -> Iterator[Firing]:
        """Take from the agenda what is due; ``advance`` or ``put_back`` puts it back."""
        while (at_us := self.next_us) is not None and at_us <= now_us:
            heappop(self._heap)
            for ticket, entry in self._due.pop(at_us):
                if _is_valid(ticket, entry):
                    yield self._firing(entry, now_us)

    def _firing(self, entry: Entry, now_us: int) -> Firing:
        assert entry.next is not None, "what is on the agenda fires"
        timetable, after = entry.timetable, entry.after
        if timetable is None:
            return Firing(entry, (entry.next,), None, None)
        if entry.is_after_known and (after is None or timetable.fires_us(after.tick_us) > now_us):
            # As nearly always: nothing was missed.
            return Firing(entry, (entry.next,), None, after)
        return Firing(entry, *due_at(timetable, entry.next, now_us, catchup=entry.flow.catchup))

    def advance(self, firing: Firing, row: ScheduleRow | None = None) -> None:
        """Go on to what fires after it.

        Args:
            firing: What was done, or is left undone.
            row: How its schedule stands now, if that has changed.
        """
        entry = firing.entry
        entry.next, entry.run, entry.is_after_known = firing.following, None, False
        if row is not None:
            entry.row = row._replace(next_us=entry.at_us)
        self._put(entry)
        if entry.next is None and is_custom(entry.flow.schedule):
            self.ask_later(entry, firing.fired[-1].tick_us, at_us=0)

    def run_of(self, entry: Entry, occurrence: Occurrence) -> NewRun:
        """Return the run of an occurrence.

        Raises:
            ParameterError: The flow has parameters that its schedule does not give.
        """
        if entry.run is not None and occurrence is entry.next:
            return entry.run
        flow = entry.flow
        params = self._params.get(flow.name)
        if params is None:
            params = self._params[flow.name] = validate_params(flow, flow.schedule_params)
        return self._runs.new(
            flow,
            entry.served.version,
            params,
            trigger=TRIGGER,
            date_us=occurrence.logical_us,
            interval_us=(occurrence.start_us, occurrence.end_us),
            logical_key=entry.key(occurrence),
        )

    def to_ask(self, now_us: int) -> Iterator[tuple[Entry, int]]:
        """Take what is to be asked for its next moments, each with the moment before them."""
        while self._unknown and self._unknown[0][0] <= now_us:
            _, _, entry, after_us = heappop(self._unknown)
            if not entry.is_gone:
                yield entry, after_us

    def learn(self, entry: Entry, moments: Sequence[tuple[int, int, int]], after_us: int) -> None:
        """Take over the moments that a user's timetable has given.

        Args:
            entry: Of its flow.
            moments: Tick, begin and end of the interval of each; none for never again.
            after_us: The moment after which they are.
        """
        entry.timetable = known = KnownMoments(entry.flow, moments)
        entry.next = known.first
        entry.row = entry.row._replace(next_us=entry.at_us)
        self._put(entry)
        if entry.next is None and moments and not self._is_over(entry, moments[-1][0]):
            self.ask_later(entry, max(moments[-1][0], after_us), at_us=0)

    def ask_later(self, entry: Entry, after_us: int, *, at_us: int) -> None:
        """Have a user's timetable asked for moments after one, at a moment."""
        heappush(self._unknown, (at_us, next(self._order), entry, after_us))

    def _is_over(self, entry: Entry, tick_us: int) -> bool:
        return entry.flow.end_at_us is not None and tick_us > entry.flow.end_at_us

    def _place(self, served: FlowInForce, row: ScheduleRow, now_us: int) -> Entry:
        flow = served.definition
        self._forget(flow.name)
        entry = self._entries[flow.name] = Entry(served, row)
        try:
            if flow.schedule == ONCE:
                entry.next = _once(flow, row)
            elif has_ticks(flow.schedule):
                timetable = entry.timetable = FlowTimetable(flow, self._timezone)
                entry.next = timetable.next(_base_us(flow, row, now_us))
                if entry.next is None and timetable.latest(now_us) is None:
                    logger.warning("the schedule %r of %r never fires", flow.schedule, flow.name)
            elif flow.schedule == CONTINUOUS:
                self._continuous[flow.name] = entry
            elif is_custom(flow.schedule):
                base_us = max(_base_us(flow, row, now_us), (flow.start_at_us or 0) - 1)
                self.ask_later(entry, base_us, at_us=0)
        except OstinatoError as error:
            logger.error("flow %r does not fire: %s", flow.name, error)
        entry.row = row._replace(next_us=entry.at_us)
        self._put(entry)
        return entry

    def _forget(self, name: str) -> None:
        entry = self._entries.pop(name, None)
        self._continuous.pop(name, None)
        self._params.pop(name, None)
        if entry is not None:
            entry.is_gone = True

    def _put(self, entry: Entry) -> None:
        if entry.next is None or entry.is_gone:
            return
        # Earlier places in the heaps are void.
        at_us, entry.ticket = entry.at_us, next(self._order)
        found = self._due.get(at_us)
        if found is None:
            found = self._due[at_us] = []
            heappush(self._heap, at_us)
        found.append((entry.ticket, entry))
        heappush(self._to_prepare, (at_us - PREPARED_US, entry.ticket, entry))


def _is_valid(ticket: int, entry: Entry) -> bool:
    """Whether a place in the order of all is the newest one of an entry."""
    return entry.ticket == ticket and not entry.is_gone


def _base_us(flow: FlowDefinition, row: ScheduleRow, now_us: int) -> int:
    """Return the moment after which a schedule fires: where it stopped, or where it begins."""
    if flow.catchup:
        if row.last_tick_us:
            base_us = row.last_tick_us
        else:
            base_us = row.since_us if flow.start_at_us is None else flow.start_at_us - 1
    else:
        base_us = max(row.last_tick_us, row.since_us)
    # A clock that was ahead has set them; what has fired does not fire again by its key.
    return min(base_us, now_us)


def _once(flow: FlowDefinition, row: ScheduleRow) -> Occurrence | None:
    if row.last_tick_us:
        return None
    at_us = max(row.since_us, flow.start_at_us or 0)
    return Occurrence(at_us, at_us, at_us, at_us)


def _is_resumed(entry: Entry, row: ScheduleRow) -> bool:
    return entry.row.is_paused and not row.is_paused
