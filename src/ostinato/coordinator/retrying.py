"""This module chooses which task runs of an ended run are executed again."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from ostinato.coordinator.live_run import LiveRun
from ostinato.coordinator.step_resets import dropped_steps
from ostinato.engine.machine import RunMachine
from ostinato.errors import UnknownTask, UsageError
from ostinato.model.identity import MapPath, parse_path
from ostinato.model.selection import dependencies, select_tasks
from ostinato.model.state import TaskRunState
from ostinato.model.step import BODY
from ostinato.store.protocol import Store
from ostinato.store.records import RunRow, TaskRunRow

Key = tuple[str, MapPath]

#: Ends that are no success.
FAILED_STATES = frozenset(
    {TaskRunState.FAILED, TaskRunState.UPSTREAM_FAILED, TaskRunState.CANCELLED}
)

_INDEXED = re.compile(r"(?P<task>[^\s,()\[\]]+)\[(?P<path>\d+(?:\.\d+)*)\]")


class Choice(NamedTuple):
    """What a person wants executed again; what failed if nothing is named.

    Attributes:
        whole: Selections, or task runs such as ``load[3]``, with all that is downstream.
        alone: The same, without what is downstream.
        with_upstream: Whether all that is upstream of them comes along.
        with_downstream: Whether what is named in ``alone`` takes what is downstream too.
        failed_only: Whether, of all that, only what failed is meant.
        steps: Steps of a flow that is a function, without those that follow them.
    """

    whole: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    with_upstream: bool = False
    with_downstream: bool = False
    failed_only: bool = False
    steps: tuple[str, ...] = ()


#: All that failed, with what is downstream.
WHAT_FAILED = Choice()


class Chosen(NamedTuple):
    """What a choice comes to, as ``TaskRunsCleared`` takes it."""

    keys: tuple[Key, ...]
    alone: tuple[Key, ...] = ()


#: The body of a flow that is a function.
THE_BODY = Chosen(((BODY, ()),))


class Again(NamedTuple):
    """What a retry would execute again: its name, and how it ended."""

    key: str
    state: TaskRunState


def choose_steps(
    machine: RunMachine, choice: Choice, store: Store, run: RunRow
) -> tuple[TaskRunRow, ...] | None:
    """Return the steps that are forgotten, None if the choice is about task runs.

    Args:
        machine: Of a run that has ended.
        choice: What is asked for.
        store: Where steps are recorded.
        run: Its row.

    Raises:
        UnknownTask: It names a step that the run does not have.
        UsageError: The run has no steps.
    """
    if BODY in machine.plan.positions and (choice.whole or choice.steps):
        named = [text for text in choice.whole if text != BODY]
        return dropped_steps(store, run, named, choice.steps)
    if choice.steps:
        message = f"flow {run.flow!r} has no steps: it is a graph of tasks"
        raise UsageError(message, hint="--only TASK runs one of them again")
    return None


def choose(machine: RunMachine, choice: Choice) -> Chosen:
    """Return the task runs that a choice means in a run that has ended.

    Raises:
        UnknownTask: It names a task, or an index of one, that the run does not have.
        UsageError: A selection cannot be read.
    """
    if not (choice.whole or choice.alone):
        whole, alone = _failed(machine), []
    else:
        whole = [key for text in choice.whole for key in _named(machine, text)]
        alone = [key for text in choice.alone for key in _named(machine, text)]
    if choice.with_upstream:
        alone += _upstream(machine, alone)
        whole += _upstream(machine, whole)
    if choice.with_downstream:
        whole, alone = whole + alone, []
    if choice.failed_only:
        failed = set(_failed(machine))
        whole, alone = (
            [key for key in _keys(machine, whole, []) if key in failed],
            [key for key in _keys(machine, [], alone) if key in failed],
        )
    return Chosen(tuple(dict.fromkeys(whole)), tuple(dict.fromkeys(alone)))


def _named(machine: RunMachine, text: str) -> list[Key]:
    indexed = _INDEXED.fullmatch(text)
    if indexed is None:
        chosen = select_tasks(machine.plan.flow, text)
        return [(task.id, ()) for task in machine.plan.flow.tasks if task.id in chosen]
    task_id, path = indexed["task"], parse_path(indexed["path"])
    if task_id not in machine.plan.positions:
        select_tasks(machine.plan.flow, task_id)
    size = len(path)
    if not any(run.task_id == task_id and run.path[:size] == path for run in machine.task_runs()):
        raise UnknownTask(f"the run has no task run {text}")
    return [(task_id, path)]


def _upstream(machine: RunMachine, keys: Iterable[Key]) -> list[Key]:
    plan, above = machine.plan, dependencies(machine.plan.flow)
    found: dict[Key, None] = {}
    for task_id, path in keys:
        seen = {task_id}
        stack = [task_id]
        while stack:
            for other in above[stack.pop()] - seen:
                seen.add(other)
                stack.append(other)
                depth = plan.shared_depth(plan.positions[task_id], plan.positions[other])
                found[other, path[:depth]] = None
    return list(found)


def _failed(machine: RunMachine) -> list[Key]:
    return [(run.task_id, run.path) for run in machine.task_runs() if run.state in FAILED_STATES]


def _keys(machine: RunMachine, whole: Iterable[Key], alone: Iterable[Key]) -> list[Key]:
    return [(run.task_id, run.path) for run in machine.would_clear(whole, alone)]


def nothing_chosen(name: str, choice: Choice) -> UsageError:
    """Return the error of a choice that comes to nothing.

    Args:
        name: Of the run.
        choice: What was asked for.
    """
    if choice.failed_only or not (choice.whole or choice.alone):
        what = " of what is named" if choice.whole or choice.alone else ""
        message = f"nothing{what} of run {name} failed: there is nothing to retry"
        return UsageError(message, hint="--from TASK runs again what succeeded")
    return UsageError(f"nothing of run {name} is chosen: there is nothing to retry")


def chosen_of(store: Store, run: LiveRun, choice: Choice) -> tuple[Chosen, tuple[TaskRunRow, ...]]:
    """Return what of an ended run is executed again, and the steps that are forgotten.

    Args:
        store: Where it is recorded.
        run: As it ended.
        choice: What is asked for.

    Raises:
        UnknownTask: The choice names a task that there is not.
        UsageError: Nothing of it is chosen, or it has not ended.
    """
    name = f"{run.row.flow}#{run.row.number}"
    if not run.row.state.is_terminal:
        message = f"run {name} was interrupted and has not ended"
        raise UsageError(message, hint=f"ostinato resume '{name}' goes on with it")
    steps = choose_steps(run.machine, choice, store, run.row)
    chosen = choose(run.machine, choice) if steps is None else THE_BODY
    if not run.machine.would_clear(*chosen):
        raise nothing_chosen(name, choice)
    return chosen, steps or ()
