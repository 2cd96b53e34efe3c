"""This module puts together what owns runs: a lease, a coordinator, and where attempts execute."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from ostinato.client.new_runs import LOCAL, code_version, run_to_create
from ostinato.client.wake import WakeSocket
from ostinato.clock import Clock, SystemClock, VirtualClock, draw_chance
from ostinato.coordinator.limits import Executors, Limits
from ostinato.coordinator.live_run import LiveRun
from ostinato.coordinator.loop import Coordinator
from ostinato.coordinator.nested_runs import NESTED, NestedRuns
from ostinato.coordinator.new_runs import leave_run
from ostinato.coordinator.notices import ForNotices
from ostinato.coordinator.outside import outside_values
from ostinato.coordinator.patience import Patience
from ostinato.coordinator.pinned import budget_of, info_of, pinned_flow
from ostinato.coordinator.recovery import new_run, restore_run
from ostinato.coordinator.registry import Registry
from ostinato.coordinator.triggered_runs import Asked, TriggeredRuns, target_of
from ostinato.coordinator.vault_calls import VaultCalls
from ostinato.coordinator.waits import OnQuestion, StandIn
from ostinato.engine import events as ev
from ostinato.engine.queueing import Lane
from ostinato.errors import RunNotFound, RunOwned, StoreError
from ostinato.executors.gate import Gate
from ostinato.executors.protocol import Executor
from ostinato.executors.trigger_host import Triggers
from ostinato.model.alert import Alerts
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import RunId
from ostinato.model.manifest import Manifest
from ostinato.model.state import RunState
from ostinato.project.alert_settings import read_alerts
from ostinato.project.discovery import Project
from ostinato.runtime.messages import RunInfo
from ostinato.store.protocol import Store
from ostinato.store.records import RunRow

if TYPE_CHECKING:
    from ostinato.client.vault import GivenSource, Vault


class Owner(ABC):
    """Own runs in this process.

    A command, a script and a worker differ in where attempts execute and in what becomes of runs
    that tasks ask for; those who inherit say it.

    Args:
        project: Where data lies, and its settings.
        store: Where everything is recorded.
        clock: A ``VirtualClock`` is moved on instead of waiting.
        given: Connections and variables that win over all others.
        name: What people call it, or empty.
    """

    #: What kind of coordinator it is.
    kind = "run"

    #: Default executor of runs that tasks ask for; that of all runs if empty.
    _beside = ""

    def __init__(
        self,
        project: Project,
        store: Store,
        *,
        clock: Clock | None = None,
        given: "GivenSource | None" = None,
        name: str = "",
    ) -> None:
        self._project = project
        self._given = given
        self._store = store
        self._clock = clock or SystemClock()
        self._code = code_version(project)
        self._closing = ExitStack()
        self._wake = WakeSocket()
        self._closing.callback(self._wake.close)
        try:
            self._lease = store.register_coordinator(
                wake_address=self._wake.address, kind=self.kind, name=name
            )
        except BaseException:
            self._closing.close()
            raise
        self._closing.callback(self._sign_off)
        #: Lets its loop into the coordinator, and who asks in the loop's place.
        self._gate = Gate()
        #: Runs that tasks asked for and that the loop takes up at its next turn.
        self._coming: set[int] = set()

    def _sign_off(self) -> None:
        """Leave runs and identity to others, if need be by being gone."""
        try:
            self._store.unregister_coordinator(self._lease)
        except StoreError:
            self._store.abandon_coordinator(self._lease)

    def _compose(
        self,
        executors: dict[str, Executor],
        triggers: Triggers,
        *,
        for_notices: ForNotices,
        default: str,
        aliases: Mapping[str, str],
        answers: StandIn | None = None,
        alerts: Alerts | None = None,
        is_sending: bool = True,
        on_question: OnQuestion | None = None,
        registry: Registry | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Make the coordinator.

        Args:
            executors: By name.
            triggers: Waits for conditions.
            for_notices: Returns what executes the callbacks and alerts of a run.
            default: Executor of tasks that name none.
            aliases: Names of executors that others stand in for.
            answers: Stands in for people that tasks wait for.
            alerts: Who is told of what; None for the project's settings.
            is_sending: Whether messages really go out.
            on_question: Told of what people are asked.
            registry: What others want to be told.
            patience: Bears a store that cannot be written.
        """
        settings = self._project.settings
        #: What all its runs share.
        self.limits = self._limits()
        nested = NestedRuns(self._store, self)
        registry = registry or Registry()
        registry.calls |= {
            **nested.answers,
            **VaultCalls(self._open_vault).answers,
            **TriggeredRuns(self._store, self).answers,
        }
        registry.run_ended.append(self._end_left_subflows)
        self._coordinator = Coordinator(
            self._store,
            self._lease,
            gate=self._gate,
            executors={**executors, NESTED: nested},
            aliases=aliases,
            clock=self._clock,
            limits=self.limits,
            nested=nested,
            registry=registry,
            patience=patience,
            triggers=triggers,
            for_notices=for_notices,
            answers=answers,
            default_executor=default,
            chance=draw_chance,
            alerts=read_alerts(settings.alerts, settings.timezone) if alerts is None else alerts,
            describe=self._describe,
            take_up=self.take_up,
            is_sending=is_sending,
            wake=self._wake.socket,
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
        is_alone = isinstance(self._clock, VirtualClock)
        find_pools = None if is_alone else self._pools
        budget = budget_of(self._project.settings.compute)
        return Limits(self._pools(), budget, find_pools=find_pools)

    def _pools(self) -> dict[str, int]:
        pools = {row.name: row.slots for row in self._store.vault.pools()}
        return pools | self._project.settings.pools

    def _open_vault(self) -> "Vault":
        # Most runs ask for no connection, and it needs 5 ms.
        from ostinato.client.vault import Vault

        return Vault(self._store.vault, self._project, clock=self._clock, given=self._given)

    def _answer(self, token: int, method: str, args: dict[str, Any]) -> Any:
        return self._coordinator.answer(token, method, args)

    # Where runs execute

    @abstractmethod
    def loaded_flow(self, name: str) -> FlowDefinition | None:
        """Return a flow whose code is in this process or in its code host, None if it is not.

        Args:
            name: Of the flow.
        """

    def _places(self, flow: str, version: str, parent: RunRow | None) -> Executors | None:
        """Return where the tasks of a run execute; None for where those of all runs do.

        Args:
            flow: Whose run it is.
            version: Of the definitions that it is pinned to.
            parent: The run that asks for it; None if none does.
        """
        del flow, version, parent
        return None

    # Runs that tasks ask for

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
            parent=parent,
        )
        if row.owner == self._lease.id and not (row.state.is_terminal or self._drives(row.id)):
            self._adopt(row.id, run, [], ev.RunStarted(self._clock.now_us()))
        elif not row.state.is_terminal:
            # Where whoever asks wants it: a subflow in its caller's body.
            row = self._take_over(row, asked.flow.executor, parent) or row
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

    def _take_over(
        self, row: RunRow, executor: str | None = None, parent: RunRow | None = None
    ) -> RunRow | None:
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
        run, commands = self._restore(row, flow, self._beside, parent=parent)
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

    def _end_left_subflows(self, run: LiveRun) -> None:
        """Cancel what a run called before it came here and has not called again."""
        if run.row.state is RunState.QUEUED or not run.machine.is_terminal:
            return
        for row in self._store.open_subflows(run.row.flow, run.row.number):
            if not self._drives(row.id):
                self._coming.add(row.id)
                by = f"{run.row.flow}#{run.row.number} ended"
                self._coordinator.ask(partial(self._end_left, row, by))

    def _end_left(self, row: RunRow, by: str) -> None:
        self._coming.discard(row.id)
        try:
            row = self._store.take_run(row.id, self._lease)
        except RunOwned:
            # Whoever has it ends it.
            return
        try:
            left, _ = self._restore_idle(row)
        except (RunNotFound, msgspec.MsgspecError):
            # Its definitions can no longer be read; nobody else's runs are to suffer from that.
            self._store.release_run(row.id, self._lease)
            return
        if left.machine.is_terminal:
            self._store.release_run(row.id, self._lease)
            return
        self._coordinator.adopt(left, [], ev.Recovered(self._clock.now_us()))
        self._coordinator.cancel(row.id, by)

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
        interval_us: tuple[int, int] | None = None,
        home: str = LOCAL,
        executor: str = "",
        parent: RunRow | None = None,
    ) -> tuple[RunRow, LiveRun]:
        """Create a run that this runner owns, or find the one with its logical key."""
        now_us = self._clock.now_us()
        date_us = now_us if date_us is None else date_us
        # All that can be wrong is found before there is a run.
        places = self._places(flow.name, manifest_version, parent)
        lanes = self._coordinator.lanes(flow, executor, places)
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
            interval_us=interval_us,
        )
        row = self._store.create_runs([new], owner=self._lease)[0]
        info = self._info(row, flow, now_us)
        run = new_run(self._store, row, flow, info, lanes=lanes, outside=outside)
        run.places = places
        return row, run

    # Making live runs

    def _restore(
        self,
        row: RunRow,
        flow: FlowDefinition,
        executor: str = "",
        *,
        parent: RunRow | None = None,
    ) -> tuple[LiveRun, list[Any]]:
        now_us = self._clock.now_us()
        info = self._info(row, flow, row.started_us)
        places = self._places(row.flow, row.manifest_version, parent)
        lanes = self._coordinator.lanes(flow, executor, places)
        run, commands = restore_run(self._store, row, flow, info, lanes=lanes, now_us=now_us)
        run.places = places
        return run, commands

    def _restore_idle(
        self, row: RunRow, flow: FlowDefinition | None = None
    ) -> tuple[LiveRun, list[Any]]:
        """Build a run of which nothing is dispatched here, whether its code is here or not."""
        flow = flow or pinned_flow(self._store, row)
        info = self._info(row, flow, row.started_us)
        # Nothing takes what is queued here.
        lanes = [Lane("", ())] * len(flow.tasks)
        now_us = self._clock.now_us()
        return restore_run(self._store, row, flow, info, lanes=lanes, now_us=now_us)

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
