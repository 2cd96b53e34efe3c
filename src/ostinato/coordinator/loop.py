"""This module is the loop that drives runs: reports in, one commit, attempts out.

One turn: take all reports and timers, apply them in memory, fill the executors' credits from
the ready queue, commit everything in one transaction, and only then dispatch. Alone, a task
is its own commit; under load many tasks share one. The loop belongs to one thread.
"""

import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, assert_never

import msgspec

from ostinato.clock import Clock, VirtualClock
from ostinato.coordinator.artifacts import ArtifactDesk
from ostinato.coordinator.bell import Bell
from ostinato.coordinator.budgets import Budgets
from ostinato.coordinator.cached_results import CachedResults
from ostinato.coordinator.calls import Calls
from ostinato.coordinator.calm_collector import calm_collector
from ostinato.coordinator.earlier_runs import EarlierRuns
from ostinato.coordinator.ended_attempts import explain_loss, successful, unsuccessful
from ostinato.coordinator.executor_set import ExecutorSet
from ostinato.coordinator.held_runs import HeldRuns
from ostinato.coordinator.limits import Executors, Limits
from ostinato.coordinator.live_run import LiveRun
from ostinato.coordinator.nested_runs import NestedRuns
from ostinato.coordinator.notices import LINGER_S, UNSAID_S, Describe, ForNotices, Outbox
from ostinato.coordinator.other_runs import OtherRuns, TakeUp
from ostinato.coordinator.past import Past, Settled
from ostinato.coordinator.patience import Commits, Patience
from ostinato.coordinator.pauses import Pauses
from ostinato.coordinator.placed_steps import PlacedSteps
from ostinato.coordinator.registry import Registry
from ostinato.coordinator.requests import POLL_S, Requests
from ostinato.coordinator.steps import StepDesk
from ostinato.coordinator.timers import Timers
from ostinato.coordinator.waits import OnQuestion, StandIn, Waits
from ostinato.engine import commands as cmd
from ostinato.engine import events as ev
from ostinato.engine.placed_step import NO_POSITION
from ostinato.engine.queueing import Lane, Ready, ReadyQueue
from ostinato.engine.task_run import TaskRun
from ostinato.errors import ExecutionError
from ostinato.executors.gate import Gate
from ostinato.executors.protocol import STEPS, Executor, Later
from ostinato.executors.trigger_host import Triggers
from ostinato.model.alert import Alerts
from ostinato.model.deferral import Resumption
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import format_path, parse_path
from ostinato.model.state import TaskRunState
from ostinato.model.value import StoredValue
from ostinato.runtime import messages as msg
from ostinato.store.protocol import Store
from ostinato.store.records import (
    Batch,
    CoordinatorLease,
    EventRow,
    ExpansionRow,
    RunRequest,
)


class InFlight(NamedTuple):
    """An attempt that is with an executor."""

    run: LiveRun
    task_run: TaskRun
    attempt: int
    ready: Ready
    executor: Executor


class Coordinator:
    """Own runs and drive them to their end.

    Args:
        store: Where everything is recorded.
        lease: The right to commit for the runs that are adopted.
        executors: By name.
        clock: What time it is; a ``VirtualClock`` is moved on instead of waiting.
        limits: Shared by all runs.
        triggers: Waits for conditions on behalf of deferred task runs.
        for_notices: Returns what executes the callbacks and alerts of a run.
        answers: Stands in for people, where there are none: returns what a task run that waits
            for one goes on with, or None.
        default_executor: Name of the executor of tasks that name none.
        aliases: Names of executors that others stand in for.
        chance: Draws a number from 0 to 1, for jitter.
        alerts: Who is told of what.
        describe: Finds out about runs that it does not drive.
        take_up: Drives a run that another one waits for, if nobody else does.
        is_sending: Whether alerts really go out.
        wake: Socket that becomes readable when another process asks for something.
        gate: It is inside of it while it does not wait.
        nested: Gives the attempts of subflows to the bodies that call them.
        registry: What others want to be told, and the calls that they answer.
        patience: Bears a store that cannot be written; None if nobody does.
        on_question: Told of what people are asked.
    """

    def __init__(
        self,
        store: Store,
        lease: CoordinatorLease,
        *,
        executors: Mapping[str, Executor],
        clock: Clock,
        limits: Limits,
        triggers: Triggers,
        for_notices: ForNotices,
        answers: StandIn | None = None,
        nested: NestedRuns,
        default_executor: str,
        aliases: Mapping[str, str],
        chance: Callable[[], float],
        alerts: Alerts,
        describe: Describe,
        take_up: TakeUp,
        is_sending: bool = True,
        wake: socket.socket | None = None,
        gate: Gate,
        registry: Registry | None = None,
        patience: Patience | None = None,
        on_question: OnQuestion | None = None,
    ) -> None:

        self._store = store
        self._lease = lease
        self._clock = clock
        self._limits = limits
        self._places = Executors(frozenset(executors) - {STEPS}, aliases, default_executor)
        self._chance = chance
        self._has_requests = wake is not None
        self._bell = Bell(wake)
        self.executors = ExecutorSet(executors, self._bell.selector)
        self._registry = registry = registry or Registry()
        self._gate = gate
        self._commits = Commits(store, lease, clock, patience)
        self._runs: dict[int, LiveRun] = {}
        self._queue = ReadyQueue()
        self._budgets = Budgets(store, lease, limits, self._queue, clock)
        self._timers = Timers()
        self._batch = Batch()
        self._touched: dict[int, LiveRun] = {}
        self._in_flight: dict[int, InFlight] = {}
        self._tokens: dict[TaskRun, int] = {}
        self._token = 0
        self._starts: list[tuple[Executor, LiveRun, list[msg.AttemptSpec]]] = []
        self._cancels: list[tuple[TaskRun, str]] = []
        self._ended: list[LiveRun] = []
        self._now_us = clock.now_us()
        registry.requests["cancel"] = lambda request: self.cancel(request.run_id, request.by)
        registry.requests["answer"] = self._take_answer
        self._requests = Requests(store, lease, self._bell, clock=clock, handlers=registry.requests)
        self._waits = Waits(triggers, answers, on_question)
        self._nested = nested
        self._held = HeldRuns(self._runs)
        self._past = Past(store, self._runs, self._held)
        self._laters: list[tuple[Later, Any]] = []
        self._pauses = Pauses(
            store,
            self,
            clock,
            self._timers,
            tell=self._apply_to_step,
            answers=answers,
            on_question=on_question,
        )
        self._is_stopped = self._is_draining = False
        self._turns_within = 0
        desk = StepDesk(store, self)
        self._placed = PlacedSteps(
            self,
            desk,
            queue=self._queue,
            timers=self._timers,
            limits=limits,
            places=self._places,
            executor_of=self._executor_of,
            inline=self.executors.get("inline"),
            clock=clock,
            chance=chance,
        )
        self._register(registry, nested, take_up, desk)
        self._calls = Calls(self, registry.calls)
        self._outbox = Outbox(
            store,
            lease,
            executor_for=for_notices,
            alerts=alerts,
            describe=describe,
            take_token=self._take_token,
            is_sending=is_sending,
        )
        #: Reports carry times of this machine's clock, which mean nothing in virtual time.
        self._uses_reported_times = not isinstance(clock, VirtualClock)
        triggers.register(self._bell.selector)

    def _register(
        self, registry: Registry, nested: NestedRuns, take_up: TakeUp, desk: StepDesk
    ) -> None:
        """Let what works beside the loop say what it is to be told."""
        OtherRuns(self._store, self._lease, self._timers, self._clock, take_up).register(registry)
        self._cached = CachedResults(self._store, self._lease, self._clock)
        self._cached.register(registry)
        self._pauses.register(registry)
        self._placed.register(registry)
        registry.attempt_ended.append(nested.caller_ended)
        registry.calls |= {
            **EarlierRuns(self._store).answers,
            **desk.answers(),
            **ArtifactDesk(self._store, self, self._clock).answers,
        }

    # From outside

    def ask(self, action: Callable[[], None]) -> None:
        """Have the loop call something at its next turn; safe in signal handlers and threads."""
        self._bell.ask(action)

    def wake(self) -> None:
        """End the loop's wait; safe in signal handlers and threads."""
        self._bell.ring()

    def look(self) -> None:
        """Look at what other processes have asked for and done; safe in all threads."""
        self._bell.ring_for_requests()

    def close(self) -> None:
        """Kill what runs and free everything; the runs stay as they were committed."""
        self.executors.close()
        try:
            self._budgets.close()
        finally:
            self._waits.close()
            self._bell.close()

    def drives(self, run_id: int) -> bool:
        """Whether a run is one of its own that has not ended."""
        return run_id in self._runs

    @property
    def runs(self) -> Iterable[LiveRun]:
        """Its runs that have not ended."""
        return self._runs.values()

    @property
    def live_runs(self) -> int:
        """How many of its runs have not ended."""
        return len(self._runs)

    def live_run(self, run_id: int) -> LiveRun | None:
        """Return a run of its own that has not ended."""
        return self._runs.get(run_id)

    # Runs

    def lanes(
        self, flow: FlowDefinition, executor: str = "", places: Executors | None = None
    ) -> list[Lane]:
        """Return the lanes of a run of a flow.

        Args:
            flow: What runs.
            executor: Of tasks that name none; the coordinator's default if empty.
            places: Where its tasks execute; None for where those of all runs do.

        Raises:
            UsageError: It asks for a pool or an executor that does not exist.
        """
        places = places or self._places
        if executor:
            places = places._replace(default=executor)
        return self._limits.lanes(flow, places)

    def adopt(self, run: LiveRun, commands: list[cmd.Command], event: ev.Input | None) -> None:
        """Take up a run that this coordinator's lease owns.

        Args:
            run: The run.
            commands: What restoring it asked for.
            event: What happens to it first: started, recovered, cleared.
        """
        self._runs[run.id] = run
        self._now_us = self._clock.now_us()
        run.machine.watched = self._outbox.adopt(run)
        self._carry_out(run, commands)
        self._waits.resume(run)
        if not isinstance(event, ev.RunStarted):
            self._pauses.resume(run)
        if event is not None and not self._held.hold(run, event):
            self._apply(run, event, "", "")

    def take_alerts(self) -> None:
        """Take up alerts of any run that are due and that nobody sends."""
        self._outbox.take_orphans(self._clock.now_us())

    def finish(self, run: LiveRun) -> None:
        """Execute the undone notices of a run that has ended."""
        self._outbox.adopt(run)
        self._outbox.forget(run)

    def cancel(self, run_id: int, by: str) -> None:
        """Cancel a run; what runs is stopped, teardowns still run."""
        run = self._runs.get(run_id)
        if run is not None:
            self._apply(run, ev.CancelRequested(self._clock.now_us(), by), "", "")

    def refuse(self, run_id: int, reason: str) -> None:
        """Fail a run that can never go on; nothing of it is executed any more."""
        self._apply(self._runs[run_id], ev.RunRefused(self._clock.now_us(), reason), "", "")

    def record(self, run: LiveRun, fact: ev.Fact) -> None:
        """Have the next commit record what happened to a run."""
        self._batch.events.append(EventRow(run.id, *ev.subject_of(fact), fact.at_us, fact))

    def drain(self) -> None:
        """Begin no task any more, and end ``serve`` when all attempts have ended.

        Steps of flows that execute are begun: those flows wait for them.
        """
        self._is_draining = True
        self.executors.drain()

    def stop(self) -> None:
        """End ``drive`` and leave the runs as they are."""
        self._is_stopped = True

    def cancel_all(self, by: str) -> None:
        """Cancel every run; where none is left, wait for notices no longer."""
        if not self._runs:
            self._outbox.give_up()
        for run_id in list(self._runs):
            self.cancel(run_id, by)

    # The loop

    def drive(self, *, on_linger: Callable[[], None] | None = None) -> None:
        """Take turns until every adopted run has ended and its notices are done, or late.

        Args:
            on_linger: Called once if notices of ended runs keep the caller waiting.
        """
        self._outbox.take_orphans(self._clock.now_us())
        with calm_collector():
            # A run that a task asked for is adopted by what is asked of the next turn.
            while (self._runs or self._bell) and not self._is_stopped:
                self._turn()
                if self._waits.held_nothing and self._is_suspended():
                    break
            if not self._is_stopped:
                self._linger(on_linger)

    def serve(self) -> None:
        """Take turns until it is stopped or has drained; runs come and go.

        Raises:
            StoreError: The store cannot be written.
            OwnershipLost: Others have taken over.
        """
        with calm_collector():
            while not self._is_stopped and not self._has_drained():
                self._turn()

    def _has_drained(self) -> bool:
        if not self._is_draining or self._batch or self._bell:
            return False
        return not (self._in_flight or self._placed.in_flight or self._outbox.in_flight)

    def _is_suspended(self) -> bool:
        """Whether all runs wait for people who will find them in the store."""
        if self._batch or self._bell or not self._uses_reported_times:
            return False
        return self._waits.held_nothing >= len(self._runs)

    def _linger(self, on_linger: Callable[[], None] | None) -> None:
        """Wait for the notices of ended runs; what takes long is left to the next coordinator."""
        is_virtual = isinstance(self._clock, VirtualClock)
        begin_s = self._clock.monotonic_s()
        until_us = None if is_virtual else self._clock.now_us() + int(LINGER_S * 1e6)
        while self._outbox.is_busy(until_us):
            waited_s = self._clock.monotonic_s() - begin_s
            if not is_virtual and waited_s >= LINGER_S:
                return
            if on_linger is not None and waited_s >= UNSAID_S:
                on_linger()
                on_linger = None
            self._turn()

    def turn_within(self) -> None:
        """Take a turn in the middle of another: what executes in this thread waits for it.

        Raises:
            ExecutionError: The loop is to end.
        """
        if self._is_stopped:
            message = "the run is being closed; the call is refused"
            raise ExecutionError(message)
        self._turns_within += 1
        try:
            self._turn()
        finally:
            self._turns_within -= 1

    def _turn(self) -> None:
        self._wait()
        with self._gate:
            self._take_turn()

    def _take_turn(self) -> None:
        self._now_us = self._clock.now_us()
        self._bell.answer()
        for reports in self.executors.poll():
            if reports and not self._uses_reported_times:
                # What executed has moved the clock on.
                self._now_us = self._clock.now_us()
            for report in reports:
                self._take(report)
        for ended in self._waits.poll(self._take_token):
            self._end_wait(*ended)
        for run_id, timer in self._timers.pop_due(self._now_us):
            if run_id in self._runs:
                self._registry.timers.get(timer.kind, self._fire)(run_id, timer)
        if self._has_requests and self._requests.is_due():
            self._past.look_again()
            self._budgets.call()
            self._requests.take(self._batch)
            for tell in self._registry.looked:
                tell()
        if self._registry.turns:
            # What is ready takes what was freed, before more is looked for.
            self._dispatch()
            for turn in self._registry.turns:
                turn.take_turn()
        if self._past:
            for asked in self._past.poll():
                self._settle_past(*asked)
        if self._held:
            for run in self._held.startable():
                self._apply(run, ev.RunStarted(self._now_us), "", "")
        self._dispatch()
        if self._budgets.look():
            self._dispatch()
        self.commit()
        self._send()

    def _wait(self) -> None:
        timeout_s = self._timeout_s()
        # What is in flight while a turn is taken within another one waits for that turn.
        in_flight = len(self._in_flight) + self._outbox.in_flight
        in_flight = 0 if self._turns_within else in_flight
        if timeout_s and isinstance(self._clock, VirtualClock) and not in_flight:
            moments = [self._timers.next_us, self._waits.next_us(), self._outbox.next_us]
            if coming := [moment for moment in moments if moment is not None]:
                self._clock.advance_to(min(coming))
            elif self._waits:
                self._waits.refuse_to_wait_for_ever()
            elif self._past:
                self._past.refuse_to_wait_for_ever()
            elif self._pauses:
                self._pauses.refuse_to_wait_for_ever()
            return
        self._bell.wait(timeout_s)

    def _timeout_s(self) -> float:
        """Return how long the loop may wait; 0 if there is something to do."""
        if self._batch or self._touched or self._bell or self._starts:
            return 0.0
        if self._waits.has_work() or self._past.has_work():
            return 0.0
        timeout_s = POLL_S
        for check_s in (
            self.executors.next_check_s(),
            self._waits.next_check_s(),
            self._budgets.next_look_s(),
            *(turn.next_turn_s() for turn in self._registry.turns),
        ):
            if check_s is not None:
                timeout_s = min(timeout_s, check_s)
        for next_us in (self._timers.next_us, self._outbox.next_us):
            if next_us is not None:
                timeout_s = min(timeout_s, (next_us - self._clock.now_us()) / 1e6)
        return max(timeout_s, 0.0)

    # Reports become events

    def _take(self, report: msg.Report) -> None:
        flight = self._in_flight.pop(report.token, None)
        if flight is None:
            if not self._placed.take(report):
                self._outbox.take(report, self._now_us, self._batch)
            return
        run, task_run, attempt, ready, _ = flight
        for tell in self._registry.attempt_ended:
            tell(report.token)
        if self._pauses:
            self._pauses.close(run.id, "the attempt has ended")
        if self._placed:
            self._placed.body_ended(run, report)
        del self._tokens[task_run]
        self._queue.release(ready)
        if task_run.attempt != attempt or task_run.state is not TaskRunState.RUNNING:
            # The engine has given this attempt up; the message changes nothing.
            return
        task_id, path = task_run.task_id, task_run.path
        now_us = self._now_us
        event: ev.Input
        if type(report) is msg.Succeeded:
            for value in report.values:
                self.keep(run, task_run, value)
            source = ""
            if report.caching is not None:
                source = self._cached.note(run, task_run, report, self._batch)
            event = successful(
                run, task_run, report, now_us, is_timed=self._uses_reported_times, source=source
            )
        else:
            is_timed = self._uses_reported_times
            chance = self._chance
            event = unsuccessful(
                run,
                task_run,
                attempt,
                report,  # type: ignore[arg-type]  # type() narrows no union for mypy
                now_us=now_us,
                is_timed=is_timed,
                chance=chance,
            )
            if type(event) is ev.AttemptDeferred and event.deferral is not None:
                self._waits.begin(run, task_run)
        self._apply(run, event, task_id, format_path(path) if path else "")

    def keep(self, run: LiveRun, task_run: TaskRun, value: StoredValue) -> None:
        """Add a value of a task run to the next commit."""
        run.values.put(task_run.task_id, task_run.path, value)
        self._batch.values.append(run.value_row(task_run, value))

    def _take_token(self) -> int:
        self._token += 1
        return self._token

    def _take_answer(self, request: RunRequest) -> None:
        run = self._runs.get(request.run_id)
        if run is None:
            return
        payload = msgspec.json.decode(request.payload)
        if self._pauses.answer(run.id, request.task_id, request.path, payload, request.by):
            return
        task_run = run.machine.task_run(request.task_id, parse_path(request.path))
        if task_run is None or task_run.deferral is None or not task_run.deferral.request:
            # Somebody else answered first, or its time is over.
            return
        resumption = Resumption(task_run.deferral.method, payload=payload, by=request.by)
        self._end_wait(run, task_run, resumption)

    def _end_wait(self, run: LiveRun, task_run: TaskRun, resumption: Resumption) -> None:
        task_id, path = task_run.task_id, task_run.path
        event = ev.DeferralEnded(self._now_us, task_id, path, task_run.attempt, resumption)
        self._apply(run, event, task_id, format_path(path))

    def _fire(self, run_id: int, timer: cmd.SetTimer) -> None:
        event = ev.TimerFired(self._now_us, timer.kind, timer.task_id, timer.path, timer.attempt)
        self._apply(self._runs[run_id], event, timer.task_id, format_path(timer.path))

    def rewrite(self, run: LiveRun, task_run: TaskRun) -> None:
        """Write a task run's row again with the next commit."""
        run.dirty[id(task_run)] = task_run
        self._touched[run.id] = run

    def _settle_past(self, run: LiveRun, task_run: TaskRun, found: Settled | str) -> None:
        if isinstance(found, str):
            run.reasons[task_run] = found
            self.rewrite(run, task_run)
            return
        task_id, path = task_run.task_id, task_run.path
        event = ev.PastSettled(self._now_us, task_id, path, found.is_good, found.reason)
        self._apply(run, event, task_id, format_path(path))

    # Events go through the engine

    def _apply(self, run: LiveRun, event: ev.Input, task_id: str, path: str) -> None:
        commands = run.machine.apply(event)
        if not commands and not isinstance(event, ev.Recovered):
            return
        self._batch.events.append(EventRow(run.id, task_id, path, event.at_us, event))
        if isinstance(event, ev.TaskRunsCleared):
            run.forget_mapped()
        self._carry_out(run, commands)

    def _apply_to_step(self, run: LiveRun, event: ev.PauseBegan | ev.PauseEnded, path: str) -> None:
        self._apply(run, event, event.task_id, path)

    def _carry_out(self, run: LiveRun, commands: list[cmd.Command]) -> None:
        self._touched[run.id] = run
        if self._past:
            self._past.note_change(run.id)
        dirty = run.dirty
        for command in commands:
            if isinstance(command, cmd.SaveTaskRun):
                dirty[id(command.task_run)] = command.task_run
            elif isinstance(command, cmd.Enqueue):
                self._enqueue(run, command.task_run)
            else:
                self._carry_out_rare(run, command)

    def _enqueue(self, run: LiveRun, task_run: TaskRun) -> None:
        position = task_run.position
        self._queue.push(Ready(run.id, task_run, run.lanes[position]), run.priorities[position])

    def _carry_out_rare(self, run: LiveRun, command: cmd.Command) -> None:
        batch = self._batch
        match command:
            case cmd.Record(fact):
                task_id, path = ev.subject_of(fact)
                if isinstance(fact, ev.TaskRunEnded) and fact.reason:
                    self._explain(run, fact)
                batch.events.append(EventRow(run.id, task_id, path, fact.at_us, fact))
            case cmd.SaveExpansion(container_id, path, lengths):
                row = ExpansionRow(
                    run.id, container_id, format_path(path), msgspec.json.encode(lengths).decode()
                )
                batch.expansions.append(row)
            case cmd.SaveRun():
                run.is_row_dirty = True
                if run.machine.is_terminal:
                    self._ended.append(run)
                    if self._pauses:
                        self._pauses.close(run.id, "the run has ended")
            case cmd.AskPast(task_run):
                self._past.begin(run, task_run)
            case cmd.SetTimer():
                self._timers.add(run.id, command)
            case cmd.CancelAttempt(task_run, reason):
                self._cancels.append((task_run, reason))
            case cmd.ArchiveAttempt():
                batch.attempts.append(run.attempt_row(command))
                run.values.drop(command.task_run.task_id, command.task_run.path)
            case cmd.Notify(moment, told_of):
                self._outbox.tell(run, moment, told_of, self._now_us, batch)
            case cmd.Dequeue() | cmd.Enqueue() | cmd.SaveTaskRun():
                # A queued task run that ended is passed over by the queue.
                return
            case _:
                assert_never(command)

    def _explain(self, run: LiveRun, fact: ev.TaskRunEnded) -> None:
        task_run = run.machine.task_run(fact.task_id, fact.path)
        if task_run is not None:
            run.reasons[task_run] = fact.reason

    # Dispatch

    def _dispatch(self) -> None:
        self.executors.dispatch(self._queue, self._start)

    def _start(self, executor: Executor, ready: Ready) -> None:
        run, task_run = self._runs[ready.run_id], ready.task_run
        self._token = token = self._token + 1
        if task_run.position == NO_POSITION:
            self._starts.append((executor, run, [self._placed.start(executor, ready, token)]))
            return
        run.forget_outcome(task_run)
        attempt = task_run.attempt + 1
        path = task_run.path
        event = ev.AttemptStarted(self._now_us, task_run.task_id, path, attempt)
        self._apply(run, event, task_run.task_id, format_path(path) if path else "")
        self._in_flight[token] = InFlight(run, task_run, attempt, ready, executor)
        self._tokens[task_run] = token
        spec = run.spec(task_run, token)
        starts = self._starts
        if starts and starts[-1][0] is executor and starts[-1][1] is run:
            starts[-1][2].append(spec)
        else:
            starts.append((executor, run, [spec]))

    def _executor_of(self, task_run: TaskRun) -> Executor | None:
        token = self._tokens.get(task_run)
        return None if token is None else self._in_flight[token].executor

    # Commit, then act

    def commit(self) -> None:
        """Make everything durable that this turn has changed."""
        batch = self._batch
        for run in self._touched.values():
            if run.dirty:
                for task_run in run.dirty.values():
                    explain_loss(run, task_run)
                    batch.task_runs.append(run.task_run_row(task_run))
                    if self._waits:
                        self._waits.forget_if_over(task_run)
                run.dirty.clear()
            if run.is_row_dirty:
                batch.runs.append(run.update())
                run.is_row_dirty = False
        self._touched.clear()
        if self._placed:
            self._placed.write()
        if batch:
            self._commits.write(batch)
            batch.clear()
            self._outbox.committed()
            for tell in self._registry.committed:
                tell()
        if self._laters:
            laters, self._laters = self._laters, []
            for later, value in laters:
                later.settle(value)

    @property
    def batch(self) -> Batch:
        """What the next commit writes."""
        return self._batch

    def after_commit(self, value: Any = None) -> Later:
        """Return an answer that is given once the next commit is durable."""
        later = Later(self.commit)
        self._laters.append((later, value))
        return later

    def note_progress(self, run: LiveRun, body: TaskRun) -> None:
        """Take note that a body, and so those that call it, got further than they ever were.

        A long flow may so be lost as often as it likes; one that is lost at the same step again
        and again may not.
        """
        if body.losses:
            task_id, path, attempt = body.task_id, body.path, body.attempt
            event = ev.AttemptProgressed(self._now_us, task_id, path, attempt)
            self._apply(run, event, task_id, format_path(path))
        caller = self._in_flight.get(self._nested.caller_of(run.id))
        if caller is not None:
            self.note_progress(caller.run, caller.task_run)

    def _send(self) -> None:
        starts, self._starts = self._starts, []
        for executor, run, specs in starts:
            executor.start(specs, run.info)
        self._outbox.start(self._now_us)
        if self._cancels:
            cancels, self._cancels = self._cancels, []
            for task_run, reason in cancels:
                token = self._tokens.get(task_run)
                if token is not None:
                    if self._pauses:
                        self._pauses.close(self._in_flight[token].run.id, reason)
                    flight = self._in_flight[token]
                    flight.executor.cancel(token, reason)
                    if self._placed:
                        self._placed.cancel(flight.run.id, reason)
        if self._ended:
            # A run that is refused as it is taken up has ended by two events.
            for run in dict.fromkeys(self._ended):
                for tell in self._registry.run_ended:
                    tell(run)
                for child in self._nested.run_ended(run):
                    self.cancel(child, f"{run.row.flow}#{run.row.number} ended")
                if run.machine.is_terminal:
                    self._runs.pop(run.id, None)
                    self._placed.forget(run.id)
                    self._outbox.forget(run)
            self._ended.clear()

    # Calls of running attempts

    def answer(self, token: int, method: str, args: dict[str, Any]) -> Any:
        """Answer what a running attempt asks; see ``runtime.messages.CALLS``.

        Raises:
            ExecutionError: The attempt is no longer the current one.
            UsageError: No such call.
        """
        if method == "in_subflow":
            self._nested.check_caller(args["token"], token)
            return self.answer(**args)
        waiting = self._waits.get(token)
        if waiting is not None:
            return self._calls.answer_trigger(*waiting, method, args)
        if self._outbox.knows(token):
            return self._calls.answer_notice(self._outbox.run_of(token), method, args)
        placed = self._placed.flight(token)
        if placed is not None:
            return self._calls.answer(placed.run, placed.body, method, args)
        flight = self._in_flight.get(token)
        if flight is None or flight.task_run.attempt != flight.attempt:
            message = "this attempt was given up; its call is refused"
            raise ExecutionError(message)
        return self._calls.answer(flight.run, flight.task_run, method, args)
