"""A run under faults, in memory: the real engine, a model of its coordinator, store and workers.

A commit writes what the coordinator writes, for one event or for several; when it fails, or
a coordinator loses its lease, the machine is thrown away and built again from what was
committed before. One seed decides everything.
"""

import random
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from ostinato.coordinator.limits import Budget, Executors, Limits
from ostinato.engine import commands as cmd
from ostinato.engine import events as ev
from ostinato.engine.machine import RunMachine, replay
from ostinato.engine.plan import Plan
from ostinato.engine.priority import priority_weights
from ostinato.engine.queueing import DEFAULT_POOL, Lane, Limit, Ready, ReadyQueue
from ostinato.engine.run_graph import ACTIVE
from ostinato.engine.task_run import TaskRun, TaskRunRecord
from ostinato.engine.transitions import TASK_RUN_TRANSITIONS
from ostinato.model.deferral import Deferral, InputRequest, Resumption, TriggerSpec
from ostinato.model.failure import Failure, FailureKind
from ostinato.model.flow import FlowDefinition, TaskKind
from ostinato.model.identity import MapPath
from ostinato.model.policy import Compute, WeightRule
from ostinato.model.state import RunState, TaskRunState
from tests.strategies import Outcomes, Shape, random_flow

Key = tuple[str, MapPath]

ERROR = Failure(FailureKind.ERROR, "ValueError", "made up")
STOPPED = Failure(FailureKind.CANCELLED, "AttemptCancelled", "stopped")
TRIGGER = Deferral("go_on", trigger=TriggerSpec("tests:Bell"))
QUESTION = Deferral("go_on", request=InputRequest("Go on?"))
SLOTS = 3
GONE = (TaskRunState.PENDING, TaskRunState.REMOVED)


class Simulation:
    """One run; each method is something that may happen to it.

    Args:
        seed: Decides the flow, what its tasks do, and every choice.
        failing: Share of commits that fail.
        batching: Share of events that are committed with the next one.
    """

    def __init__(self, seed: int, *, failing: float = 0.03, batching: float = 0.3) -> None:
        self.chance = random.Random(seed)
        flow = random_flow(self.chance, Shape(skips_meet_eager_rules=True))
        self.flow = with_bounds(flow, self.chance)
        self.plan = Plan(self.flow)
        self.priorities = priority_weights(self.plan)
        self.outcomes = Outcomes(self.flow, seed)
        self.machine = RunMachine(self.plan)
        self.now_us = 1_000_000
        self.failing = failing
        self.batching = batching
        #: For whoever chooses by hand: the next commit fails, the next event waits for another.
        self.fails_next = self.batches_next = False
        self.commits = 0
        # What the store holds.
        self.rows: dict[Key, TaskRunRecord] = {}
        self.expansions: dict[Key, tuple[int, ...]] = {}
        self.run = (RunState.QUEUED, "", 0, 0, 0)
        self.log: list[ev.Event] = []
        # What the coordinator holds in memory; the first three wait for the next commit.
        self.events: list[ev.Event] = []
        self.dirty: dict[Key, TaskRun] = {}
        self.writes: list[cmd.SaveExpansion | cmd.SaveRun] = []
        self.queue = ReadyQueue()
        self.limits, self.lanes = self._fresh_lanes()
        self.timers: list[cmd.SetTimer] = []
        self.running: dict[tuple[Key, int], Ready] = {}
        self.stopping: set[Key] = set()
        self.asking: set[Key] = set()
        # What must hold over the whole run.
        self.dispatched: set[tuple[Key, int]] = set()
        self.succeeded: set[tuple[Key, int]] = set()
        self.before: dict[Key, TaskRunState] = {}
        #: Reports that came, or may still come from attempts that were given up.
        self.past: list[ev.Input] = []

    def _fresh_lanes(self) -> tuple[list[Limit], list[Lane]]:
        limits = Limits({DEFAULT_POOL: SLOTS}, Budget(cpu=2, memory_bytes=100, is_cpu_given=False))
        lanes = limits.lanes(self.flow, Executors(frozenset({"inline"}), {}, "inline"))
        return list(
            {id(limit): limit for lane in lanes for limit, _ in lane.demands}.values()
        ), lanes

    # What may happen

    def start(self) -> None:
        self.feed(ev.RunStarted(self.now_us))

    def dispatch(self) -> None:
        """Slots are found for an attempt; it begins once that is durable."""
        ready = self.queue.pop("inline")
        if ready is None:
            return
        task_run = ready.task_run
        key, attempt = (task_run.task_id, task_run.path), task_run.attempt + 1
        assert (key, attempt) not in self.dispatched, f"{key} attempt {attempt} ran twice"
        assert (key, task_run.generation) not in self.succeeded, f"{key} had succeeded"
        self.running[key, attempt] = ready
        self.feed(ev.AttemptStarted(self.now_us, *key, attempt), waits=True)
        if self.commit():
            self.dispatched.add((key, attempt))

    def report(self) -> None:
        """An attempt ends as its outcome says."""
        self._end(self._outcome_of)

    def lose(self) -> None:
        """A worker dies under an attempt."""
        self._end(lambda task_run: ev.AttemptLost(self.now_us, *_name(task_run)))

    def progress(self) -> None:
        """An attempt gets further than the ones that were lost before it."""
        if self.running:
            ready = self.running[self.chance.choice(list(self.running))]
            self.feed(ev.AttemptProgressed(self.now_us, *_name(ready.task_run)))

    def revoke(self) -> None:
        """An attempt is taken back before it began."""
        self._end(lambda task_run: ev.AttemptRevoked(self.now_us, *_name(task_run)))

    def defer(self) -> None:
        """An attempt asks to be continued later: at a moment, after a trigger or an answer."""
        until_us = self.now_us + 5_000_000
        deferral = self.chance.choice((None, TRIGGER, QUESTION))
        if deferral is not None and self.chance.random() < 0.5:
            until_us = 0
        self._end(
            lambda task_run: ev.AttemptDeferred(
                self.now_us, *_name(task_run), until_us, deferral=deferral
            )
        )

    def end_wait(self) -> None:
        """A trigger fires or a person answers."""
        waiting = [
            each
            for each in self.machine.task_runs()
            if each.state is TaskRunState.DEFERRED and each.deferral is not None
        ]
        if not waiting:
            return
        task_run = self.chance.choice(waiting)
        event = ev.DeferralEnded(self.now_us, *_name(task_run), Resumption("go_on", payload=1))
        self.past.append(event)
        self.feed(event)

    def settle_past(self) -> None:
        """It is known how an earlier run went."""
        if not self.asking:
            return
        key = self.chance.choice(sorted(self.asking))
        self.asking.remove(key)
        is_good = self.chance.random() < 0.8
        event = ev.PastSettled(self.now_us, *key, is_good, "" if is_good else "it failed before")
        self.feed(event)

    def repeat_report(self) -> None:
        """A report comes a second time, or too late."""
        if self.past:
            before = self.machine.snapshot()
            assert self.machine.apply(self.chance.choice(self.past)) == []
            assert self.machine.snapshot() == before

    def fire_timer(self) -> None:
        if self.timers:
            timer = self.timers.pop(self.chance.randrange(len(self.timers)))
            self.now_us = max(self.now_us, timer.at_us)
            event = ev.TimerFired(self.now_us, timer.kind, timer.task_id, timer.path, timer.attempt)
            self.feed(event)

    def cancel(self) -> None:
        self.feed(ev.CancelRequested(self.now_us, "somebody"))

    def refuse(self) -> None:
        """There is no code for the run any more; whoever takes it over ends it."""
        self.crash()
        self.feed(ev.RunRefused(self.now_us, "code_unavailable: its code is gone"))

    def clear(self) -> None:
        """Somebody has parts of the ended run executed again."""
        self.commit()
        ended = [t for t in self.machine.task_runs() if t.state.is_terminal]
        if not (self.machine.is_terminal and ended):
            return
        chosen = self.chance.sample(ended, min(len(ended), self.chance.randint(1, 2)))
        keys = tuple((t.task_id, t.path[: self.chance.randint(0, 2)]) for t in chosen)
        whole, alone = (keys, ()) if self.chance.random() < 0.7 else (keys[:1], keys[1:])
        announced = {(t.task_id, t.path) for t in self.machine.would_clear(whole, alone)}
        before = {(r.task_id, r.path): r for r in self.machine.snapshot()}
        self.feed(ev.TaskRunsCleared(self.now_us, whole, alone=alone), waits=True)
        self._check_clear(before, announced, is_whole=not alone)
        self.commit()

    def crash(self) -> None:
        """The coordinator is gone; another takes the run over."""
        for name, ready in self.running.items():
            if name not in self.dispatched:
                continue
            self.past.append(ev.AttemptSucceeded(self.now_us, *_name(ready.task_run), 2))
        self._restore()
        if self.run[0] is RunState.QUEUED:
            self.start()
        elif not self.machine.is_terminal:
            self.feed(ev.Recovered(self.now_us, is_counted=self.chance.random() < 0.5))
            self.commit()

    # How it happens

    def feed(self, event: ev.Input, *, waits: bool = False) -> None:
        """Apply an event; it is committed at once, or with the next one where it waits."""
        self.now_us += 1
        commands = self.machine.apply(event)
        if not commands and not isinstance(event, ev.Recovered):
            return
        self.events.append(event)
        self._carry_out(commands)
        if isinstance(event, ev.TaskRunsCleared):
            self.before.clear()
        is_batched, self.batches_next = self.batches_next, False
        if not (waits or is_batched) and self.chance.random() >= self.batching:
            self.commit()

    def commit(self) -> bool:
        """Write what has come together; False if that fails and the coordinator is gone."""
        if not (self.events or self.dirty or self.writes):
            return True
        is_failing, self.fails_next = self.fails_next, False
        if is_failing or self.chance.random() < self.failing:
            self.crash()
            return False
        self.commits += 1
        self.log += self.events
        for key, task_run in self.dirty.items():
            self.rows[key] = record_of(task_run)
        for write in self.writes:
            self._write(write)
        self.events, self.dirty, self.writes = [], {}, []
        self._check_transitions()
        self.check()
        return True

    def _carry_out(self, commands: Iterable[cmd.Command]) -> None:
        for command in commands:
            match command:
                case cmd.SaveTaskRun(task_run):
                    self.dirty[task_run.task_id, task_run.path] = task_run
                case cmd.SaveExpansion() | cmd.SaveRun():
                    self.writes.append(command)
                case cmd.Enqueue(task_run):
                    position = task_run.position
                    priority = self.priorities[position]
                    self.queue.push(Ready(1, task_run, self.lanes[position]), priority)
                case cmd.SetTimer():
                    self.timers.append(command)
                case cmd.AskPast(task_run):
                    self.asking.add((task_run.task_id, task_run.path))
                case cmd.CancelAttempt(task_run):
                    self.stopping.add((task_run.task_id, task_run.path))
                case cmd.Record(fact):
                    self.events.append(fact)
                case _:
                    pass

    def _write(self, write: cmd.SaveExpansion | cmd.SaveRun) -> None:
        machine = self.machine
        match write:
            case cmd.SaveExpansion(container_id, path, lengths):
                if lengths:
                    self.expansions[container_id, path] = lengths
                else:
                    self.expansions.pop((container_id, path), None)
            case cmd.SaveRun():
                times = (machine.started_us, machine.ended_us)
                self.run = (machine.state, machine.reason, *times, machine.generation)

    def _end(self, event_of: Callable[[TaskRun], ev.Input]) -> None:
        if not self.running:
            return
        name = self.chance.choice(list(self.running))
        ready = self.running.pop(name)
        self.queue.release(ready)
        self.stopping.discard(name[0])
        event = event_of(ready.task_run)
        self.past.append(event)
        if isinstance(event, ev.AttemptLost | ev.AttemptRevoked):
            self.past.append(ev.AttemptSucceeded(self.now_us, *_name(ready.task_run), 2))
        self.feed(event)

    def _outcome_of(self, task_run: TaskRun) -> ev.Input:
        name = (self.now_us, *_name(task_run))
        if (task_run.task_id, task_run.path) in self.stopping and self.chance.random() < 0.8:
            return ev.AttemptFailed(*name, STOPPED)
        outcome = self.outcomes.of(task_run.task_id, task_run.path)
        if outcome.kind == "fail" or task_run.failures < outcome.failures:
            return ev.AttemptFailed(*name, ERROR, jitter=self.chance.random())
        if outcome.kind == "skip":
            return ev.AttemptSkipped(*name)
        return ev.AttemptSucceeded(*name, outcome.length, outcome.chosen, outcome.stop)

    def _restore(self) -> None:
        self.queue, self.timers, self.running = ReadyQueue(), [], {}
        self.events, self.dirty, self.writes = [], {}, []
        self.limits, self.lanes = self._fresh_lanes()
        self.stopping.clear()
        self.asking.clear()
        self.before.clear()
        self.machine, commands = self.restored()
        self._carry_out(commands)

    def restored(self) -> tuple[RunMachine, list[cmd.Command]]:
        """Return the machine that the committed rows give."""
        state, reason, started_us, ended_us, generation = self.run
        return RunMachine.restore(
            self.plan,
            state=state,
            reason=reason,
            started_us=started_us,
            ended_us=ended_us,
            generation=generation,
            task_runs=list(self.rows.values()),
            expansions=dict(self.expansions),
            at_us=self.now_us,
        )

    # What must hold

    def check(self) -> None:
        """Assert what holds after each commit."""
        snapshot = {(r.task_id, r.path): r for r in self.machine.snapshot()}
        for key, row in self.rows.items():
            if row.state not in GONE:
                assert snapshot.get(key) == row, f"{key}: kept {row}, is {snapshot.get(key)}"
        for key, record in snapshot.items():
            if key not in self.rows or self.rows[key].state in GONE:
                assert record.state is TaskRunState.QUEUED, f"{key} {record} was not kept"
        self._check_counters()
        self._check_restored(snapshot)
        for row in self.rows.values():
            if row.state is TaskRunState.SUCCEEDED:
                self.succeeded.add(((row.task_id, row.path), row.generation))
        if self.machine.is_terminal:
            assert [r for r in snapshot.values() if not r.state.is_terminal] == []
            assert self.machine._live == 0

    def _check_counters(self) -> None:
        active = [t for t in self.machine.task_runs() if t.state in ACTIVE]
        assert self.machine._active == len(active)
        timed = {(timer.task_id, timer.path, timer.attempt) for timer in self.timers}
        for task_run in active:
            key = (task_run.task_id, task_run.path)
            if task_run.awaits_past:
                assert key in self.asking, f"nobody asks for {task_run!r}"
            elif task_run.state is TaskRunState.RETRYING or (
                task_run.state is TaskRunState.DEFERRED and task_run.due_us
            ):
                assert _name(task_run) in timed, f"nothing wakes {task_run!r}"
        for limit in self.limits:
            ready = [each for run in self.running.values() for each in run.lane.demands]
            taken = [amount for other, amount in ready if other is limit]
            assert sum(taken) == limit.used <= limit.slots, limit.name

    def _check_restored(self, snapshot: dict[Key, TaskRunRecord]) -> None:
        again, commands = self.restored()
        assert timeless(again.snapshot()) == timeless(snapshot.values())
        assert (again._live, again._active) == (self.machine._live, self.machine._active)
        assert (again.state, again.reason) == (self.machine.state, self.machine.reason)
        queued = [c.task_run.key for c in commands if isinstance(c, cmd.Enqueue)]
        assert sorted(queued) == sorted(
            key for key, record in snapshot.items() if record.state is TaskRunState.QUEUED
        )
        asked = {c.task_run.key for c in commands if isinstance(c, cmd.AskPast)}
        assert asked == {t.key for t in self.machine.task_runs() if t.awaits_past}
        passed = cmd.Enqueue | cmd.SetTimer | cmd.AskPast
        others = [c for c in commands if not isinstance(c, passed)]
        assert others == [], "what was committed had not settled"

    def _check_clear(
        self, before: dict[Key, TaskRunRecord], announced: set[Key], *, is_whole: bool
    ) -> None:
        """Assert that what was announced is cleared, nothing else, and all that depends on it."""
        machine = self.machine
        for key, record in before.items():
            found = machine.task_run(*key)
            if key in announced:
                assert found is None or found.generation == record.generation + 1, key
            else:
                assert found is not None, f"{key} is gone"
                assert record_of(found) == record, f"{key} was not announced"
        kept = [t for t in machine.task_runs() if (t.task_id, t.path) in before]
        for task_run in kept if is_whole else ():
            if (task_run.task_id, task_run.path) in announced:
                continue
            for upstream, depth in self.plan.nodes[task_run.position].upstream:
                node, prefix = self.plan.nodes[upstream], task_run.path[:depth]
                if node.task is not None and node.task.kind is not TaskKind.SETUP:
                    assert machine.is_settled(node.id, prefix), f"{task_run!r} waits for {node.id}"

    def check_end(self) -> None:
        """Assert what holds when the run has ended."""
        assert self.machine.is_terminal, f"stuck in {self.machine.state}"
        replayed = replay(self.plan, self.log)
        assert timeless(replayed.snapshot()) == timeless(self.machine.snapshot())
        for name in ("state", "reason", "started_us", "ended_us", "generation"):
            assert getattr(replayed, name) == getattr(self.machine, name), name

    def _check_transitions(self) -> None:
        for task_run in self.machine.task_runs():
            key = (task_run.task_id, task_run.path)
            old = self.before.get(key, task_run.state)
            # An event, and more so a commit, may take a task run through several states.
            assert task_run.state in REACHABLE[old], f"{task_run!r} was {old.label}"
            self.before[key] = task_run.state

    # A whole run

    def play(self, *, faults: float = 0.15, crash_at: int | None = None) -> None:
        """Let the run happen to its end.

        Args:
            faults: Share of steps that are a fault.
            crash_at: The coordinator is lost after this many commits.
        """
        if not faults:
            self.failing = 0.0
        self.start()
        clears, has_crashed = 0, False
        for _ in range(5_000):
            if crash_at is not None and self.commits >= crash_at and not has_crashed:
                has_crashed = True
                self.crash()
            if self.machine.is_terminal and self.commit() and self.machine.is_terminal:
                if clears < 2 and self.chance.random() < 2 * faults:
                    clears += 1
                    self.clear()
                    continue
                break
            if self.chance.random() < faults:
                fault = self.chance.choices(
                    (self.lose, self.revoke, self.defer, self.repeat_report, self.crash,
                     self.fire_timer, self.end_wait, self.settle_past, self.progress, self.cancel,
                     self.refuse),
                    (4, 4, 3, 6, 4, 6, 4, 4, 2, 0.4, 0.2),
                )[0]  # fmt: skip
                fault()
            else:
                self.go_on()
        self.check_end()

    def go_on(self) -> None:
        """Let one thing happen that is no fault."""
        if self.chance.random() < 0.5 or not self.running:
            if not self.running and self.chance.random() < 0.3:
                self.fire_timer()
            self.dispatch()
            if not self.running:
                self.settle_past()
                self.end_wait()
                self.fire_timer()
        else:
            self.report()

    def finish(self) -> None:
        """Let the run come to its end without another fault."""
        self.failing, self.fails_next = 0.0, False
        for _ in range(5_000):
            if self.machine.is_terminal and self.commit():
                break
            self.go_on()
        self.check_end()


def with_bounds(flow: FlowDefinition, chance: random.Random) -> FlowDefinition:
    """Return a flow with deadlines, a timeout and limits here and there."""

    def rarely(*values: float) -> float:
        return chance.choice(values) if chance.random() < 0.15 else 0.0

    tasks = []
    for task in flow.tasks:
        policy = replace(
            task.policy,
            deadline_s=rarely(1.0, 30.0, 90.0),
            lost_attempts=chance.choice((0, 1, 3, 3)),
            max_active=int(rarely(1, 2)),
            max_active_over_runs=int(rarely(1, 2)),
            compute=Compute(cpu=rarely(0.3, 1, 4), memory_bytes=int(rarely(30, 80, 100))),
            weight_rule=chance.choice(list(WeightRule)),
            pool_slots=chance.choice((1, 1, 1, 2)),
        )
        tasks.append(replace(task, policy=policy))
    return replace(
        flow,
        tasks=tuple(tasks),
        timeout_s=rarely(5.0, 100.0),
        max_active_tasks=int(rarely(1, 2)),
    )


def _reachable() -> dict[TaskRunState, set[TaskRunState]]:
    """Return what each state may become, over any number of steps, without a clear."""
    steps = {
        old: set() if old.is_terminal else set(new) for old, new in TASK_RUN_TRANSITIONS.items()
    }
    found = {state: {state} for state in steps}
    for _ in steps:
        for reached in found.values():
            reached.update(*(steps[state] for state in reached))
    return found


REACHABLE = _reachable()


def record_of(task_run: TaskRun) -> TaskRunRecord:
    """Return a task run as the store keeps it."""
    return TaskRunRecord(*(getattr(task_run, name) for name in TaskRunRecord._fields))


def timeless(records: Iterable[TaskRunRecord]) -> list[TaskRunRecord]:
    """Return records in order, without the moment of queueing, which is not kept for each."""
    return sorted(
        (record._replace(queued_us=0) for record in records),
        key=lambda record: (record.task_id, record.path),
    )


def _name(task_run: TaskRun) -> tuple[str, MapPath, int]:
    return task_run.task_id, task_run.path, task_run.attempt
