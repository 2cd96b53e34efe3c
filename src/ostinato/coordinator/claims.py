"""This module takes the runs that wait for a worker."""

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Protocol

from ostinato.clock import Clock
from ostinato.coordinator.patience import PASSING
from ostinato.coordinator.versions import Never, Serving, Versions
from ostinato.store.protocol import Store
from ostinato.store.records import Claimable, CoordinatorLease, RunRequest, RunRow

logger = logging.getLogger(__name__)

#: Runs that are claimed at a time at most, and for each attempt that could begin: others get some
#: too, and who dies leaves few to take over.
CLAIM_LIMIT, RUNS_PER_CREDIT = 100, 4

#: Flows and versions whose runs are claimed at a time, of those that wait: the first of them.
PAIRS_AT_ONCE = 500

#: Versions whose definitions are read at one look.
READ_AT_ONCE = 20

#: Looks at what waits take at most this share of the time: a long backlog, which takes long to look
#: through, keeps nothing waiting that runs.
LOOK_SHARE = 0.2

#: Runs that a worker drives at a time, and their tasks; those that wait hold memory alone.
MAX_LIVE_RUNS = 2_000
MAX_LIVE_TASKS = 200_000

#: Seconds between two looks at who is gone, which others may not have told of.
REAP_EVERY_S = 2.0

#: Seconds for which a worker must have been dead before its runs are taken over: what it has
#: started is killed by its code hosts as soon as they notice, which on a busy machine takes a
#: moment, and two must never execute the same.
SURE_S = 0.5

#: Seconds between two looks for alerts that were held back and are due, whoever made them.
ALERTS_EVERY_S = 10.0

#: Seconds after which a run is refused for which no worker has code, while there are others; and
#: while there are none: files may be on their way.
REFUSE_AFTER_S = 60.0
REFUSE_ALONE_AFTER_S = 2.0


class Taker(Protocol):
    """Take up runs that were claimed; a worker's tenure does."""

    def take(self, row: RunRow, serving: Serving) -> None:
        """Drive a run."""
        ...

    def refuse(self, row: RunRow, reason: str) -> None:
        """Fail a run that can never go on."""
        ...

    def retry(self, request: RunRequest) -> None:
        """Execute parts of an ended run again, or take note that it cannot be."""
        ...

    def room(self) -> int:
        """Return how many runs it makes sense to claim; 0 while there is enough to execute."""
        ...

    def take_alerts(self) -> None:
        """Send the alerts that are due and that nobody sends."""
        ...


class Claims:
    """Look for runs that wait, and claim those for which there is code; a turn of a loop.

    Args:
        store: Where they are.
        lease: Of the worker.
        project: Whose runs.
        versions: Knows by which code a run is executed.
        taker: Takes them up.
        clock: Tells when to look.
        flows: The only ones that are taken; empty for all.
        live: Returns how many runs are driven, and how many tasks they have.
    """

    def __init__(
        self,
        store: Store,
        lease: CoordinatorLease,
        project: str,
        versions: Versions,
        taker: Taker,
        *,
        clock: Clock,
        flows: Collection[str],
        live: Callable[[], tuple[int, int]],
    ) -> None:
        self._store = store
        self._lease = lease
        self._project = project
        self._versions = versions
        self._taker = taker
        self._clock = clock
        self._flows = frozenset(flows)
        self._live = live
        self._is_due = True
        self._is_open = True
        self._reap_at_s = self._alerts_at_s = self._look_at_s = 0.0
        #: When it had its last turn, in monotonic seconds.
        self.turned_s = clock.monotonic_s()
        #: Since when there is no code for runs of a flow and version.
        self._unserved_s: dict[tuple[str, str], float] = {}

    def look(self) -> None:
        """Have the next turn look: runs may wait."""
        self._is_due = True

    def close(self) -> None:
        """Claim nothing more."""
        self._is_open = False

    def next_turn_s(self) -> float | None:
        """Return when to look again: at once if runs wait, soon if somebody has just died."""
        if not self._is_open or not self._room():
            return None
        if self._is_due:
            return max(self._look_at_s - self._clock.monotonic_s(), 0.0)
        if self._store.has_dying:
            return max(self._reap_at_s - self._clock.monotonic_s(), 0.0)
        return None

    def take_turn(self) -> None:
        """Claim what waits, if it is time to look and there is room."""
        self.turned_s = self._clock.monotonic_s()
        if not self._is_open or not (room := self._room()):
            return
        now_s = self._clock.monotonic_s()
        is_due = self._is_due and now_s >= self._look_at_s
        if not is_due and not (self._store.has_dying and now_s >= self._reap_at_s):
            return
        self._is_due = False
        if now_s >= self._reap_at_s:
            self._reap_at_s = now_s + REAP_EVERY_S
            with self._bearing():
                self._versions.announce()
                gone = self._store.reap(SURE_S)
                if self._store.has_dying:
                    self._reap_at_s = now_s + SURE_S
                if gone:
                    logger.warning("%d coordinators are gone; their runs are taken over", gone)
        if now_s >= self._alerts_at_s:
            self._alerts_at_s = now_s + ALERTS_EVERY_S
            self._taker.take_alerts()
        for request in self._store.requests_of_ended(self._project):
            self._taker.retry(request)
        waiting = [
            each
            for each in self._store.claimable(self._project)
            if not self._flows or each.flow in self._flows
        ]
        rows = self._claim(waiting, room, now_s) if waiting else []
        took_s = self._clock.monotonic_s() - now_s
        self._look_at_s = now_s + took_s / LOOK_SHARE
        for row, serving in rows:
            if isinstance(serving, Never):
                self._taker.refuse(row, f"code_unavailable: {serving.reason}")
            else:
                self._taker.take(row, serving)

    @contextmanager
    def _bearing(self) -> Iterator[None]:
        """Go on where the store takes nothing at the moment: the next look is as good."""
        try:
            yield
        except PASSING as error:
            logger.warning("no runs can be claimed: %s", error)

    def _room(self) -> int:
        """Return how many runs may be claimed now."""
        runs, tasks = self._live()
        if runs >= MAX_LIVE_RUNS or tasks >= MAX_LIVE_TASKS:
            return 0
        return min(self._taker.room(), CLAIM_LIMIT)

    def _claim(
        self, waiting: list[Claimable], room: int, now_s: float
    ) -> list[tuple[RunRow, Serving | Never]]:
        """Claim runs that wait, and return them with what executes them."""
        found = self._servable(waiting, now_s)
        if not found:
            return []
        max_active = {
            each.flow.name: each.flow.max_active_runs
            for each in found.values()
            if isinstance(each, Serving) and each.flow.max_active_runs
        }
        rows: list[RunRow] = []
        with self._bearing():
            rows = self._store.claim_runs(
                self._lease, self._project, list(found), limit=room, max_active=max_active
            )
        # More may wait; those whose flow is full are looked at when a run has ended.
        self._is_due |= len(rows) == room
        return [(row, found[row.flow, row.manifest_version]) for row in rows]

    def _servable(
        self, waiting: list[Claimable], now_s: float
    ) -> dict[tuple[str, str], Serving | Never]:
        """Return what is to become of runs that wait, by flow and version; the first of them."""
        found: dict[tuple[str, str], Serving | Never] = {}
        self._versions.look()
        to_read = READ_AT_ONCE
        for flow, version, _ in waiting:
            if not self._versions.is_read(version):
                if not to_read:
                    self._is_due = True
                    continue
                to_read -= 1
            serving = self._versions.serving(flow, version)
            if not isinstance(serving, Never):
                self._unserved_s.pop((flow, version), None)
            elif not self._is_given_up((flow, version), now_s):
                continue
            if serving is not None:
                found[flow, version] = serving
                if len(found) == PAIRS_AT_ONCE:
                    break
        return found

    def _is_given_up(self, pair: tuple[str, str], now_s: float) -> bool:
        """Whether nobody will ever have code for runs of a flow and version."""
        waited_s = now_s - self._unserved_s.setdefault(pair, now_s)
        if waited_s >= REFUSE_AFTER_S:
            return True
        return waited_s >= REFUSE_ALONE_AFTER_S and not any(
            each.kind == "worker" and each.id != self._lease.id and each.is_alive
            for each in self._store.coordinators()
        )
