"""This module holds the limits within which a coordinator dispatches."""

import socket
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from ostinato.engine.queueing import DEFAULT_POOL, Lane, Limit
from ostinato.errors import UsageError
from ostinato.executors.protocol import STEPS
from ostinato.model.flow import FlowDefinition, TaskDefinition
from ostinato.model.policy import Policy

#: Parts that a core and a device are counted in, so that shares of them add up exactly.
PARTS = 1_000

_POOL_HINT = "declare it under 'pools' in ostinato.yaml, or by ostinato pools set"


class Budget(NamedTuple):
    """What the machine has for tasks that ask for some of it.

    Attributes:
        cpu: Cores; 0 for no limit.
        gpu: Devices; 0 for no limit.
        memory_bytes: 0 for no limit.
        is_cpu_given: Whether somebody said how many cores; else who asks for more gets all.
    """

    cpu: float = 0.0
    gpu: float = 0.0
    memory_bytes: int = 0
    is_cpu_given: bool = True


class Executors(NamedTuple):
    """Where the tasks of a coordinator may be dispatched to.

    Attributes:
        names: Of those that exist.
        aliases: Names that others stand in for.
        default: Of tasks that name none.
        steps: Of steps of flows that are functions, where those have processes of their own.
    """

    names: frozenset[str]
    aliases: Mapping[str, str]
    default: str
    steps: str = STEPS

    def of(self, task: TaskDefinition, flow: FlowDefinition) -> str:
        """Return the executor of a task.

        Raises:
            UsageError: It asks for one that does not exist.
        """
        name = task.policy.executor or flow.executor or self.default
        executor = self.aliases.get(name, name)
        if executor not in self.names:
            message = f"task {task.id!r} asks for the executor {executor!r}"
            raise UsageError(message, hint=f"there is {', '.join(sorted(self.names))}")
        return executor


class SharedLimit(Limit):
    """A limit that other coordinators dispatch within as well.

    Attributes:
        budget: Its name among them.
        total: Slots of all together; ``slots`` is what this one may take of them.
        granted: What the store knows to be this one's.
        asked: What it could use when it asked the last time.
    """

    # Invariant: used <= granted.
    __slots__ = ("asked", "budget", "granted", "total")

    def __init__(self, name: str, total: int, budget: str) -> None:
        super().__init__(name, 0)
        self.budget = budget
        self.total = total
        self.granted = 0
        self.asked = 0


class Limits:
    """The limits that all runs of a coordinator share.

    Args:
        pools: Slots by the name of the pool.
        budget: What the machine has.
        find_pools: Returns the pools as they are by now; with it, all limits are shared with
            other coordinators, and nothing may be taken until a share of it is granted.
    """

    def __init__(
        self,
        pools: Mapping[str, int],
        budget: Budget = Budget(),  # noqa: B008 - immutable
        *,
        find_pools: Callable[[], Mapping[str, int]] | None = None,
    ) -> None:
        self._find_pools = find_pools
        #: All that other coordinators have a share of, in the order in which they came up.
        self.shared: list[SharedLimit] = []
        self._pools: dict[str, Limit] = {}
        self._add_pools(pools)
        self._is_cpu_given = budget.is_cpu_given
        amounts = {
            "cpu": round(budget.cpu * PARTS),
            "gpu": round(budget.gpu * PARTS),
            "memory": budget.memory_bytes,
        }
        host = socket.gethostname() if find_pools else ""
        self._compute = {
            name: self._limit(name, amount, f"{name} of {host}")
            for name, amount in amounts.items()
            if amount
        }
        #: Limits of single tasks over all runs, by flow and task.
        self._over_runs: dict[tuple[str, str], Limit] = {}

    def refresh(self) -> None:
        """Look how many slots the pools have by now."""
        if self._find_pools is not None:
            self._add_pools(self._find_pools())

    def pool_use(self) -> dict[str, tuple[int, int]]:
        """Return by pool how many slots are taken here, and how many there are."""
        return {name: (pool.used, _total(pool)) for name, pool in list(self._pools.items())}

    def _add_pools(self, pools: Mapping[str, int]) -> None:
        for name, slots in pools.items():
            pool = self._pools.get(name)
            if pool is None:
                title = f"pool {name!r}"
                self._pools[name] = self._limit(title, slots, title)
            else:
                _set_total(pool, slots)

    def _limit(self, name: str, slots: int, budget: str) -> Limit:
        if self._find_pools is None:
            return Limit(name, slots)
        limit = SharedLimit(name, slots, budget)
        self.shared.append(limit)
        return limit

    def lanes(self, flow: FlowDefinition, executors: Executors) -> list[Lane]:
        """Return the lane of each task of a run, by position; tasks of equal demands share it.

        Args:
            flow: What runs.
            executors: That exist.

        Raises:
            UsageError: A task names a pool or an executor that does not exist, or asks for more
                than there is.
        """
        run_limit = None
        if flow.max_active_tasks:
            run_limit = Limit("max_active_tasks", flow.max_active_tasks)
        known: dict[tuple[str, tuple[tuple[int, int], ...]], Lane] = {}
        of_policy: dict[tuple[int, str], Lane] = {}
        lanes: list[Lane] = []
        for task in flow.tasks:
            executor = executors.of(task, flow)
            own = list(self._of_task(task, flow))
            # Equal policies are one object: most tasks are done with this.
            key = (id(task.policy), executor)
            lane = None if own else of_policy.get(key)
            if lane is None:
                demands = [] if run_limit is None else [(run_limit, 1)]
                demands += self._of_policy(task.id, task.policy)
                demands += own
                names = tuple((id(limit), amount) for limit, amount in demands)
                lane = known.setdefault(
                    (executor, names), Lane(executor, tuple(demands), flow.name, flow.priority)
                )
                if not own:
                    of_policy[key] = lane
            lanes.append(lane)
        return lanes

    def of_step(
        self, task_id: str, flow: str, policy: Policy, of_run: dict[str, Limit]
    ) -> list[tuple[Limit, int]]:
        """Return what a step of a flow that is a function takes of which limit.

        The default pool is for tasks: the flow has a slot of it already.

        Args:
            task_id: Of its task.
            flow: Whose step it is.
            policy: Of its task.
            of_run: Limits of tasks within the run, by task.

        Raises:
            UsageError: It names a pool that does not exist, or asks for more than there is.
        """
        demands = [
            (limit, amount)
            for limit, amount in self._of_policy(task_id, policy)
            if policy.pool or limit is not self._pools.get(DEFAULT_POOL)
        ]
        if policy.max_active:
            fresh = Limit(f"max_active of {task_id}", policy.max_active)
            demands.append((of_run.setdefault(task_id, fresh), 1))
        if policy.max_active_over_runs:
            demands.append((self._limit_over_runs(flow, task_id, policy), 1))
        return demands

    def _limit_over_runs(self, flow: str, task_id: str, policy: Policy) -> Limit:
        key = (flow, task_id)
        limit = self._over_runs.get(key)
        if limit is None:
            name = f"max_active_over_runs of {flow}.{task_id}"
            limit = self._limit(name, policy.max_active_over_runs, name)
            self._over_runs[key] = limit
        # Of a flow that has changed, the newest version says how many.
        _set_total(limit, policy.max_active_over_runs)
        return limit

    def _of_policy(self, task_id: str, policy: Policy) -> Iterator[tuple[Limit, int]]:
        pool = self._pools.get(policy.pool or DEFAULT_POOL)
        if pool is None and policy.pool:
            self.refresh()
            pool = self._pools.get(policy.pool)
        if pool is not None:
            if policy.pool_slots > _total(pool):
                message = (
                    f"task {task_id!r} takes {policy.pool_slots} slots of the {pool.name}, "
                    f"which has {_total(pool)}"
                )
                raise UsageError(message)
            yield pool, policy.pool_slots
        elif policy.pool:
            message = f"task {task_id!r} asks for the pool {policy.pool!r}, which does not exist"
            raise UsageError(message, hint=_POOL_HINT)
        compute = policy.compute
        asked = {
            "cpu": round(compute.cpu * PARTS),
            "gpu": round(compute.gpu * PARTS),
            "memory": compute.memory_bytes,
        }
        for name, amount in asked.items():
            limit = self._compute.get(name)
            if amount and limit is not None:
                yield limit, self._within(task_id, limit, amount)

    def _within(self, task_id: str, limit: Limit, amount: int) -> int:
        total = _total(limit)
        if amount <= total:
            return amount
        if limit.name == "cpu" and not self._is_cpu_given:
            return total
        unit = 1 if limit.name == "memory" else PARTS
        message = (
            f"task {task_id!r} asks for {amount / unit:g} of {limit.name}, "
            f"and there is {total / unit:g}"
        )
        raise UsageError(message, hint="set compute in ostinato.yaml")

    def _of_task(self, task: TaskDefinition, flow: FlowDefinition) -> Iterator[tuple[Limit, int]]:
        policy = task.policy
        if policy.max_active and (task.expansion is not None or task.group):
            yield Limit(f"max_active of {task.id}", policy.max_active), 1
        if policy.max_active_over_runs:
            yield self._limit_over_runs(flow.name, task.id, policy), 1


def _total(limit: Limit) -> int:
    return limit.total if isinstance(limit, SharedLimit) else limit.slots


def _set_total(limit: Limit, slots: int) -> None:
    if isinstance(limit, SharedLimit):
        limit.total = slots
    else:
        limit.slots = slots
