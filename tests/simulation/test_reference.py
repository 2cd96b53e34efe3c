"""The engine and an independent evaluator agree on random flows, in any order of completion."""

import random
from collections.abc import Callable

import pytest

from ostinato.engine import commands as cmd
from ostinato.engine import events as ev
from ostinato.engine.machine import RunMachine
from ostinato.engine.plan import Plan
from ostinato.engine.task_run import TaskRun
from ostinato.model.failure import Failure, FailureKind
from ostinato.model.flow import FlowDefinition, TaskKind
from ostinato.model.identity import MapPath
from ostinato.model.state import TaskRunState
from tests.reference import Reference
from tests.strategies import Outcome, Outcomes, Shape, random_flow

pytestmark = pytest.mark.simulation

#: Graphs in a normal test run over all chunks; with --soak.
GRAPHS, SOAK_GRAPHS, CHUNKS = 20_000, 100_000, 8

#: Those of which parts run again.
CLEARED, SOAK_CLEARED = 4_000, 40_000

ERROR = Failure(FailureKind.ERROR, "ValueError", "made up")


class Engine:
    """The engine alone; chance decides who is next.

    Args:
        flow: What runs.
        outcomes: What its task runs do.
        chance: Of the order.
    """

    def __init__(self, flow: FlowDefinition, outcomes: Outcomes, chance: random.Random) -> None:
        self.machine = RunMachine(Plan(flow))
        self.outcomes = outcomes
        self.now_us = 1
        self._chance = chance
        self._ready: list[TaskRun] = []
        self._running: list[TaskRun] = []
        self._timers: list[cmd.SetTimer] = []
        self._asking: list[TaskRun] = []
        self.feed(ev.RunStarted(self.now_us))

    def feed(self, event: ev.Input) -> None:
        for command in self.machine.apply(event):
            if isinstance(command, cmd.Enqueue):
                self._ready.append(command.task_run)
            elif isinstance(command, cmd.SetTimer):
                self._timers.append(command)
            elif isinstance(command, cmd.AskPast):
                self._asking.append(command.task_run)

    def run(self) -> None:
        """Go on to the end of the run."""
        chance, ready, running = self._chance, self._ready, self._running
        while ready or running or self._timers or self._asking:
            self.now_us += 1
            if self._asking and (chance.random() < 0.3 or not (ready or running)):
                self._settle_past(self._asking.pop(chance.randrange(len(self._asking))))
            elif self._timers and (chance.random() < 0.3 or not (ready or running)):
                timer = self._timers.pop(chance.randrange(len(self._timers)))
                self.now_us = max(self.now_us, timer.at_us)
                name = (timer.kind, timer.task_id, timer.path, timer.attempt)
                self.feed(ev.TimerFired(self.now_us, *name))
            elif ready and (chance.random() < 0.5 or not running):
                task_run = ready.pop(chance.randrange(len(ready)))
                if task_run.state is TaskRunState.QUEUED:
                    key, attempt = (task_run.task_id, task_run.path), task_run.attempt + 1
                    self.feed(ev.AttemptStarted(self.now_us, *key, attempt))
                    running.append(task_run)
            elif running:
                task_run = running.pop(chance.randrange(len(running)))
                self.feed(report_of(task_run, self.outcomes, self.now_us))

    def _settle_past(self, task_run: TaskRun) -> None:
        key = (task_run.task_id, task_run.path)
        self.feed(ev.PastSettled(self.now_us, *key, self.outcomes.of(*key).has_good_past))

    @property
    def states(self) -> dict[tuple[str, MapPath], str]:
        return {(t.task_id, t.path): t.state.label for t in self.machine.task_runs()}


class Mixed(Outcomes):
    """What task runs do after a clear: those that were kept have done what they did.

    Args:
        first: What they did before.
        again: What those do that are executed again.
        kept: Task runs that were not cleared.
        flow: What runs.
    """

    def __init__(
        self, first: Outcomes, again: Outcomes, kept: set[tuple[str, MapPath]], flow: FlowDefinition
    ) -> None:
        self._first = first
        self._again = again
        self._kept = kept
        # Of a setup that is set up again for other work, what follows it may be kept.
        self._setups = {task.id for task in flow.tasks if task.kind is TaskKind.SETUP}

    def of(self, task_id: str, path: MapPath) -> Outcome:
        is_old = (task_id, path) in self._kept or task_id in self._setups
        return (self._first if is_old else self._again).of(task_id, path)


def report_of(task_run: TaskRun, outcomes: Outcomes, now_us: int) -> ev.Input:
    """Return how the current attempt of a task run ends."""
    outcome = outcomes.of(task_run.task_id, task_run.path)
    name = (now_us, task_run.task_id, task_run.path, task_run.attempt)
    if outcome.kind == "fail" or task_run.failures < outcome.failures:
        return ev.AttemptFailed(*name, ERROR)
    if outcome.kind == "skip":
        return ev.AttemptSkipped(*name)
    return ev.AttemptSucceeded(*name, outcome.length, outcome.chosen, outcome.stop)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_engine_and_reference_agree(chunk: int, scale: Callable[[int, int], int]) -> None:
    for number in range(scale(GRAPHS, SOAK_GRAPHS) // CHUNKS):
        seed = chunk * 10_000_000 + number
        flow = random_flow(random.Random(seed), Shape(ends_early=False))
        outcomes = Outcomes(flow, seed)

        engine = Engine(flow, outcomes, random.Random(seed + 1))
        engine.run()

        reference = Reference(flow, outcomes)
        assert engine.states == reference.states, f"seed {seed}"
        machine = engine.machine
        assert machine.state.label == reference.state, f"seed {seed}: {machine.reason}"


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_engine_and_reference_agree_after_clears(
    chunk: int, scale: Callable[[int, int], int]
) -> None:
    for number in range(scale(CLEARED, SOAK_CLEARED) // CHUNKS):
        seed = chunk * 10_000_000 + number
        chance = random.Random(seed + 2)
        flow = random_flow(random.Random(seed), Shape(ends_early=False))
        outcomes = Outcomes(flow, seed)
        engine = Engine(flow, outcomes, chance)
        engine.run()
        for turn in range(1, 3):
            ended = list(engine.machine.task_runs())
            chosen = chance.sample(ended, min(len(ended), chance.randint(1, 2)))
            keys = tuple((t.task_id, t.path[: chance.randint(0, 2)]) for t in chosen)
            engine.feed(ev.TaskRunsCleared(engine.now_us, keys))
            kept = {(t.task_id, t.path) for t in engine.machine.task_runs() if t.state.is_terminal}
            # What is open stays as wide as it is, and asks for no past again.
            kept.update(engine.machine.expansions)

            outcomes = engine.outcomes = Mixed(outcomes, Outcomes(flow, seed + turn), kept, flow)
            engine.run()

            reference = Reference(flow, outcomes)
            assert engine.states == reference.states, f"seed {seed}, clear {turn} of {keys}"
            assert engine.machine.state.label == reference.state, f"seed {seed}"
