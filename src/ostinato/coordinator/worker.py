"""This module is the worker: the part of a service that drives runs for as long as it lives."""

import logging
import threading
from collections.abc import Collection, Iterable

from ostinato.clock import SystemClock
from ostinato.coordinator.run_news import OnRun
from ostinato.coordinator.tenure import Tenure
from ostinato.errors import InternalError, OstinatoError
from ostinato.executors.served_code import CodeChange, ServedCode
from ostinato.model.health import PartHealth
from ostinato.model.measure import Labels, Measure, gauge
from ostinato.project.discovery import Project
from ostinato.store.protocol import Store

logger = logging.getLogger(__name__)

#: Seconds before a worker that lost its lease or its store registers anew; each failure doubles
#: them, up to the last.
PAUSES_S = (0.2, 0.4, 0.8, 1.6, 3.2, 5.0)


#: Seconds after which a loop hangs that has had no turn: it has one every two seconds.
SILENT_S = 60.0


class Worker:
    """Claim runs of the service and drive them, until it is told to end; a part of a service.

    A store that is out of reach, and a code host that cannot be started again, cost it its lease
    and what it executes, not its life: it registers anew, and the runs come back as any others
    that nobody drives.

    Args:
        project: Whose runs.
        store: Where they are recorded.
        code: By which they are executed; runs of flows that are not in force wait.
        title: What people call it; by default its host and number.
        flows: The only ones whose runs it takes; empty for all.
        max_children: Children at a time; 0 for the project's setting.
        on_run: Told of each run that is taken up, and of its end.
    """

    name = "worker"

    def __init__(
        self,
        project: Project,
        store: Store,
        code: ServedCode,
        *,
        title: str = "",
        flows: Collection[str] = (),
        max_children: int = 0,
        on_run: OnRun | None = None,
    ) -> None:
        self._on_run = on_run
        self._project = project
        self._store = store
        self._code = code
        self._title = title
        self._flows = flows
        self._max_children = max_children
        self._tenure: Tenure | None = None
        self._is_draining = self._is_stopped = False
        #: Set when it is to end, so that pauses end too.
        self._ending = threading.Event()
        self._giving_up = threading.Event()
        self._trouble = ""
        self._clock = SystemClock()
        #: When each version of the code was last loaded.
        self._loaded_us: dict[str, int] = {}
        for flow in code.flows.values():
            self._loaded_us[flow.version] = self._clock.now_us()
        code.subscribe(self._note_change)
        store.listen(self.look)

    def serve(self) -> None:
        """Drive runs until it is drained or stopped."""
        failures = 0
        while not self._is_over():
            began_s = self._clock.monotonic_s()
            try:
                self._serve_once()
            except InternalError:
                raise
            except OstinatoError as error:
                if self._clock.monotonic_s() - began_s > PAUSES_S[-1]:
                    failures = 0
                if str(error) != self._trouble or not failures:
                    logger.warning("the worker begins anew: %s", error)
                self._trouble = str(error)
                self._ending.wait(PAUSES_S[min(failures, len(PAUSES_S) - 1)])
                failures += 1

    def look(self) -> None:
        """Look for runs that wait; safe in all threads."""
        tenure = self._tenure
        if tenure is not None:
            tenure.look()

    def _note_change(self, change: CodeChange) -> None:
        self._loaded_us[change.version] = self._clock.now_us()
        self.look()

    def drain(self) -> None:
        """Finish attempts, begin none, and end ``serve``."""
        self._is_draining = True
        self._ending.set()
        tenure = self._tenure
        if tenure is not None:
            tenure.drain()

    def stop(self) -> None:
        """End ``serve`` soon; what it drives is left to others."""
        self._is_stopped = True
        self._ending.set()
        self._giving_up.set()
        tenure = self._tenure
        if tenure is not None:
            tenure.stop()

    def health(self) -> PartHealth:
        """Return how it is."""
        if self._trouble:
            return PartHealth(is_ready=False, detail=self._trouble)
        if self._is_draining:
            return PartHealth(is_ready=False, detail="it is draining")
        tenure = self._tenure
        if tenure is None:
            return PartHealth(is_ready=False, detail="it has not registered")
        trouble = tenure.patience.trouble
        silent_s = self._clock.monotonic_s() - tenure.turned_s
        if silent_s > SILENT_S and not trouble:
            detail = f"its loop has had no turn for {silent_s:.0f} s"
            return PartHealth(is_live=False, is_ready=False, detail=detail)
        return PartHealth(is_ready=not trouble, detail=trouble)

    @property
    def live_runs(self) -> int:
        """How many runs it drives."""
        tenure = self._tenure
        return 0 if tenure is None else tenure.live_runs

    def measures(self) -> Iterable[Measure]:
        """Return what it drives, and what of the pools it uses."""
        tenure = self._tenure
        pools = {} if tenure is None else tenure.limits.pool_use()
        yield gauge("live_runs", "Runs that this worker drives.", {(): self.live_runs})
        used: dict[Labels, float] = {}
        slots: dict[Labels, float] = {}
        for name, numbers in pools.items():
            used[("pool", name),], slots[("pool", name),] = numbers
        yield gauge("pool_slots_used", "Slots of pools that this worker uses.", used)
        yield gauge("pool_slots", "Slots that pools have in all.", slots)

    def _is_over(self) -> bool:
        return self._is_stopped or self._is_draining

    def _serve_once(self) -> None:
        with Tenure(
            self._project,
            self._store,
            self._code,
            name=self._title,
            flows=self._flows,
            max_children=self._max_children,
            on_run=self._on_run,
            loaded_us=self._loaded_us,
            giving_up=self._giving_up,
        ) as tenure:
            self._tenure = tenure
            self._trouble = ""
            try:
                # It may have been told to end while it registered.
                if self._is_stopped:
                    tenure.stop()
                elif self._is_draining:
                    tenure.drain()
                tenure.serve()
            finally:
                self._tenure = None
