"""This module serves a flow: it runs it at its moments, and whenever a run of it is asked for."""

import sys
import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from ostinato.authoring.steps import Outcome
from ostinato.authoring.timetables import moments_after
from ostinato.client.new_runs import SERVICE
from ostinato.client.parameters import validate_params
from ostinato.clock import Clock, VirtualClock
from ostinato.coordinator.run_handle import Run
from ostinato.engine.occurrences import FlowTimetable, KnownMoments, Occurrence, tick_key
from ostinato.errors import OstinatoError, RunOwned
from ostinato.model.deferral import Deferral, decode_wait
from ostinato.model.state import RunState
from ostinato.project.discovery import Project
from ostinato.store.protocol import RunFilter, Store
from ostinato.store.records import RunRow

if TYPE_CHECKING:
    from ostinato.authoring.steps import StepFlow

#: Seconds between two looks for runs that are asked for.
LOOK_EVERY_S = 0.5

#: A pause is at least this many times as long as the look before it.
PAUSE_PER_LOOK = 20

#: Runs that are looked at in one look.
MAX_LOOK = 1_000

#: States of runs that are not over.
_LIVE = tuple(state for state in RunState if not state.is_terminal)


class Executing(Protocol):
    """Execute a flow in this thread; ``EmbeddedSession`` does."""

    def execute(
        self,
        flow: "StepFlow",
        params: Mapping[str, Any],
        *,
        date_us: int,
        interval_us: tuple[int, int],
        logical_key: str,
        tags: tuple[str, ...],
    ) -> tuple[Outcome, Run]:
        """Execute a run of a moment, unless another process has it."""
        ...

    def take_up(self, flow: "StepFlow", row: RunRow) -> tuple[Outcome, Run]:
        """Go on with a run that nobody drives."""
        ...


class Server:
    """Serve a flow in this thread.

    Args:
        session: Executes it.
        flow: The flow.
        project: Whose flow it is.
        store: Where its runs are recorded.
        clock: Tells when moments have come.
        params: Values of its parameters, at its moments.
        tags: Of the runs of its moments.

    Raises:
        ParameterError: The parameters do not fit.
    """

    def __init__(
        self,
        session: Executing,
        flow: "StepFlow",
        project: Project,
        store: Store,
        *,
        clock: Clock,
        params: Mapping[str, Any],
        tags: tuple[str, ...] = (),
    ) -> None:
        self._tags = tags
        self._session = session
        self._flow = flow
        self._project = project
        self._store = store
        self._clock = clock
        self._params = params
        definition = flow.dag.definition
        self._schedule = definition.schedule
        self._timezone = definition.timezone or project.settings.timezone
        self._timetable: FlowTimetable | None = None
        #: Runs that cannot be taken up, which was said.
        self._refused: set[int] = set()
        self._pause_s = LOOK_EVERY_S
        if self._schedule:
            validate_params(definition, params)
            if flow.dag.timetable is None:
                # A schedule without moments is refused at once.
                self._timetable = FlowTimetable(definition, project.settings.timezone)

    def serve(self, runs: int | None) -> None:
        """Run the flow until it is interrupted.

        Args:
            runs: After how many moments, or runs that were asked for, to end; None for never.
        """
        count = 0
        try:
            count += self._take_up_all()
            if not self._schedule:
                _say(f"{self._flow.name}: is served; its runs are started by start()")
            while runs is None or count < runs:
                count += self._next()
        except KeyboardInterrupt:
            _say(f"{self._flow.name}: no longer served")

    def _next(self) -> int:
        """Serve what comes next, and return how many runs that were."""
        if not self._schedule:
            time.sleep(self._pause_s)
            return self._take_up_all()
        found = self._coming()
        if found is None:
            _say(f"{self._flow.name}: no further moments; its runs are started by start()")
            self._schedule = ""
            return 0
        at_us, occurrence = found
        _say(f"{self._flow.name}: the next run is at {_moment(at_us)}")
        self._wait_until(at_us)
        key = tick_key(self._flow.name, occurrence.tick_us)
        outcome, run = self._session.execute(
            self._flow,
            self._params,
            date_us=occurrence.logical_us,
            interval_us=(occurrence.start_us, occurrence.end_us),
            logical_key=key,
            tags=self._tags,
        )
        if not outcome.is_executed:
            _say(f"{run.name} was started already")
        else:
            _say_end(outcome, run)
        return 1

    def _coming(self) -> tuple[int, Occurrence] | None:
        """Return when the flow fires next, and for what; None if it never does again."""
        now_us = self._clock.now_us()
        if self._timetable is not None:
            found = self._timetable.next(now_us)
            return None if found is None else (self._timetable.fires_us(found.tick_us), found)
        dag = self._flow.dag
        base_us = max(now_us, (dag.definition.start_at_us or 0) - 1)
        moments = moments_after(
            dag.timetable, base_us, timezone=self._timezone, now_us=now_us, count=1, has_all=True
        )
        known = KnownMoments(dag.definition, moments)
        return None if known.first is None else (known.fires_us(known.first.tick_us), known.first)

    def _wait_until(self, at_us: int) -> None:
        """Return when a moment has come, also where the machine's clock is set meanwhile."""
        clock = self._clock
        if isinstance(clock, VirtualClock):
            clock.advance_to(at_us)
            return
        while (left_us := at_us - clock.now_us()) > 0:
            time.sleep(min(left_us / 1e6, self._pause_s))
            self._take_up_all()

    def _take_up_all(self) -> int:
        """Execute the runs that wait for whoever serves the flow, and return how many."""
        which = RunFilter(flow=self._flow.name, states=_LIVE)
        began_s = self._clock.monotonic_s()
        found, _ = self._store.runs(which, limit=MAX_LOOK)
        wanted = [row for row in reversed(found) if self._is_to_be_taken(row)]
        # Many suspended runs are not looked at all the time.
        self._pause_s = max(LOOK_EVERY_S, PAUSE_PER_LOOK * (self._clock.monotonic_s() - began_s))
        return sum(self._take_up(row) for row in wanted)

    def _is_to_be_taken(self, row: RunRow) -> bool:
        if row.home != SERVICE or row.project != self._project.name or row.id in self._refused:
            return False
        if row.owner:
            owner = self._store.coordinator(row.owner)
            if owner is not None and owner.is_alive:
                return False
        return not self._waits_for_people(row)

    def _waits_for_people(self, row: RunRow) -> bool:
        """Whether a run waits for a person who has not answered, and may wait on."""
        waiting = self._store.waiting(row.id)
        asked = [each for each in waiting if _asks(each.wait)]
        if not asked or self._store.has_requests(row.id):
            return False
        now_us = self._clock.now_us()
        return not any(each.due_us and each.due_us <= now_us for each in asked)

    def _take_up(self, row: RunRow) -> int:
        try:
            outcome, run = self._session.take_up(self._flow, row)
        except RunOwned:
            return 0
        except OstinatoError as error:
            self._refused.add(row.id)
            _say(f"{row.flow}#{row.number} cannot be executed: {error}")
            return 0
        _say_end(outcome, run)
        return 1


def _asks(wait: bytes | None) -> bool:
    deferral = decode_wait(wait)
    return isinstance(deferral, Deferral) and deferral.request is not None


def _say_end(outcome: Outcome, run: Run) -> None:
    _say(f"{run.name} {run.state}" + (f": {run.reason}" if run.reason else ""))
    if outcome.error is not None and not isinstance(outcome.error, Exception):
        # Ctrl-C in the middle of the body.
        raise outcome.error


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _moment(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6).astimezone().strftime("%Y-%m-%d %H:%M:%S")
