"""This module drives backfills: it makes their runs, as many at a time as may be live."""

import logging
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from ostinato.client.backfills import is_to_be_run, key_of
from ostinato.client.flows import FlowDirectory
from ostinato.client.local import LocalClient
from ostinato.client.parameters import validate_params
from ostinato.client.service_runs import ServiceRuns
from ostinato.clock import Clock, SystemClock
from ostinato.errors import OstinatoError, ParameterError, StoreError, UnknownFlow, UsageError
from ostinato.model.backfill import (
    BackfillDateRow,
    BackfillRow,
    BackfillState,
    DateState,
    Reprocess,
    Settled,
)
from ostinato.model.flow import FlowDefinition
from ostinato.model.health import PartHealth
from ostinato.model.identity import RunId
from ostinato.model.state import RunState
from ostinato.project.discovery import Project

logger = logging.getLogger(__name__)

#: What ``trigger`` says of the runs.
TRIGGER = "backfill"

#: Runs of backfills are claimed after the others of their flow: they are late anyway.
PRIORITY = -1

#: Seconds between two looks: after one that changed something; at most while a backfill is live,
#: each time twice as long; and while none is, when whoever makes one wakes this.
BUSY_S, LIVE_S, IDLE_S = 0.05, 0.5, 10.0

#: Seconds until the next look once the store has failed.
FAILED_S = 5.0

#: Dates that are looked at, at a time.
_PAGE = 500

#: What becomes of a date by the state of its run; of one whose run is gone it failed.
_OUTCOMES = {
    int(RunState.SUCCEEDED): DateState.SUCCEEDED,
    int(RunState.FAILED): DateState.FAILED,
    int(RunState.CANCELLED): DateState.CANCELLED,
}


class BackfillDriver:
    """Drive the backfills of a project; a part of a scheduler.

    What it writes can be written twice: the key of a run is made of its backfill and date. So a
    second driver, or one that is killed anywhere, does no harm.

    Args:
        client: Where backfills and runs are.
        project: Whose.
        flows: Those that are served. New runs are of their versions; of a flow that is not
            served, of the version with which the backfill began.
        clock: The time.
        is_active: Whether it is this one that drives them, of several.
    """

    name = "backfills"

    def __init__(
        self,
        client: LocalClient,
        project: Project,
        flows: FlowDirectory,
        *,
        clock: Clock | None = None,
        is_active: Callable[[], bool] = lambda: True,
    ) -> None:
        self._client = client
        self._backfills = client.backfills
        self._project = project
        self._flows = flows
        self._clock = clock or SystemClock()
        self._is_active = is_active
        self._wake = threading.Event()
        self._is_stopped = False
        #: What the last look failed with, for health; empty if it did not.
        self._problem = ""
        self._is_live = False
        self._pause_s = BUSY_S
        self._runs = ServiceRuns(project)
        #: Runs that were asked to end, by the backfill that is cancelled.
        self._asked: dict[int, set[int]] = {}
        #: Why a backfill cannot go on, which was said.
        self._refused: dict[int, str] = {}

    # The part

    def serve(self) -> None:
        """Look after the backfills until it is stopped."""
        while not self._is_stopped:
            self._wake.wait(self._look())
            self._wake.clear()

    def stop(self) -> None:
        """Have ``serve`` return soon."""
        self._is_stopped = True
        self._wake.set()

    def drain(self) -> None:
        """Have ``serve`` return soon: nothing is ever half done."""
        self.stop()

    def wake(self) -> None:
        """Have it look at once; safe in all threads."""
        self._wake.set()

    def health(self) -> PartHealth:
        """Return how it is."""
        return PartHealth(is_ready=not self._problem, detail=self._problem)

    def _look(self) -> float:
        """Look once, and return the seconds until the next look."""
        try:
            if not self._is_active():
                return IDLE_S
            is_moved = self.turn()
        except StoreError as error:
            if not self._problem:
                logger.error("backfills wait for the store: %s", error)
            self._problem = str(error)
            return FAILED_S
        self._problem = ""
        if not self._is_live:
            return IDLE_S
        self._pause_s = BUSY_S if is_moved else min(2 * self._pause_s, LIVE_S)
        return self._pause_s

    # Driving

    def turn(self) -> bool:
        """Take all backfills as far as they can go, and return whether anything has changed.

        Raises:
            StoreError: What was written until then stays.
        """
        rows = self._backfills.live(self._project.name)
        self._is_live = bool(rows)
        live = {row.id for row in rows}
        for known in (self._asked, self._refused):
            for gone in known.keys() - live:
                del known[gone]
        # Each is taken on, also behind one that moves.
        return sum(self._advance(row) for row in rows) > 0

    def _advance(self, row: BackfillRow) -> bool:
        is_settled = self._settle_ended(row)
        match BackfillState(row.state):
            case BackfillState.RUNNING:
                is_moved = self._make_runs(row)
            case BackfillState.CANCELLING:
                is_moved = self._cancel_runs(row)
            case _:
                is_moved = False
        return is_moved or is_settled or self._end(row)

    def _settle_ended(self, row: BackfillRow) -> bool:
        ended = self._backfills.ended(row)
        active = DateState.ACTIVE
        settled = [
            Settled(position, active, _OUTCOMES.get(state, DateState.FAILED), run_id)
            for position, state, run_id in ended
        ]
        self._backfills.settle(row, settled)
        return bool(settled)

    def _make_runs(self, row: BackfillRow) -> bool:
        active = len(self._backfills.some_dates(row, DateState.ACTIVE, row.max_active))
        room = row.max_active - active
        if room <= 0:
            return False
        waiting = self._backfills.some_dates(row, DateState.WAITING, max(room, _PAGE))
        if not waiting:
            return False
        settled, chosen = self._choose(row, waiting, room)
        try:
            created = self._create_runs(row, chosen) if chosen else []
        except (ParameterError, UsageError) as error:
            self._refuse(row, error)
            return False
        settled += [
            Settled(date.position, DateState.WAITING, DateState.ACTIVE, run_id)
            for date, run_id in zip(chosen, created, strict=True)
        ]
        self._backfills.settle(row, settled)
        return True

    def _choose(
        self, row: BackfillRow, waiting: list[BackfillDateRow], room: int
    ) -> tuple[list[Settled], list[BackfillDateRow]]:
        """Return what is skipped or has its run already, and what is to be run."""
        settled: list[Settled] = []
        chosen: list[BackfillDateRow] = []
        reprocess = Reprocess(row.reprocess)
        for date in waiting:
            if len(chosen) >= room:
                break
            known = self._backfills.newest_run(row, date.date_us)
            is_own = known is not None and known.logical_key == key_of(row, date)
            # One that is its own was made just before a driver was killed. What is retried is
            # run whatever there is.
            if is_own or date.tries or is_to_be_run(reprocess, known):
                chosen.append(date)
            elif known is not None:
                skipped = Settled(date.position, DateState.WAITING, DateState.SKIPPED, known.id)
                settled.append(skipped)
        return settled, chosen

    def _create_runs(self, row: BackfillRow, dates: list[BackfillDateRow]) -> list[RunId]:
        params = msgspec.json.decode(row.params, type=dict[str, Any])
        flow, version = self._definition(row, params)
        new = [
            self._runs.new(
                flow,
                version,
                params,
                trigger=TRIGGER,
                date_us=date.date_us,
                interval_us=(date.interval_start_us, date.interval_end_us),
                tags=(f"backfill:{row.id}",),
                logical_key=key_of(row, date),
                priority=PRIORITY,
            )
            for date in dates
        ]
        return [run.id for run in self._client.create_runs(new)]

    def _definition(self, row: BackfillRow, params: dict[str, Any]) -> tuple[FlowDefinition, str]:
        """Return the definition in force and its version, or the backfill's own ones."""
        try:
            served = self._flows.find(row.flow)
            validate_params(served.definition, params)
        except (UnknownFlow, ParameterError) as error:
            logger.debug("backfill %s keeps its own version: %s", row.id, error)
        else:
            return served.definition, served.version
        flow = self._client.flow_at(row.flow, row.manifest_version)
        if flow is None:
            raise UsageError(f"the definitions of flow {row.flow!r} are no longer in the store")
        return flow, row.manifest_version

    def _refuse(self, row: BackfillRow, error: OstinatoError) -> None:
        if self._refused.get(row.id) != str(error):
            self._refused[row.id] = str(error)
            logger.error("backfill %s cannot go on: %s", row.id, error)

    def _cancel_runs(self, row: BackfillRow) -> bool:
        asked = self._asked.setdefault(row.id, set())
        active = self._backfills.some_dates(row, DateState.ACTIVE, _PAGE)
        for date in active:
            if date.run_id in asked:
                continue
            asked.add(date.run_id)
            try:
                self._client.cancel(RunId(date.run_id), f"backfill {row.id}")
            except OstinatoError as error:
                # It has ended by itself, which the next look sees.
                logger.debug("run %s of backfill %s: %s", date.run_id, row.id, error)
        return False

    def _end(self, row: BackfillRow) -> bool:
        """End a backfill of which nothing is left."""
        counts = self._backfills.progress(row).counts
        if DateState.WAITING in counts or DateState.ACTIVE in counts:
            return False
        if row.state == BackfillState.PAUSED:
            return False
        if row.state == BackfillState.CANCELLING:
            state = BackfillState.CANCELLED
        elif DateState.FAILED in counts or DateState.CANCELLED in counts:
            state = BackfillState.FAILED
        else:
            state = BackfillState.SUCCEEDED
        is_ended = self._backfills.end(row, state)
        if is_ended:
            logger.info("backfill %s of %r %s", row.id, row.flow, state)
        return is_ended
