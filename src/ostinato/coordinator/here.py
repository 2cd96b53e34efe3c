"""This module runs flows here and now: coordinator, executors and store in one process."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from ostinato.authoring.quantities import bytes_of
from ostinato.client.new_runs import LOCAL, code_version, run_to_create
from ostinato.client.parameters import validate_params
from ostinato.clock import Clock, SystemClock, VirtualClock, draw_chance
from ostinato.coordinator.limits import Budget, Limits
from ostinato.coordinator.live_run import LiveRun
from ostinato.coordinator.loop import Coordinator
from ostinato.coordinator.nested_runs import NESTED, NestedRuns
from ostinato.coordinator.new_runs import leave_run
from ostinato.coordinator.outside import outside_values
from ostinato.coordinator.recovery import new_run, restore_run
from ostinato.coordinator.registry import Registry
from ostinato.coordinator.retrying import (
    THE_BODY,
    WHAT_FAILED,
    Again,
    Choice,
    Chosen,
    choose,
    choose_steps,
    nothing_chosen,
)
from ostinato.coordinator.step_resets import archived, removed, step_name
from ostinato.coordinator.triggered_runs import Asked, TriggeredRuns, target_of
from ostinato.coordinator.vault_calls import VaultCalls
from ostinato.coordinator.waits import OnQuestion, StandIn
from ostinato.coordinator.wake import WakeSocket
from ostinato.engine import events as ev
from ostinato.errors import OstinatoError, RunNotFound, RunOwned, UsageError
from ostinato.executors.gate import Gate
from ostinato.executors.protocol import STEPS, Executor
from ostinato.executors.trigger_host import TriggerHost, Triggers, serve_in_thread
from ostinato.model.alert import Alerts
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import RunId
from ostinato.model.manifest import Manifest
from ostinato.model.notice import NoticeState
from ostinato.model.state import RunState, TaskRunState
from ostinato.project.alert_settings import read_alerts
from ostinato.project.discovery import Project
from ostinato.project.settings import ComputeSettings
from ostinato.runtime.messages import RunInfo
from ostinato.store.protocol import Store
from ostinato.store.records import RunRow, TaskRunRow

if TYPE_CHECKING:
    from ostinato.authoring.ports import BuiltFlow
    from ostinato.client.vault import GivenSource, Vault
    from ostinato.executors.caller import CallerExecutor
    from ostinato.executors.code_host import CodeHost

#: File for what triggers print, in the folder of logs.
TRIGGER_LOG = "triggers.log"


class Runner:
    """Own runs in this process and drive them to their end.

    Args:
        project: Where data lies, and its settings.
        store: Where everything is recorded.
        host: Fork server that has the definitions; None where all runs inline or in threads.
        executor: Default executor; None for the project's.
        clock: A ``VirtualClock`` is moved on instead of waiting.
        flows: The definitions, where this process has them; then ``inline`` and ``thread``
            execute in it, else tasks that ask for them execute in a child too.
        resources: Objects that replace the flows' resources, by name.
        inline_for: Executors that ``inline`` stands in for.
        answers: Stands in for people that tasks wait for.
        alerts: Who is told of what; None for the project's settings.
        is_sending: Whether messages really go out.
        given: Connections and variables that win over all others.
        has_caller: Whether the thread that makes the runner executes attempts too, by
            ``caller``, while another one drives.
        on_question: Told of what people are asked.
    """

    def __init__(
        self,
        project: Project,
        store: Store,
        host: "CodeHost | None",
        *,
        executor: str | None = None,
        clock: Clock | None = None,
        flows: "Mapping[str, BuiltFlow] | None" = None,
        resources: Mapping[str, Any] | None = None,
        inline_for: tuple[str, ...] = (),
        answers: StandIn | None = None,
        alerts: Alerts | None = None,
        is_sending: bool = True,
        given: "GivenSource | None" = None,
        has_caller: bool = False,
        on_question: OnQuestion | None = None,
    ) -> None:
        self._project = project
        self._given = given
        self._flows = flows or {}
        self._host = host
        self._store = store
        self._clock = clock or SystemClock()
        self._code = code_version(project)
        self._closing = ExitStack()
        wake = WakeSocket()
        self._closing.callback(wake.close)
        self._lease = store.register_coordinator(wake_address=wake.address)
        self._closing.callback(store.unregister_coordinator, self._lease)
        settings = project.settings
        #: Lets its loop into the coordinator, and who asks in the loop's place.
        self._gate = Gate()
        executors = self._make_executors(host, flows or {}, resources or {})
        #: Executes in the thread that calls ``serve``; None where no thread does.
        self.caller = self._make_caller(flows or {}, resources or {}) if has_caller else None
        if self.caller is not None:
            executors["caller"] = self.caller
        nested = NestedRuns(store, self)
        executors[NESTED] = nested
        aliases = dict.fromkeys(inline_for, "inline")
        if flows is None:
            # Users' code never runs in a process that has not loaded it.
            aliases |= {"inline": "process", "thread": "process"}
        default = executor or settings.executor
        registry = Registry()
        registry.calls |= {
            **nested.answers,
            **VaultCalls(self._open_vault).answers,
            **TriggeredRuns(store, self).answers,
        }
        #: Default executor of runs that tasks ask for: the thread that calls is taken.
        self._beside = "thread" if "thread" in executors and self.caller is not None else ""
        #: Runs that tasks asked for and that the loop takes up at its next turn.
        self._coming: set[int] = set()
        self._coordinator = Coordinator(
            store,
            self._lease,
            gate=self._gate,
            executors=executors,
            aliases=aliases,
            clock=self._clock,
            limits=self._limits(),
            nested=nested,
            registry=registry,
            triggers=self._make_triggers(host),
            answers=answers,
            default_executor=default,
            chance=draw_chance,
            alerts=read_alerts(settings.alerts, settings.timezone) if alerts is None else alerts,
            describe=self._describe,
            take_up=self.take_up,
            is_sending=is_sending,
            wake=wake.socket,
            on_question=on_question,
        )
        self._closing.callback(self._coordinator.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill what runs; an unfinished run stays as it is until it is resumed."""
        self._closing.close()

    def _limits(self) -> Limits:
        pools = {row.name: row.slots for row in self._store.vault.pools()}
        settings = self._project.settings
        return Limits(pools | settings.pools, budget_of(settings.compute))

    def _open_vault(self) -> "Vault":
        # Most runs ask for no connection, and it needs 5 ms.
        from ostinato.client.vault import Vault

        return Vault(self._store.vault, self._project, clock=self._clock, given=self._given)

    def _make_executors(
        self,
        host: "CodeHost | None",
        flows: "Mapping[str, BuiltFlow]",
        resources: Mapping[str, Any],
    ) -> dict[str, Executor]:
        executors: dict[str, Executor] = {}
        if host is not None:
            # Each kind of executor is imported only where it is used.
            from ostinato.executors.process import ProcessExecutor
            from ostinato.executors.step_children import StepChildren

            processes = ProcessExecutor(
                host, self._answer, max_children=self._project.settings.max_children
            )
            executors["process"] = processes
            executors[STEPS] = StepChildren(processes)
        if flows:
            from ostinato.executors.inline import InlineExecutor
            from ostinato.executors.thread import ThreadExecutor

            executors["inline"] = InlineExecutor(
                flows,
                self._answer,
                resources=resources,
                clock=self._clock,
                turn=lambda: self._coordinator.turn_within(),
                gate=self._gate,
            )
            if not isinstance(self._clock, VirtualClock):
                executors["thread"] = ThreadExecutor(flows, self._answer, resources=resources)
        return executors

    def _make_caller(
        self, flows: "Mapping[str, BuiltFlow]", resources: Mapping[str, Any]
    ) -> "CallerExecutor":
        from ostinato.executors.caller import CallerExecutor

        return CallerExecutor(flows, self._answer, resources=resources, gate=self._gate)

    def _make_triggers(self, host: "CodeHost | None") -> Triggers:
        if isinstance(self._clock, VirtualClock):
            # It imports asyncio.
            from ostinato.executors.virtual_triggers import VirtualTriggers

            return VirtualTriggers(self._clock, self._answer)
        if host is None:
            return TriggerHost(serve_in_thread, self._answer)
        log = str(self._project.logs_root / TRIGGER_LOG)
        return TriggerHost(lambda peer: host.fork_triggers(peer, log), self._answer)

    def _answer(self, token: int, method: str, args: dict[str, Any]) -> Any:
        return self._coordinator.answer(token, method, args)

    # Runs

    def create(
        self,
        flow: FlowDefinition,
        manifest_version: str,
        *,
        params: Mapping[str, Any],
        date_us: int | None = None,
        trigger: str = "manual",
        target: str = "",
        tags: tuple[str, ...] = (),
        logical_key: str | None = None,
        home: str = LOCAL,
    ) -> RunRow:
        """Create a run, own it and start it at the next turn.

        A run that has the logical key already is left to whoever created it.

        Args:
            flow: What to run; a narrowed flow runs in part.
            manifest_version: The version that it is pinned to, saved before.
            params: Values that were validated against the flow's parameters.
            date_us: Logical date in microseconds since the epoch; None for now.
            trigger: What asked for it.
            target: What a code host loads to find the flow again.
            tags: For searching.
            logical_key: There is one run of the flow with it.
            home: Who goes on with it if this process does not end it.

        Raises:
            UsageError: The flow names a pool or an executor that does not exist.
            ValueMissing: A partial run needs a value that no earlier run has.
        """
        row, run = self._create(
            flow,
            manifest_version,
            params,
            date_us,
            trigger=trigger,
            target=target,
            tags=tags,
            logical_key=logical_key,
            home=home,
        )
        if row.owner == self._lease.id:
            self._coordinator.adopt(run, [], ev.RunStarted(self._clock.now_us()))
        return row

    def start_asked(self, parent: RunRow, asked: Asked) -> RunRow:
        """Return the run that a task asked for, and see to it that it is driven.

        One that was there already is taken over if nobody drives it.

        Args:
            parent: Whose task asks.
            asked: For what.

        Raises:
            UsageError: The flow names a pool or an executor that does not exist.
        """
        row, run = self._create(
            asked.flow,
            asked.manifest_version or parent.manifest_version,
            asked.params,
            asked.date_us,
            trigger=asked.trigger,
            target=target_of(parent, asked.flow.name),
            tags=(asked.tag,),
            logical_key=asked.logical_key,
            executor=self._beside,
        )
        if row.owner == self._lease.id and not (row.state.is_terminal or self._drives(row.id)):
            self._adopt(row.id, run, [], ev.RunStarted(self._clock.now_us()))
        elif not row.state.is_terminal:
            # Where whoever asks wants it: a subflow in its caller's body.
            row = self._take_over(row, asked.flow.executor) or row
        return row

    def take_up(self, asking: RunRow, row: RunRow) -> bool:
        """Drive a run that another one has started and waits for, if its process has ended.

        Args:
            asking: Who waits for it.
            row: The run.

        Returns:
            Whether it is driven here.
        """
        started_by = f"from:{asking.flow}#{asking.number}/"
        if not any(tag.startswith(started_by) for tag in row.tags):
            return False
        return self.loaded_flow(row.flow) is not None and self._take_over(row) is not None

    def _take_over(self, row: RunRow, executor: str | None = None) -> RunRow | None:
        """Return a run that is driven here from now on, None if another process drives it."""
        if self._drives(row.id):
            return row
        try:
            row = self._store.take_run(row.id, self._lease)
        except RunOwned:
            return None
        flow = pinned_flow(self._store, row)
        if executor is not None:
            flow = msgspec.structs.replace(flow, executor=executor)
        run, commands = self._restore(row, flow, self._beside)
        now_us = self._clock.now_us()
        first = ev.RunStarted(now_us) if row.state is RunState.QUEUED else ev.Recovered(now_us)
        self._adopt(row.id, run, commands, first)
        return row

    def _drives(self, run_id: RunId) -> bool:
        return self._coordinator.drives(run_id) or run_id in self._coming

    def _adopt(self, run_id: RunId, run: LiveRun, commands: list[Any], first: ev.Input) -> None:
        """Take a run up with the next turn: the call comes in the middle of one."""
        self._coming.add(run_id)

        def adopt() -> None:
            self._coming.discard(run_id)
            self._coordinator.adopt(run, commands, first)

        self._coordinator.ask(adopt)

    def loaded_flow(self, name: str) -> FlowDefinition | None:
        """Return a flow whose code is in this process or in its code host, None if it is not.

        Args:
            name: Of the flow.
        """
        flow = self._flows.get(name)
        if flow is not None:
            return flow.definition
        return None if self._host is None else self._host.manifest.flow(name)

    def leave_asked(self, asked: Asked) -> RunRow:
        """Return the run that a task asked for, which is left to who serves its flow.

        Args:
            asked: For what; its definitions come with it.
        """
        return leave_run(
            self._store,
            self._project,
            Manifest(project=self._project.name, flows=(asked.flow,)),
            asked,
            code=self._code,
            now_us=self._clock.now_us(),
        )

    def _create(
        self,
        flow: FlowDefinition,
        manifest_version: str,
        params: Mapping[str, Any],
        date_us: int | None,
        *,
        trigger: str,
        target: str,
        tags: tuple[str, ...],
        logical_key: str | None = None,
        home: str = LOCAL,
        executor: str = "",
    ) -> tuple[RunRow, LiveRun]:
        """Create a run that this runner owns, or find the one with its logical key."""
        now_us = self._clock.now_us()
        date_us = now_us if date_us is None else date_us
        # All that can be wrong is found before there is a run.
        lanes = self._coordinator.lanes(flow, executor)
        outside = outside_values(self._store, flow)
        new = run_to_create(
            flow,
            manifest_version,
            params,
            project=self._project,
            date_us=date_us,
            code=self._code,
            trigger=trigger,
            home=home,
            target=target,
            tags=tags,
            logical_key=logical_key,
        )
        row = self._store.create_runs([new], owner=self._lease)[0]
        info = self._info(row, flow, now_us)
        return row, new_run(self._store, row, flow, info, lanes=lanes, outside=outside)

    def resume(self, run_id: RunId, flow: FlowDefinition) -> RunRow:
        """Take over an interrupted run and go on; what was recorded stays.

        Of one that has ended, the callbacks and alerts that are not done are executed.

        Raises:
            RunNotFound: No run has this id.
            RunOwned: A living process drives it.
            UsageError: It has ended, and so have its callbacks and alerts.
            ParameterError: It has not started, and its parameters do not fit.
        """
        row = self._store.take_run(run_id, self._lease)
        if row.state.is_terminal:
            self._store.release_run(run_id, self._lease)
            if any(each.state == NoticeState.PENDING for each in self._store.notices(run_id)):
                self._coordinator.finish(self._restore(row, flow)[0])
                return row
            name = f"{row.flow}#{row.number}"
            message = f"run {name} has ended: it is {row.state.label}"
            raise UsageError(message, hint=f"ostinato retry '{name}' runs what failed again")
        if row.state is RunState.QUEUED:
            self._check_params(row, flow)
        run, commands = self._restore(row, flow)
        now_us = self._clock.now_us()
        first = ev.RunStarted(now_us) if row.state is RunState.QUEUED else ev.Recovered(now_us)
        self._coordinator.adopt(run, commands, first)
        return row

    def retry(
        self,
        run_id: RunId,
        flow: FlowDefinition,
        *,
        by: str = "",
        choice: Choice = WHAT_FAILED,
    ) -> RunRow:
        """Run parts of an ended run again; by default what failed, with all downstream of it.

        Raises:
            RunNotFound: No run has this id.
            RunOwned: A living process drives it.
            UnknownTask: The choice names a task that there is not.
            UsageError: Nothing of it is chosen, or it has not ended.
        """
        row = self._store.take_run(run_id, self._lease)
        try:
            run, commands = self._restore(row, flow)
            chosen, steps = self._chosen(run, choice)
        except OstinatoError:
            self._store.release_run(run_id, self._lease)
            raise
        batch = self._coordinator.batch
        batch.attempts.extend(archived(step) for step in steps)
        batch.task_runs.extend(removed(step) for step in steps)
        cleared = ev.TaskRunsCleared(self._clock.now_us(), chosen.keys, by, chosen.alone)
        self._coordinator.adopt(run, commands, cleared)
        return row

    def would_retry(
        self, run_id: RunId, flow: FlowDefinition, choice: Choice = WHAT_FAILED
    ) -> list[Again]:
        """Return the task runs and steps that ``retry`` would run again, as they are.

        Raises:
            RunNotFound: No run has this id.
            UnknownTask: The choice names a task that there is not.
            UsageError: Nothing of it is chosen, or it has not ended.
        """
        row = self._store.run(run_id)
        if row is None:
            raise RunNotFound(f"no run has the id {run_id}")
        run, _ = self._restore(row, flow)
        chosen, steps = self._chosen(run, choice)
        return [
            *(Again(str(one.key), one.state) for one in run.machine.would_clear(*chosen)),
            *(Again(step_name(step), TaskRunState(step.state)) for step in steps),
        ]

    def _chosen(self, run: LiveRun, choice: Choice) -> tuple[Chosen, tuple[TaskRunRow, ...]]:
        name = f"{run.row.flow}#{run.row.number}"
        if not run.row.state.is_terminal:
            message = f"run {name} was interrupted and has not ended"
            raise UsageError(message, hint=f"ostinato resume '{name}' goes on with it")
        steps = choose_steps(run.machine, choice, self._store, run.row)
        chosen = choose(run.machine, choice) if steps is None else THE_BODY
        if not run.machine.would_clear(*chosen):
            raise nothing_chosen(name, choice)
        return chosen, steps or ()

    def settle(self, run_id: RunId, flow: FlowDefinition, by: str) -> RunRow:
        """Cancel a run whose process is gone.

        Raises:
            RunNotFound: No run has this id.
            RunOwned: A living process drives it.
        """
        row = self.resume(run_id, flow)
        self.cancel(run_id, by)
        return row

    def cancel(self, run_id: RunId, by: str) -> None:
        """Cancel a run: what runs is stopped, nothing but teardowns starts."""
        self._coordinator.cancel(run_id, by)

    def drive(self, *, on_linger: Callable[[], None] | None = None) -> None:
        """Return when all runs of this runner have ended.

        Args:
            on_linger: Called once if callbacks and alerts of ended runs take long.

        Raises:
            StoreError: The store cannot be written; the runs can be resumed.
        """
        self._coordinator.drive(on_linger=on_linger)

    def stop(self) -> None:
        """Have ``drive`` return at the next turn; safe in all threads. Runs can be resumed."""
        self._coordinator.ask(self._coordinator.stop)

    def request_cancel(self, by: str) -> None:
        """Cancel all runs at the next turn; safe in signal handlers and threads."""
        self._coordinator.ask(lambda: self._coordinator.cancel_all(by))

    def _restore(
        self, row: RunRow, flow: FlowDefinition, executor: str = ""
    ) -> tuple[LiveRun, list[Any]]:
        now_us = self._clock.now_us()
        info = self._info(row, flow, row.started_us)
        lanes = self._coordinator.lanes(flow, executor)
        return restore_run(self._store, row, flow, info, lanes=lanes, now_us=now_us)

    def _check_params(self, row: RunRow, flow: FlowDefinition) -> None:
        """Refuse to start a run whose parameters do not fit, whoever asked for it."""
        try:
            validate_params(flow, msgspec.json.decode(row.params))
        except OstinatoError:
            self._store.release_run(row.id, self._lease)
            raise

    def _describe(self, run_id: int) -> RunInfo | None:
        row = self._store.run(RunId(run_id))
        if row is None:
            return None
        try:
            return self._info(row, pinned_flow(self._store, row), row.started_us)
        except RunNotFound:
            return None

    def _info(self, row: RunRow, flow: FlowDefinition, started_us: int) -> RunInfo:
        return info_of(self._project, row, flow, started_us)


def info_of(project: Project, row: RunRow, flow: FlowDefinition, started_us: int) -> RunInfo:
    """Return what all attempts of a run share.

    Args:
        project: Whose run it is.
        row: The run as it is stored.
        flow: Its definition.
        started_us: When it started.
    """
    return RunInfo(
        run_id=row.id,
        number=row.number,
        project=row.project,
        flow=row.flow,
        params=row.params,
        logical_date_us=row.logical_date_us,
        interval_start_us=row.interval_start_us,
        interval_end_us=row.interval_end_us,
        timezone=flow.timezone or project.settings.timezone,
        trigger=row.trigger,
        partition=row.partition,
        values_root=str(project.values_root),
        logs_root=str(project.logs_root),
        started_us=started_us,
        data_root=str(project.data_dir),
        name=row.name,
    )


def budget_of(compute: ComputeSettings) -> Budget:
    """Return what tasks may ask of this machine; by default its cores, and no limit else."""
    return Budget(
        cpu=compute.cpu or os.cpu_count() or 1,
        gpu=compute.gpu,
        memory_bytes=bytes_of(compute.memory),
        is_cpu_given=bool(compute.cpu),
    )


def pinned_flow(store: Store, row: RunRow) -> FlowDefinition:
    """Return the flow of a run at the version that it is pinned to.

    Raises:
        RunNotFound: Its definitions are no longer in the store.
    """
    from ostinato.model.manifest import decode_manifest

    data = store.load_manifest(row.manifest_version)
    flow = decode_manifest(data).flow(row.flow) if data is not None else None
    if flow is None:
        message = f"the definitions of run {row.flow}#{row.number} are no longer in the store"
        raise RunNotFound(message)
    return flow


def changed_shape(old: FlowDefinition, new: FlowDefinition) -> str:
    """Return how a flow differs from the one a run began with, or "" if the run may go on.

    A run goes on with other code where its task ids and edges are the same.
    """
    before, after = {task.id for task in old.tasks}, {task.id for task in new.tasks}
    if gone := sorted(before - after):
        return f"task {gone[0]!r} is gone"
    if new_ones := sorted(after - before):
        return f"task {new_ones[0]!r} is new"
    if {(e.upstream, e.downstream) for e in old.edges} != {
        (e.upstream, e.downstream) for e in new.edges
    }:
        return "its edges are others"
    return ""
