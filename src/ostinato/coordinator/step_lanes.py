"""This module decides where steps are dispatched that are attempts of their own, and as what."""

from collections.abc import Callable, Sequence
from typing import Protocol

from ostinato.coordinator.limits import Executors, Limits
from ostinato.coordinator.live_run import LiveRun
from ostinato.engine.queueing import Lane, Limit
from ostinato.errors import UsageError
from ostinato.model.identity import MapPath
from ostinato.runtime.messages import PlacedStep


class Holder(Protocol):
    """A step that has taken slots, which the steps that it calls share."""

    lane: Lane
    shares: dict[str, Limit]


class StepLanes:
    """The lanes of the steps of a coordinator's runs.

    Args:
        limits: Shared with tasks.
        places: Where attempts may execute.
    """

    def __init__(self, limits: Limits, places: Executors) -> None:
        self._limits = limits
        self._places = places
        #: By run: lanes by what is demanded, limits of tasks, and shares of the body's slots.
        self._lanes: dict[int, dict[object, Lane]] = {}
        self._of_tasks: dict[int, dict[str, Limit]] = {}
        self._of_bodies: dict[int, dict[str, Limit]] = {}

    def of(
        self,
        run: LiveRun,
        step: PlacedStep,
        around: Callable[[tuple[int, MapPath]], Holder | None],
    ) -> Lane:
        """Return the lane in which a step queues.

        Args:
            run: Of its flow.
            step: The step.
            around: Returns the step of a place, None if none executes there.

        Raises:
            UsageError: It asks for what there is not.
        """
        executor = self._executor(step, run.places or self._places)
        demands = self._demands(run, step, around)
        key = (executor, tuple((id(limit), amount) for limit, amount in demands))
        lanes = self._lanes.setdefault(run.id, {})
        lane = lanes.get(key)
        if lane is None:
            flow = run.plan.flow
            lane = lanes[key] = Lane(executor, demands, flow.name, flow.priority)
        return lane

    def body_ended(self, run_id: int) -> None:
        """Forget what the steps of a body shared with it."""
        self._of_bodies.pop(run_id, None)

    def forget(self, run_id: int) -> None:
        """Forget a run."""
        for kept in (self._lanes, self._of_tasks, self._of_bodies):
            kept.pop(run_id, None)

    def _executor(self, step: PlacedStep, places: Executors) -> str:
        wanted = step.policy.executor or "process"
        processes = places.aliases.get("process", "process")
        name = processes if wanted == "inline" else places.aliases.get(wanted, wanted)
        if name == "process" and name not in places.names:
            message = f"step {step.task_id!r} needs a process, and this script has none for steps"
            hint = (
                "declare the task, with these policies, in the file of the flow or import it there"
            )
            raise UsageError(message, hint=hint)
        if name not in places.names:
            message = f"step {step.task_id!r} asks for the executor {wanted!r}"
            raise UsageError(message, hint="there is process, thread")
        # Where ``inline`` stands in for processes, steps have none of their own.
        return places.steps if name == processes != "inline" else name

    def _demands(
        self,
        run: LiveRun,
        step: PlacedStep,
        around: Callable[[tuple[int, MapPath]], Holder | None],
    ) -> tuple[tuple[Limit, int], ...]:
        """Return what a step takes of which limit.

        What the flow, or a step around this one, has taken already is shared with it: else it
        would wait for those who wait for it.
        """
        own = self._of_tasks.setdefault(run.id, {})
        demands = self._limits.of_step(step.task_id, run.plan.flow.name, step.policy, own)
        if not demands:
            return ()
        places = [step.path[:size] for size in range(len(step.path) - 1, 0, -1)]
        holders = [
            (each.lane.demands, each.shares)
            for each in map(around, [(run.id, p) for p in places])
            if each
        ]
        shares = self._of_bodies.setdefault(run.id, {})
        holders.append((run.lanes[0].demands, shares))
        return tuple(_shared(step, holders, limit, amount) for limit, amount in demands)


def _shared(
    step: PlacedStep,
    holders: Sequence[tuple[Sequence[tuple[Limit, int]], dict[str, Limit]]],
    limit: Limit,
    amount: int,
) -> tuple[Limit, int]:
    """Return a limit, or the share of it that the innermost of its holders has."""
    for taken, shares in holders:
        held = sum(slots for each, slots in taken if each.name == limit.name)
        if not held:
            continue
        if amount > held:
            message = f"step {step.task_id!r} asks for more of {limit.name} than what calls it has"
            raise UsageError(message, hint="give that as much, or none of it")
        return shares.setdefault(limit.name, Limit(limit.name, held)), amount
    return limit, amount
