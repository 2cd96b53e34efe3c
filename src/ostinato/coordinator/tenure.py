"""This module is what a worker is while its lease lasts: a coordinator that claims runs."""

import logging
import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from ostinato.client.new_runs import SERVICE, run_to_create
from ostinato.client.parameters import validate_params
from ostinato.coordinator.claims import CLAIM_LIMIT, RUNS_PER_CREDIT, Claims
from ostinato.coordinator.fence import Fence
from ostinato.coordinator.limits import Executors
from ostinato.coordinator.live_run import LiveRun
from ostinato.coordinator.nested_runs import NESTED
from ostinato.coordinator.outside import outside_values
from ostinato.coordinator.owner import Owner
from ostinato.coordinator.patience import Patience
from ostinato.coordinator.recovery import new_run, restore_run
from ostinato.coordinator.registry import Registry
from ostinato.coordinator.retrying import Choice, chosen_of
from ostinato.coordinator.run_news import OnRun, RunNews, end_of
from ostinato.coordinator.step_resets import archived, removed
from ostinato.coordinator.triggered_runs import Asked, target_of
from ostinato.coordinator.versions import Code, Place, Serving, Versions
from ostinato.engine import events as ev
from ostinato.errors import (
    CodeUnavailable,
    OstinatoError,
    OwnershipLost,
    RunNotFound,
    RunOwned,
    StoreError,
)
from ostinato.executors.code_host import CodeHost
from ostinato.executors.process import ProcessExecutor
from ostinato.executors.protocol import Executor
from ostinato.executors.step_children import StepChildren
from ostinato.executors.trigger_host import TriggerHost
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import RunId
from ostinato.model.layout import TRIGGER_LOG
from ostinato.model.state import RunState
from ostinato.project.discovery import Project
from ostinato.store.protocol import Store
from ostinato.store.records import EventRow, RunRequest, RunRow, RunUpdate

logger = logging.getLogger(__name__)


class Tenure(Owner):
    """Drive runs of the service until the worker ends or its lease is lost.

    Args:
        project: Whose runs.
        store: Where they are recorded.
        code: The code by which they are executed.
        name: What people call the worker.
        flows: The only ones whose runs it takes; empty for all.
        max_children: Children at a time; 0 for the project's setting.
        on_run: Told of each run that is taken up, and of its end.
        loaded_us: When each version of the code was last loaded.
        giving_up: Set when it is to wait for nothing any more.
    """

    kind = "worker"

    def __init__(
        self,
        project: Project,
        store: Store,
        code: Code,
        *,
        name: str,
        flows: Collection[str],
        max_children: int,
        loaded_us: Mapping[str, int],
        giving_up: threading.Event,
        on_run: OnRun | None = None,
    ) -> None:
        super().__init__(project, store, name=name)
        self._on_run = on_run
        #: Bears a store that is full, locked or slow.
        self.patience = Patience(self._clock, giving_up)
        self._code_in_force = code
        #: Tasks of the runs that it drives.
        self._tasks = 0
        self._max_children = max_children or project.settings.max_children
        self._versions = Versions(
            code,
            store,
            self._lease,
            project.name,
            clock=self._clock,
            loaded_us=loaded_us,
            make=self._make_place,
        )
        self._closing.callback(self._versions.close)
        self._closing.callback(self._withdraw)
        self._claims = Claims(
            store,
            self._lease,
            project.name,
            self._versions,
            self,
            clock=self._clock,
            flows=flows,
            live=lambda: (self._coordinator.live_runs, self._tasks),
        )
        self._fence = Fence(store, self._lease, self._clock, lambda: self._versions.hosts)
        registry = Registry()
        registry.turns += [self._claims, self._fence]
        registry.looked.append(self._claims.look)
        registry.looked.append(self._retire)
        registry.run_ended.append(self._note_end)
        if on_run is not None:
            registry.run_ended.append(lambda run: on_run(end_of(run)))
        log = str(project.logs_root / TRIGGER_LOG)
        self._compose(
            {},
            TriggerHost(lambda peer: self._any_host().fork_triggers(peer, log), self._answer),
            for_notices=self._executor_for,
            default=project.settings.executor,
            aliases={},
            registry=registry,
            patience=self.patience,
        )

    # Its life

    def serve(self) -> None:
        """Drive runs until it is drained or stopped.

        Raises:
            StoreError: The store is out of reach.
            OwnershipLost: Others have taken over.
        """
        self._coordinator.serve()

    def drain(self) -> None:
        """Finish attempts, begin none, and end; safe in all threads and signal handlers."""
        self._coordinator.ask(self._drain)

    def stop(self) -> None:
        """End at the next turn; safe in all threads and signal handlers."""
        self._coordinator.ask(self._coordinator.stop)

    def look(self) -> None:
        """Look for runs that wait; safe in all threads."""
        self._coordinator.look()

    @property
    def turned_s(self) -> float:
        """When its loop had its last turn, in monotonic seconds."""
        return self._claims.turned_s

    @property
    def live_runs(self) -> int:
        """How many runs it drives."""
        return self._coordinator.live_runs

    def _drain(self) -> None:
        self._claims.close()
        self._withdraw()
        self._coordinator.drain()

    def _withdraw(self) -> None:
        # Where the store is lost, so is the lease, which says the same.
        with suppress(StoreError):
            self._versions.withdraw()

    # What is claimed

    def room(self) -> int:
        """Return how many runs it makes sense to claim; 0 while there is enough to execute."""
        if not self.patience.is_willing:
            return 0
        free = self._coordinator.executors.credits()
        return CLAIM_LIMIT if free is None else free * RUNS_PER_CREDIT

    def take(self, row: RunRow, serving: Serving) -> None:
        """Drive a run that was claimed."""
        try:
            places = self._open_places(serving.version)
        except CodeUnavailable:
            # It was loaded a moment ago: whoever looks next finds by what code it goes on.
            self._store.release_run(row.id, self._lease)
            self._claims.look()
            return
        try:
            self._drive(row, serving, places)
        except (StoreError, OwnershipLost):
            raise
        except (OstinatoError, msgspec.MsgspecError) as error:
            # A pool that is gone, parameters that no longer fit: it would fail again and again.
            self.refuse(row, f"it cannot be executed: {error}")

    def _drive(self, row: RunRow, serving: Serving, places: Executors) -> None:
        flow = serving.flow
        if row.state is RunState.QUEUED:
            validate_params(flow, msgspec.json.decode(row.params))
        now_us = self._clock.now_us()
        lanes = self._coordinator.lanes(flow, "", places)
        info = self._info(row, flow, row.started_us or now_us)
        if row.state is RunState.QUEUED and not row.generation:
            outside = outside_values(self._store, flow, row.id)
            run = new_run(self._store, row, flow, info, lanes=lanes, outside=outside)
            run.places = places
            self._adopt_now(run, [], ev.RunStarted(now_us))
        else:
            run, commands = restore_run(self._store, row, flow, info, lanes=lanes, now_us=now_us)
            run.places = places
            first = ev.RunStarted(now_us) if row.state is RunState.QUEUED else ev.Recovered(now_us)
            self._adopt_now(run, commands, first)
        self._tell_of(row)
        if serving.is_changed:
            self._coordinator.record(run, ev.CodeChanged(now_us, serving.version))

    def _tell_of(self, row: RunRow) -> None:
        if self._on_run is not None:
            now_us = self._clock.now_us()
            self._on_run(RunNews(row, RunState.RUNNING, now_us, row.started_us))

    def refuse(self, row: RunRow, reason: str) -> None:
        """Fail a run that can never go on; nothing of it is executed any more."""
        logger.warning("%s#%d cannot go on: %s", row.flow, row.number, reason)
        try:
            run, _ = self._restore_idle(row)
        except (RunNotFound, msgspec.MsgspecError):
            self._fail_unknown(row, reason)
            return
        first = None if row.state is RunState.QUEUED else ev.Recovered(self._clock.now_us())
        self._adopt_now(run, [], first)
        self._coordinator.refuse(row.id, reason)

    def _fail_unknown(self, row: RunRow, reason: str) -> None:
        """Fail a run of whose tasks nothing is known any more."""
        now_us = self._clock.now_us()
        batch = self._coordinator.batch
        ended = ev.RunEnded(now_us, RunState.FAILED.label, reason)
        batch.events.append(EventRow(row.id, "", "", now_us, ended))
        state = (RunState.FAILED, reason, row.started_us or now_us, now_us, row.generation)
        batch.runs.append(RunUpdate(*state, row.id, row.name))

    def retry(self, request: RunRequest) -> None:
        """Execute parts of an ended run again, by the code in force."""
        row = self._store.run(RunId(request.run_id))
        in_force = None if row is None else self._code_in_force.flows.get(row.flow)
        if row is None or in_force is None:
            # Its file may be mended.
            return
        try:
            row = self._store.take_run(row.id, self._lease)
        except RunOwned:
            return
        try:
            places = self._open_places(in_force.version)
        except CodeUnavailable:
            # Another load is about to bring it back.
            self._store.release_run(row.id, self._lease)
            return
        batch = self._coordinator.batch
        batch.handled.append(request.id)
        try:
            flow = in_force.definition
            lanes = self._coordinator.lanes(flow, "", places)
            info = self._info(row, flow, row.started_us)
            now_us = self._clock.now_us()
            run, commands = restore_run(self._store, row, flow, info, lanes=lanes, now_us=now_us)
            choice = msgspec.json.decode(request.payload or b"[]", type=Choice)
            chosen, steps = chosen_of(self._store, run, choice)
        except (StoreError, OwnershipLost):
            raise
        except (OstinatoError, msgspec.MsgspecError) as error:
            logger.warning("%s#%d is not run again: %s", row.flow, row.number, error)
            self._store.release_run(row.id, self._lease)
            return
        self._store.repin_run(row.id, in_force.version, self._lease)
        run.places = places
        batch.attempts.extend(archived(step) for step in steps)
        batch.task_runs.extend(removed(step) for step in steps)
        cleared = ev.TaskRunsCleared(now_us, chosen.keys, request.by, chosen.alone)
        self._adopt_now(run, commands, cleared)
        self._tell_of(row)

    def take_alerts(self) -> None:
        """Send the alerts that are due and that nobody sends, and execute such callbacks."""
        self._coordinator.take_alerts()
        self._versions.look()
        for run_id in self._store.runs_with_callbacks(self._project.name):
            row = self._store.run(run_id)
            serving = row and self._versions.serving(row.flow, row.manifest_version)
            if row is None or not isinstance(serving, Serving):
                continue
            places = self._places_of(serving.version)
            if places is not None:
                run, _ = self._restore_idle(row)
                run.places = places
                self._coordinator.finish(run)

    def _adopt_now(self, run: LiveRun, commands: list[Any], first: ev.Input | None) -> None:
        self._tasks += len(run.plan.nodes)
        self._coordinator.adopt(run, commands, first)

    def _note_end(self, run: LiveRun) -> None:
        # Subflows come another way: what is left of them is set right when nothing is driven.
        live = self._coordinator.live_runs > 1
        self._tasks = max(self._tasks - len(run.plan.nodes), 0) if live else 0
        if run.plan.flow.max_active_runs or any(tag.startswith("from:") for tag in run.row.tags):
            # Another one may begin, or is waited for, here or elsewhere.
            self._claims.look()
            self._store.wake_workers()

    def _retire(self) -> None:
        """End the executors of code that is no longer needed."""
        if self._versions.are_many:
            live = self._coordinator.runs
            needed = {run.places.steps for run in live if run.places is not None}
            self._versions.retire(needed, self._coordinator.executors)

    # Where runs execute

    def _make_place(self, host: CodeHost) -> Place:
        self._fence.beat()
        processes = ProcessExecutor(
            host,
            self._answer,
            max_children=self._max_children,
            busy_elsewhere=lambda: self._versions.busy(besides=processes),
        )
        return Place(host, processes, StepChildren(processes))

    def _places_of(self, version: str) -> Executors | None:
        default = self._project.settings.executor
        return self._versions.places(version, default, self._coordinator.executors)

    def _open_places(self, version: str) -> Executors:
        places = self._places_of(version)
        if places is None:
            raise CodeUnavailable("its code has gone this very moment")
        return places

    def _places(self, flow: str, version: str, parent: RunRow | None) -> Executors | None:
        run = None if parent is None else self._coordinator.live_run(parent.id)
        if run is not None and run.places is not None:
            # A subflow executes in the body that calls it.
            return run.places
        self._versions.look()
        serving = self._versions.serving(flow, version)
        if not isinstance(serving, Serving):
            raise CodeUnavailable(f"the code of flow {flow!r} is not here")
        return self._open_places(serving.version)

    def _executor_for(self, run: LiveRun | None) -> Executor | None:
        found = self._versions.executor(None if run is None else run.places)
        if found is None:
            # There is none yet, or that of the run's code has ended with it.
            for in_force in self._code_in_force.flows.values():
                # One whose host is just started again has none for a moment.
                if self._places_of(in_force.version) is not None:
                    break
            found = self._versions.executor(None)
        return found

    def _any_host(self) -> CodeHost:
        """Return the newest host: triggers of all versions share a process."""
        hosts = [in_force.host for in_force in self._code_in_force.flows.values()]
        if not hosts:
            raise CodeUnavailable("there is no code in which triggers could wait")
        return hosts[-1]

    def loaded_flow(self, name: str) -> FlowDefinition | None:
        """Return a flow whose code is in force here, None if there is none."""
        return self._versions.flow(name)

    # Runs that tasks ask for

    def start_asked(self, parent: RunRow, asked: Asked) -> RunRow:
        """Return the run that a task asked for: a subflow is driven here, others by whoever can."""
        if asked.flow.executor == NESTED:
            return super().start_asked(parent, asked)
        now_us = self._clock.now_us()
        new = run_to_create(
            asked.flow,
            asked.manifest_version or parent.manifest_version,
            asked.params,
            project=self._project,
            date_us=now_us if asked.date_us is None else asked.date_us,
            code=self._code,
            trigger=asked.trigger,
            home=SERVICE,
            target=target_of(parent, asked.flow.name),
            tags=(asked.tag,),
            logical_key=asked.logical_key,
        )
        row = self._store.create_runs([new])[0]
        self._claims.look()
        self._store.wake_workers()
        return row

    def take_up(self, asking: RunRow, row: RunRow) -> bool:
        """Drive a run that another one has started and waits for, if nobody else does."""
        if row.home == SERVICE:
            # It is claimed, here or elsewhere; who waits for it holds no child meanwhile.
            return True
        return super().take_up(asking, row)
