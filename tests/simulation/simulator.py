"""A run under faults, in memory: the real engine, a model of its coordinator, store and workers.

Every event is a commit of its own. What a commit writes is what the coordinator writes; when
one fails, or a coordinator loses its lease, the machine is thrown away and built again from
what was committed before. One seed decides everything.
"""

import random
from collections.abc import Callable

from ostinato.engine import commands as cmd
from ostinato.engine import events as ev
from ostinato.engine.machine import RunMachine, replay
from ostinato.engine.plan import Plan
from ostinato.engine.queueing import Lane, Limit, Ready, ReadyQueue
from ostinato.engine.task_run import TaskRun, TaskRunRecord
from ostinato.engine.transitions import TASK_RUN_TRANSITIONS
from ostinato.model.failure import Failure, FailureKind
from ostinato.model.identity import MapPath
from ostinato.model.state import RunState, TaskRunState
from tests.strategies import Outcomes, Shape, random_flow

Key = tuple[str, MapPath]

ERROR = Failure(FailureKind.ERROR, "ValueError", "made up")
STOPPED = Failure(FailureKind.CANCELLED, "AttemptCancelled", "stopped")
SLOTS = 3
GONE = (TaskRunState.PENDING, TaskRunState.REMOVED)


class Simulation:
    """One run; each method is something that may happen to it.

    Args:
        seed: Decides the flow, what its tasks do, and every choice.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.flow = random_flow(self.chance, Shape(skips_meet_eager_rules=True))
        self.plan = Plan(self.flow)
        self.outcomes = Outcomes(self.flow, seed)
        self.machine = RunMachine(self.plan)
        self.now_us = 1_000_000
        # What the store holds.
        self.rows: dict[Key, TaskRunRecord] = {}
        self.expansions: dict[Key, tuple[int, ...]] = {}
        self.run = (RunState.QUEUED, "", 0, 0, 0)
        self.log: list[ev.Event] = []
        # What the coordinator holds in memory.
        self.queue = ReadyQueue()
        self.limit = Limit("slots", SLOTS)
        self.lane = Lane("inline", (self.limit,))
        self.timers: list[cmd.SetTimer] = []
        self.running: dict[tuple[Key, int], Ready] = {}
        self.stopping: set[Key] = set()
        # What must hold over the whole run.
        self.dispatched: set[tuple[Key, int]] = set()
        self.succeeded: set[tuple[Key, int]] = set()
        self.last_report: ev.Input | None = None

    # What may happen

    def start(self) -> None:
        self.feed(ev.RunStarted(self.now_us))

    def dispatch(self) -> None:
        ready = self.queue.pop("inline")
        if ready is None:
            return
        task_run = ready.task_run
        key, attempt = (task_run.task_id, task_run.path), task_run.attempt + 1
        if self.feed(ev.AttemptStarted(self.now_us, *key, attempt)):
            assert (key, attempt) not in self.dispatched, f"{key} attempt {attempt} ran twice"
            assert (key, task_run.generation) not in self.succeeded, f"{key} had succeeded"
            self.dispatched.add((key, attempt))
            self.running[key, attempt] = ready

    def report(self) -> None:
        """An attempt ends as its outcome says."""
        self._end(self._outcome_of)

    def lose(self) -> None:
        """A worker dies under an attempt."""
        self._end(lambda task_run: ev.AttemptLost(self.now_us, *_name(task_run)))

    def revoke(self) -> None:
        """An attempt is taken back before it began."""
        self._end(lambda task_run: ev.AttemptRevoked(self.now_us, *_name(task_run)))

    def defer(self) -> None:
        """An attempt asks to be continued later."""
        until_us = self.now_us + 5_000_000
        self._end(lambda task_run: ev.AttemptDeferred(self.now_us, *_name(task_run), until_us))

    def repeat_report(self) -> None:
        """A report comes a second time, or too late."""
        if self.last_report is not None:
            before = self.machine.snapshot()
            assert self.machine.apply(self.last_report) == []
            assert self.machine.snapshot() == before

    def fire_timer(self) -> None:
        if self.timers:
            timer = self.timers.pop(self.chance.randrange(len(self.timers)))
            self.now_us = max(self.now_us, timer.at_us)
            event = ev.TimerFired(self.now_us, timer.kind, timer.task_id, timer.path, timer.attempt)
            self.feed(event)

    def cancel(self) -> None:
        self.feed(ev.CancelRequested(self.now_us, "somebody"))

    def clear(self) -> None:
        """Somebody has parts of the ended run executed again."""
        ended = [t for t in self.machine.task_runs() if t.state.is_terminal]
        if not (self.machine.is_terminal and ended):
            return
        chosen = self.chance.sample(ended, min(len(ended), self.chance.randint(1, 2)))
        keys = tuple((t.task_id, t.path) for t in chosen)
        self.feed(ev.TaskRunsCleared(self.now_us, keys))

    def crash(self) -> None:
        """The coordinator is gone; another takes the run over."""
        self._restore()
        if self.run[0] is RunState.QUEUED:
            self.start()
        elif not self.machine.is_terminal:
            self.feed(ev.Recovered(self.now_us))

    # How it happens

    def feed(self, event: ev.Input, *, fails: bool = False) -> bool:
        """Apply an event and commit what comes of it; False where the commit failed."""
        self.now_us += 1
        before = {(t.task_id, t.path): t.state for t in self.machine.task_runs()}
        commands = self.machine.apply(event)
        if fails:
            self.crash()
            return False
        if not commands and not isinstance(event, ev.Recovered):
            return True
        self.log.append(event)
        for command in commands:
            self._carry_out(command)
        self._check_transitions(before, event)
        self.check()
        return True

    def _carry_out(self, command: cmd.Command) -> None:
        match command:
            case cmd.SaveTaskRun(task_run):
                key = (task_run.task_id, task_run.path)
                self.rows[key] = record_of(task_run)
            case cmd.SaveExpansion(container_id, path, lengths):
                if lengths:
                    self.expansions[container_id, path] = lengths
                else:
                    self.expansions.pop((container_id, path), None)
            case cmd.SaveRun():
                machine = self.machine
                self.run = (
                    machine.state,
                    machine.reason,
                    machine.started_us,
                    machine.ended_us,
                    machine.generation,
                )
            case cmd.Enqueue(task_run):
                task = self.plan.nodes[task_run.position].task
                assert task is not None
                self.queue.push(Ready(1, task_run, self.lane, 1), task.policy.priority)
            case cmd.SetTimer():
                self.timers.append(command)
            case cmd.CancelAttempt(task_run):
                self.stopping.add((task_run.task_id, task_run.path))
            case cmd.Record(fact):
                self.log.append(fact)
            case _:
                pass

    def _end(self, event_of: Callable[[TaskRun], ev.Input]) -> None:
        if not self.running:
            return
        name = self.chance.choice(list(self.running))
        ready = self.running.pop(name)
        self.queue.release(ready)
        event = event_of(ready.task_run)
        if self.feed(event, fails=self.chance.random() < 0.05):
            self.last_report = event
            if isinstance(event, ev.AttemptSucceeded):
                self.succeeded.add((name[0], ready.task_run.generation))

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
        self.limit = Limit("slots", SLOTS)
        self.lane = Lane("inline", (self.limit,))
        self.stopping.clear()
        self.last_report = None
        self.machine, commands = self.restored()
        for command in commands:
            self._carry_out(command)

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
        again, _ = self.restored()
        assert timeless(again.snapshot()) == timeless(snapshot.values())
        assert (again._live, again._active) == (self.machine._live, self.machine._active)
        assert again.state == self.machine.state
        assert 0 <= self.limit.used <= SLOTS
        if self.machine.is_terminal:
            live = [r for r in snapshot.values() if not r.state.is_terminal]
            assert live == []
            assert self.machine._live == 0

    def check_end(self) -> None:
        """Assert what holds when the run has ended."""
        assert self.machine.is_terminal, f"stuck in {self.machine.state}"
        replayed = replay(self.plan, self.log)
        assert timeless(replayed.snapshot()) == timeless(self.machine.snapshot())
        assert replayed.state == self.machine.state

    def _check_transitions(self, before: dict[Key, TaskRunState], event: ev.Input) -> None:
        if isinstance(event, ev.TaskRunsCleared):
            return
        for task_run in self.machine.task_runs():
            old = before.get((task_run.task_id, task_run.path))
            if old is not None and old is not task_run.state:
                assert old not in GONE or task_run.state is not TaskRunState.RUNNING
                # An event may take a task run through several states; an end stays an end.
                assert TASK_RUN_TRANSITIONS[old], f"{task_run!r} was {old.label}"
                assert not old.is_terminal, f"{task_run!r} was {old.label}"

    # A whole run

    def play(self, *, faults: float = 0.15, crash_at: int | None = None) -> None:
        """Let the run happen to its end.

        Args:
            faults: Share of steps that are a fault.
            crash_at: The coordinator is lost after this many commits.
        """
        self.start()
        clears = 0
        for step in range(5_000):
            if crash_at is not None and step == crash_at:
                self.crash()
            if self.machine.is_terminal:
                if clears < 2 and self.chance.random() < 2 * faults:
                    clears += 1
                    self.clear()
                    continue
                break
            if self.chance.random() < faults:
                fault = self.chance.choices(
                    (self.lose, self.revoke, self.defer, self.repeat_report, self.crash,
                     self.fire_timer, self.cancel),
                    (4, 4, 3, 6, 4, 6, 0.4),
                )[0]  # fmt: skip
                fault()
            elif self.chance.random() < 0.5 or not self.running:
                if not self.running and self.chance.random() < 0.3:
                    self.fire_timer()
                self.dispatch()
                if not self.running:
                    self.fire_timer()
            else:
                self.report()
        self.check_end()


def record_of(task_run: TaskRun) -> TaskRunRecord:
    """Return a task run as the store keeps it."""
    return TaskRunRecord(*(getattr(task_run, name) for name in TaskRunRecord._fields))


def timeless(records: object) -> list[TaskRunRecord]:
    """Return records in order, without the moment of queueing, which is not kept for each."""
    return sorted(
        (record._replace(queued_us=0) for record in records),  # type: ignore[attr-defined]  # records
        key=lambda record: (record.task_id, record.path),
    )


def _name(task_run: TaskRun) -> tuple[str, MapPath, int]:
    return task_run.task_id, task_run.path, task_run.attempt
