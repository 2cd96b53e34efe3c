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
from ostinato.model.flow import FlowDefinition
from ostinato.model.state import TaskRunState
from tests.reference import Reference
from tests.strategies import Outcomes, Shape, random_flow

pytestmark = pytest.mark.simulation

#: Graphs in a normal test run over all chunks; with --soak.
GRAPHS, SOAK_GRAPHS, CHUNKS = 20_000, 100_000, 8

ERROR = Failure(FailureKind.ERROR, "ValueError", "made up")


def run_engine(flow: FlowDefinition, outcomes: Outcomes, chance: random.Random) -> RunMachine:
    """Run a flow on the engine alone; chance decides who is next."""
    machine = RunMachine(Plan(flow))
    ready: list[TaskRun] = []
    running: list[TaskRun] = []
    timers: list[cmd.SetTimer] = []
    now_us = 1

    def feed(event: ev.Input) -> None:
        for command in machine.apply(event):
            if isinstance(command, cmd.Enqueue):
                ready.append(command.task_run)
            elif isinstance(command, cmd.SetTimer):
                timers.append(command)

    feed(ev.RunStarted(now_us))
    while ready or running or timers:
        now_us += 1
        if timers and (chance.random() < 0.3 or not (ready or running)):
            timer = timers.pop(chance.randrange(len(timers)))
            now_us = max(now_us, timer.at_us)
            feed(ev.TimerFired(now_us, timer.kind, timer.task_id, timer.path, timer.attempt))
        elif ready and (chance.random() < 0.5 or not running):
            task_run = ready.pop(chance.randrange(len(ready)))
            if task_run.state is TaskRunState.QUEUED:
                attempt = task_run.attempt + 1
                feed(ev.AttemptStarted(now_us, task_run.task_id, task_run.path, attempt))
                running.append(task_run)
        elif running:
            task_run = running.pop(chance.randrange(len(running)))
            feed(report_of(task_run, outcomes, now_us))
    return machine


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

        machine = run_engine(flow, outcomes, random.Random(seed + 1))

        reference = Reference(flow, outcomes)
        states = {(t.task_id, t.path): t.state.label for t in machine.task_runs()}
        assert states == reference.states, f"seed {seed}"
        assert machine.state.label == reference.state, f"seed {seed}: {machine.reason}"
