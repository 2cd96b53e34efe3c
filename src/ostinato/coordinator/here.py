"""This module runs flows here and now: coordinator, executors and store in one process."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.client.new_runs import LOCAL
from ostinato.client.parameters import validate_params
from ostinato.clock import Clock, VirtualClock
from ostinato.coordinator.owner import Owner
from ostinato.coordinator.retrying import (
    WHAT_FAILED,
    Again,
    Choice,
    chosen_of,
)
from ostinato.coordinator.step_resets import archived, removed, step_name
from ostinato.coordinator.waits import OnQuestion, StandIn
from ostinato.engine import events as ev
from ostinato.errors import OstinatoError, RunNotFound, UsageError
from ostinato.executors.protocol import STEPS, Executor
from ostinato.executors.trigger_host import TriggerHost, Triggers, serve_in_thread
from ostinato.model.alert import Alerts
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import RunId
from ostinato.model.layout import TRIGGER_LOG
from ostinato.model.notice import NoticeState
from ostinato.model.state import RunState, TaskRunState
from ostinato.project.discovery import Project
from ostinato.store.protocol import Store
from ostinato.store.records import RunRow

if TYPE_CHECKING:
    from ostinato.authoring.ports import BuiltFlow
    from ostinato.client.vault import GivenSource
    from ostinato.executors.caller import CallerExecutor
    from ostinato.executors.code_host import CodeHost


class Runner(Owner):
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
        super().__init__(project, store, clock=clock, given=given)
        self._flows = flows or {}
        self._host = host
        executors = self._make_executors(host, flows or {}, resources or {})
        #: Executes in the thread that calls ``serve``; None where no thread does.
        self.caller = self._make_caller(flows or {}, resources or {}) if has_caller else None
        if self.caller is not None:
            executors["caller"] = self.caller
            # The thread that calls is taken.
            self._beside = "thread" if "thread" in executors else ""
        aliases = dict.fromkeys(inline_for, "inline")
        if flows is None:
            # Users' code never runs in a process that has not loaded it.
            aliases |= {"inline": "process", "thread": "process"}
        self._compose(
            executors,
            self._make_triggers(host),
            for_notices=lambda _: executors.get("process") or executors.get("inline"),
            default=executor or project.settings.executor,
            aliases=aliases,
            answers=answers,
            alerts=alerts,
            is_sending=is_sending,
            on_question=on_question,
        )

    def loaded_flow(self, name: str) -> FlowDefinition | None:
        """Return a flow whose code is in this process or in its code host, None if it is not.

        Args:
            name: Of the flow.
        """
        flow = self._flows.get(name)
        if flow is not None:
            return flow.definition
        return None if self._host is None else self._host.manifest.flow(name)

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
        interval_us: tuple[int, int] | None = None,
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
            interval_us: Start and end of its data; by default what the flow's schedule says.
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
            interval_us=interval_us,
            home=home,
        )
        if row.owner == self._lease.id:
            self._coordinator.adopt(run, [], ev.RunStarted(self._clock.now_us()))
        return row

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
            chosen, steps = chosen_of(self._store, run, choice)
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
        run, _ = self._restore_idle(row, flow)
        chosen, steps = chosen_of(self._store, run, choice)
        return [
            *(Again(str(one.key), one.state) for one in run.machine.would_clear(*chosen)),
            *(Again(step_name(step), TaskRunState(step.state)) for step in steps),
        ]

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

    def _check_params(self, row: RunRow, flow: FlowDefinition) -> None:
        """Refuse to start a run whose parameters do not fit, whoever asked for it."""
        try:
            validate_params(flow, msgspec.json.decode(row.params))
        except OstinatoError:
            self._store.release_run(row.id, self._lease)
            raise
