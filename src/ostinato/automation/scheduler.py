"""This module fires schedules: it makes the runs of flows whose moments have come."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from typing import Any, NamedTuple

from ostinato.automation.schedules import Agenda, Entry, Firing, FlowInForce
from ostinato.automation.user_timetables import UserTimetables
from ostinato.client.local import LocalClient
from ostinato.client.records import NewRun, RunFilter, RunRow
from ostinato.clock import Clock, SystemClock
from ostinato.engine.occurrences import Occurrence
from ostinato.errors import OstinatoError, StoreError
from ostinato.model.health import PartHealth
from ostinato.model.schedule_tick import MomentsInput, ScheduleRow, ScheduleTickRow, TickOutcome
from ostinato.project.discovery import Project

logger = logging.getLogger(__name__)

#: Runs that are made in one commit: enough to be quick, few enough for the first not to wait.
BATCH = 2_500

#: Runs that are filled in before it is looked again whether something is due.
PREPARED_AT_ONCE = 200

#: From how many runs on they are written ahead of their moment, and seconds that one of them takes
#: until that was measured; seconds by which it is begun earlier than it should need, and at most.
AHEAD_FROM, RUN_S = 200, 40e-6
MARGIN_S, MAX_AHEAD_S = 0.05, 1.0

#: Seconds of one wait at most: so soon it is noticed that the clock was set.
LOOK_S = 1.0

#: Seconds after which it is looked whether somebody has paused or resumed a schedule, if that
#: was not told.
NOTICED_S = 5.0

#: By how much the clock may go back before it counts as set, in microseconds.
SET_BACK_US = 500_000

#: Seconds between two looks whether a flow that always runs has ended.
CONTINUOUS_S = 0.5

#: Moments that the timetable of a user is asked for at a time.
ASKED = 10

#: How long after it has failed it is asked again, in microseconds.
ASKED_AGAIN_US = 30_000_000

#: Seconds until the next try once the store has failed: the first time, and at most.
FAILED_S, MAX_FAILED_S = 0.2, 5.0


class Fired(NamedTuple):
    """What was due, and what became of it.

    Attributes:
        firing: What was due.
        run_ids: Ids of its runs, in the order of its ticks.
        problem: Why none could be made; empty if they were.
    """

    firing: Firing
    run_ids: tuple[int, ...]
    problem: str


class Overtaken(Exception):
    """What was written ahead must not be: something has changed, or the time."""


class Scheduler:
    """Make the runs of schedules at their moments; a part of a service.

    Of several, the one that is active fires. What it writes can be written twice: the key of a
    run is made of its flow and tick. So a second one, or one that is killed anywhere, makes no
    run twice; and what was missed while none lived is seen by the tick that was recorded last.

    Args:
        client: Where schedules and runs are.
        project: Whose.
        flows: Returns the flows in force by name.
        clock: The time.
        is_active: Whether it is this one that fires, of several.
        asks_users: Whether timetables of users are asked; then the flows in force say where
            their code is.
        is_complete: Whether all flows could be loaded: one that is not in force is gone then.
    """

    name = "scheduler"

    def __init__(
        self,
        client: LocalClient,
        project: Project,
        *,
        flows: Callable[[], Mapping[str, FlowInForce]],
        clock: Clock | None = None,
        is_active: Callable[[], bool] = lambda: True,
        asks_users: bool = False,
        is_complete: Callable[[], bool] = lambda: True,
    ) -> None:
        self._client = client
        self._schedules = client.schedules
        self._project = project
        self._flows = flows
        self._is_complete = is_complete
        self._clock = clock or SystemClock()
        self._is_active = is_active
        self._agenda = Agenda(project)
        self._wake = threading.Event()
        self._users = UserTimetables(self._wake.set) if asks_users else None
        self._is_stopped = False
        #: Whether flows or the store have to be looked at; it begins so.
        self._is_changed = True
        self._was_active = False
        self._paused: set[str] = set()
        self._noticed_s = float("-inf")
        self._newest_us = 0
        self._failed_s = 0.0
        self._run_s = RUN_S
        self._problem = ""
        #: How late the newest run was made, in seconds.
        self.lateness_s = 0.0

    # The part

    def serve(self) -> None:
        """Fire until it is stopped."""
        try:
            while not self._is_stopped:
                self._wake.wait(self._look())
                self._wake.clear()
        finally:
            if self._users is not None:
                self._users.close()

    def stop(self) -> None:
        """Have ``serve`` return soon."""
        self._is_stopped = True
        self._wake.set()

    def drain(self) -> None:
        """Have ``serve`` return soon: nothing is ever half done."""
        self.stop()

    def wake(self) -> None:
        """Have it look at the flows in force at once; safe in all threads."""
        self._is_changed = True
        self._wake.set()

    def notice(self) -> None:
        """Have it look at once what others have said of schedules; safe in all threads."""
        self._noticed_s = float("-inf")
        self._wake.set()

    def health(self) -> PartHealth:
        """Return how it is."""
        if self._problem:
            return PartHealth(is_ready=False, detail=self._problem)
        return PartHealth(detail="" if self._was_active else "stands by")

    def _look(self) -> float:
        """Do what is to be done now, and return the seconds until the next look."""
        try:
            if not self._is_active():
                if self._was_active:
                    # Another one goes on with it.
                    self._begin_anew()
                self._was_active = False
                return LOOK_S
            self._was_active = True
            wait_s = self.turn()
            if self._until_ahead_s() <= 0:
                self._fire_ahead()
                wait_s = 0.0
        except StoreError as error:
            if not self._problem:
                logger.error("schedules wait for the store: %s", error)
            self._problem = str(error)
            # What is in memory may be ahead of what was written.
            self._begin_anew()
            self._failed_s = min(max(self._failed_s * 2, FAILED_S), MAX_FAILED_S)
            return self._failed_s
        if self._problem:
            logger.info("the store can be written again")
        self._problem, self._failed_s = "", 0.0
        return max(min(wait_s, self._until_ahead_s()), 0.0)

    def _begin_anew(self) -> None:
        self._agenda.forget_all()
        self._agenda, self._is_changed = Agenda(self._project), True

    # Firing

    def turn(self) -> float:
        """Fire what is due, and return the seconds until there is something to do again.

        Raises:
            StoreError: What was written until then stays.
        """
        now_us = self._clock.now_us()
        if now_us < self._newest_us - SET_BACK_US:
            logger.warning("the clock was set back by %g s", (self._newest_us - now_us) / 1e6)
            self._agenda.rewind(now_us)
        self._newest_us = now_us
        if self._is_changed or self._has_resumed():
            self._is_changed = False
            self._refresh(now_us)
        if self._users is not None:
            self._ask_users(self._users, now_us)
        firings = list(self._agenda.due(now_us))
        firings += self._idle(now_us)
        if firings:
            self._fire(firings, now_us)
        now_us = self._clock.now_us()
        if self._agenda.prepare(now_us, limit=PREPARED_AT_ONCE):
            return 0.0
        moments = (self._agenda.next_us, self._agenda.prepare_us, self._agenda.ask_us)
        next_us = min((at_us for at_us in moments if at_us is not None), default=None)
        longest_s = CONTINUOUS_S if self._agenda.continuous else LOOK_S
        if next_us is None:
            return longest_s
        return min(max((next_us - self._clock.now_us()) / 1e6, 0.0), longest_s)

    # Ahead of the moment

    def _until_ahead_s(self) -> float:
        """Return the seconds until what is due next is written ahead; infinite for not at all."""
        at_us, count = self._agenda.next_us, self._agenda.count_next()
        now_us = self._clock.now_us()
        if count < AHEAD_FROM or at_us is None or at_us <= now_us:
            return float("inf")
        ahead_s = min(count * self._run_s + MARGIN_S, MAX_AHEAD_S)
        return (at_us - now_us) / 1e6 - ahead_s

    def _fire_ahead(self) -> None:
        """Write the runs of thousands of schedules so early that their commit is on time.

        Nobody sees them until then. If anything changes meanwhile, nothing was written, and they
        are fired at their moment like any others.
        """
        at_us = self._agenda.next_us
        assert at_us is not None, "something is due"
        firings = list(self._agenda.due(at_us))
        try:
            self._fire(firings, at_us, before_commit=self._wait_for(at_us, len(firings)))
        except Overtaken as reason:
            logger.debug("nothing is fired ahead: %s", reason)
            for firing in firings:
                self._agenda.put_back(firing)

    def _wait_for(self, at_us: int, count: int) -> Callable[[], None]:
        """Return what waits for a moment, unless it must not come to that.

        Args:
            at_us: The moment.
            count: How many runs are written until it waits, from now on.
        """
        began_us, began_s = self._clock.now_us(), self._clock.monotonic_s()

        def wait() -> None:
            # Rather too early than too late, where the machine is busy at times.
            took_s = self._clock.monotonic_s() - began_s
            self._run_s = max(took_s / count, self._run_s * 0.8)
            while (now_us := self._clock.now_us()) < at_us:
                if now_us < began_us:
                    raise Overtaken("the clock was set back")
                if self._wake.wait((at_us - now_us) / 1e6):
                    raise Overtaken("something is to be looked at")
            if not self._is_active():
                raise Overtaken("another one fires")
            if self._schedules.paused(self._project.name) != self._paused:
                raise Overtaken("schedules were paused or resumed")

        return wait

    def _has_resumed(self) -> bool:
        """Whether schedules were paused or resumed since that was looked at."""
        now_s = self._clock.monotonic_s()
        if now_s - self._noticed_s < NOTICED_S:
            return False
        self._noticed_s = now_s
        return self._schedules.paused(self._project.name) != self._paused

    def _refresh(self, now_us: int) -> None:
        """Take over what is in force, and what others have said of schedules."""
        rows = self._schedules.all(self._project.name)
        self._paused = {name for name, row in rows.items() if row.is_paused}
        flows = self._flows()
        changed = self._agenda.replace(flows, rows, now_us)
        if self._users is not None:
            self._users.keep({id(getattr(flow, "host", None)) for flow in flows.values()})
        gone = [
            row._replace(schedule="", next_us=0)
            for name, row in rows.items()
            if row.schedule and (name not in flows or not flows[name].definition.schedule)
        ]
        if not self._is_complete():
            # A flow whose file is broken is not gone.
            gone = []
        if changed or gone:
            self._schedules.record(self._project.name, [*changed, *gone])

    def _idle(self, now_us: int) -> Iterator[Firing]:
        """Yield what is to run again because its run before has ended."""
        for entry in self._agenda.continuous:
            flow = entry.flow
            if not (flow.start_at_us or 0) <= now_us <= (flow.end_at_us or now_us):
                continue
            newest, _ = self._client.runs(RunFilter(flow=flow.name), limit=1)
            if newest and not newest[0].state.is_terminal:
                continue
            # Also of two schedulers, both ask for the run that follows this one.
            entry.run_before = newest[0].id if newest else 0
            yield Firing(entry, (Occurrence(now_us, now_us, now_us, now_us),), None, None)

    def _ask_users(self, users: UserTimetables, now_us: int) -> None:
        """Have timetables of users say when they fire, and learn what they have said."""
        for (entry, after_us), answer in users.answers():
            if entry.is_gone:
                continue
            if isinstance(answer, str):
                self._note_failure(entry, answer, now_us)
                self._agenda.ask_later(entry, after_us, at_us=now_us + ASKED_AGAIN_US)
            else:
                self._agenda.learn(entry, answer, after_us)
        for entry, after_us in self._agenda.to_ask(now_us):
            timezone = entry.flow.timezone or self._project.settings.timezone
            asked = MomentsInput(
                after_us,
                timezone,
                now_us,
                ASKED,
                has_all=entry.flow.catchup,
                is_tick=after_us == entry.row.last_tick_us,
            )
            # Whoever has users' code has the process that it is in.
            served: Any = entry.served
            users.ask(served, asked, (entry, after_us))

    def _note_failure(self, entry: Entry, problem: str, now_us: int) -> None:
        logger.error("the timetable of %r does not answer: %s", entry.flow.name, problem)
        row = entry.row
        tick = ScheduleTickRow(row.name, row.ticks, 0, now_us, TickOutcome.FAILED, 0, problem)
        entry.row = row._replace(ticks=row.ticks + 1)
        self._schedules.record(self._project.name, [entry.row], [tick])

    def _fire(
        self,
        firings: Sequence[Firing],
        now_us: int,
        *,
        before_commit: Callable[[], None] | None = None,
    ) -> None:
        """Make the runs of what is due, and remember that.

        Args:
            firings: What is due.
            now_us: The moment.
            before_commit: Called when all runs are written ahead that one commit makes.

        Raises:
            Overtaken: Nothing was written.
            StoreError: What was written until then stays.
        """
        paused = self._schedules.paused(self._project.name)
        wanted = []
        for firing in firings:
            if firing.entry.flow.name in paused:
                row = firing.entry.row._replace(is_paused=True)
                self._agenda.advance(firing, row)
            else:
                wanted.append(firing)
        at_once = len(wanted) if before_commit is not None else BATCH
        fired: list[Fired] = []
        for start in range(0, len(wanted), max(at_once, 1)):
            # What is remembered of ticks can wait until all runs are there.
            some = wanted[start : start + at_once]
            fired += self._make(some, now_us, before_commit)
        if fired:
            self._remember(fired, now_us)

    def _make(
        self,
        firings: Sequence[Firing],
        now_us: int,
        before_commit: Callable[[], None] | None,
    ) -> list[Fired]:
        """Make the runs of what is due, in one commit."""
        runs: list[NewRun] = []
        found: list[tuple[Firing, int, str]] = []
        for firing in firings:
            try:
                new = [self._agenda.run_of(firing.entry, each) for each in firing.fired]
            except OstinatoError as error:
                found.append((firing, 0, str(error)))
                logger.error("no run of %r is made: %s", firing.entry.flow.name, error)
            else:
                runs += new
                found.append((firing, len(new), ""))
        created: Iterator[RunRow] = iter(())
        if runs:
            at_us = 0 if before_commit is None else now_us
            rows = self._client.create_runs(runs, at_us=at_us, before_commit=before_commit)
            created = iter(rows)
            last_us = firings[-1].fired[-1].tick_us
            self.lateness_s = max(self._clock.now_us() - last_us, 0) / 1e6
        elif before_commit is not None:
            # What failed is told of at its moment, too.
            before_commit()
        return [
            Fired(firing, tuple(row.id for row in islice(created, count)), problem)
            for firing, count, problem in found
        ]

    def _remember(self, fired: Sequence[Fired], now_us: int) -> None:
        """Write what became of ticks, and go on to those after them."""
        rows: list[ScheduleRow] = []
        ticks: list[ScheduleTickRow] = []
        for firing, run_ids, problem in fired:
            row = firing.entry.row
            outcome = TickOutcome.FAILED if problem else TickOutcome.FIRED
            reason = problem or firing.reason
            each = zip_longest(firing.fired, run_ids, fillvalue=0)
            for number, (occurrence, run_id) in enumerate(each, row.ticks):
                assert isinstance(occurrence, Occurrence), "there are no more runs than ticks"
                tick = (row.name, number, occurrence.tick_us, now_us, outcome, run_id, reason)
                ticks.append(ScheduleTickRow(*tick))
            last_us = max(row.last_tick_us, firing.fired[-1].tick_us)
            count = row.ticks + len(firing.fired)
            self._agenda.advance(firing, row._replace(last_tick_us=last_us, ticks=count))
            rows.append(firing.entry.row)
        self._schedules.record(self._project.name, rows, ticks)
