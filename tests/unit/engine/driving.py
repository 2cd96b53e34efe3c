"""Drive the machine by hand: one event at a time, with everything that it asked for at hand."""

from typing import TypeVar

from ostinato.engine import commands as cmd
from ostinato.engine import events as ev
from ostinato.engine.machine import RunMachine
from ostinato.engine.plan import Plan
from ostinato.engine.task_run import TaskRun
from ostinato.model.failure import Failure, FailureKind
from ostinato.model.flow import (
    Edge,
    Expansion,
    Factor,
    FlowDefinition,
    GroupDefinition,
    LengthSource,
    LiteralLength,
    TaskDefinition,
    TaskKind,
)
from ostinato.model.identity import MapPath
from ostinato.model.policy import Policy

ERROR = Failure(FailureKind.ERROR, "ValueError", "made up")
STOPPED = Failure(FailureKind.CANCELLED, "AttemptCancelled", "stopped")
SECOND = 1_000_000

C = TypeVar("C", bound=cmd.Command)


def task(
    id: str,
    policy: Policy = Policy(),  # noqa: B008 - immutable
    *,
    kind: TaskKind = TaskKind.NORMAL,
    group: str = "",
    over: LengthSource | int | None = None,
    ignores_rules: bool = True,
) -> TaskDefinition:
    return TaskDefinition(
        id,
        kind=kind,
        group=group,
        policy=policy,
        expansion=None if over is None else expansion(over),
        ignore_downstream_trigger_rules=ignores_rules,
    )


def expansion(*over: LengthSource | int) -> Expansion:
    lengths = [LiteralLength(one) if isinstance(one, int) else one for one in over]
    return Expansion(tuple(Factor(f"x{i}", length) for i, length in enumerate(lengths)))


def flow(
    *tasks: TaskDefinition,
    edges: str = "",
    groups: tuple[GroupDefinition, ...] = (),
    timeout_s: float = 0.0,
    deadline_s: float = 0.0,
    fail_fast: bool = False,
) -> FlowDefinition:
    """Return a flow; edges are written ``a>b b>c``."""
    pairs = [edge.split(">") for edge in edges.split()]
    return FlowDefinition(
        "made_up",
        tasks=tasks,
        groups=groups,
        edges=tuple(Edge(upstream, downstream) for upstream, downstream in pairs),
        timeout_s=timeout_s,
        deadline_s=deadline_s,
        fail_fast=fail_fast,
    )


class Driven:
    """A run whose every event a test chooses.

    Args:
        flow: What runs.
        is_started: Whether it starts at once.
    """

    def __init__(self, flow: FlowDefinition, *, is_started: bool = True) -> None:
        self.plan = Plan(flow)
        self.machine = RunMachine(self.plan)
        self.now_us = SECOND
        self.log: list[ev.Input] = []
        self.commands: list[cmd.Command] = []
        self.expansions: dict[tuple[str, MapPath], tuple[int, ...]] = {}
        if is_started:
            self.feed(ev.RunStarted(self.now_us))

    def feed(self, event: ev.Input) -> list[cmd.Command]:
        self.log.append(event)
        commands = self.machine.apply(event)
        self.commands += commands
        return commands

    def last(self, kind: type[C]) -> C:
        """Return the latest command of a kind."""
        return [command for command in self.commands if isinstance(command, kind)][-1]

    def timer(self, kind: str) -> cmd.SetTimer:
        """Return the latest timer of a kind."""
        timers = [command for command in self.commands if isinstance(command, cmd.SetTimer)]
        return [timer for timer in timers if timer.kind == kind][-1]

    def __getitem__(self, key: str | tuple[str, *MapPath]) -> TaskRun:
        task_id, *path = (key,) if isinstance(key, str) else key
        found = self.machine.task_run(task_id, tuple(path))
        assert found is not None, f"{key} does not exist"
        return found

    def state(self, task_id: str, *path: int) -> str:
        return self[(task_id, *path)].state.label

    @property
    def outcome(self) -> str:
        return self.machine.state.label

    @property
    def states(self) -> dict[str, str]:
        return {str(one.key): one.state.label for one in self.machine.task_runs()}

    # Events

    def begin(self, task_id: str, *path: int) -> None:
        attempt = self[(task_id, *path)].attempt + 1
        self.feed(ev.AttemptStarted(self.now_us, task_id, path, attempt))

    def _name(self, task_id: str, path: MapPath) -> tuple[int, str, MapPath, int]:
        return self.now_us, task_id, path, self[(task_id, *path)].attempt

    def succeed(
        self,
        task_id: str,
        *path: int,
        length: int | None = None,
        chosen: tuple[str, ...] | None = None,
        stop: bool = False,
    ) -> None:
        """Let a task run succeed; it begins if it has not."""
        if self.state(task_id, *path) == "queued":
            self.begin(task_id, *path)
        name = self._name(task_id, path)
        self.feed(ev.AttemptSucceeded(*name, length, chosen, stop))

    def fail(self, task_id: str, *path: int, failure: Failure = ERROR) -> None:
        """Let a task run fail; it begins if it has not."""
        if self.state(task_id, *path) == "queued":
            self.begin(task_id, *path)
        self.feed(ev.AttemptFailed(*self._name(task_id, path), failure))

    def lose(self, task_id: str, *path: int) -> None:
        self.feed(ev.AttemptLost(*self._name(task_id, path)))

    def progress(self, task_id: str, *path: int) -> None:
        self.feed(ev.AttemptProgressed(*self._name(task_id, path)))

    def revoke(self, task_id: str, *path: int) -> None:
        self.feed(ev.AttemptRevoked(*self._name(task_id, path)))

    def defer(self, task_id: str, *path: int, until_us: int = 99 * SECOND) -> None:
        self.feed(ev.AttemptDeferred(*self._name(task_id, path), until_us))

    def fire(self, timer: cmd.SetTimer) -> list[cmd.Command]:
        self.now_us = max(self.now_us, timer.at_us)
        name = (timer.kind, timer.task_id, timer.path, timer.attempt)
        return self.feed(ev.TimerFired(self.now_us, *name))

    def cancel(self, by: str = "") -> None:
        self.feed(ev.CancelRequested(self.now_us, by))

    def clear(self, *keys: str | tuple[str, *MapPath]) -> None:
        full = [(key, ()) if isinstance(key, str) else (key[0], key[1:]) for key in keys]
        self.now_us += SECOND
        self.feed(ev.TaskRunsCleared(self.now_us, tuple(full)))

    def take_over(self, *, is_counted: bool = False) -> list[cmd.Command]:
        """Throw the machine away and build it again from what is kept."""
        old = self.machine
        self.machine, commands = RunMachine.restore(
            self.plan,
            state=old.state,
            reason=old.reason,
            started_us=old.started_us,
            ended_us=old.ended_us,
            generation=old.generation,
            task_runs=old.snapshot(),
            expansions=dict(old.expansions),
            at_us=self.now_us,
        )
        self.commands += commands
        if not self.machine.is_terminal:
            self.feed(ev.Recovered(self.now_us, is_counted))
        return commands
