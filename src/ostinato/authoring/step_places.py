"""This module says which steps are attempts of their own, and which tasks have such steps."""

from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

from ostinato.model.policy import DEFAULT_POLICY, Isolation, Policy

#: Policies that need the queue of the run, or a process.
PLACING = (
    "executor",
    "pool",
    "pool_slots",
    "compute",
    "isolation",
    "max_active",
    "max_active_over_runs",
    "max_active_tis_per_dag",
    "max_active_tis_per_dagrun",
)

#: Executors for which nothing is forked.
_WITHOUT_PROCESSES = ("inline", "thread")

#: Tasks whose steps need processes: a script forks for them before it starts threads, and only
#: where there are any.
_needing_processes: "WeakSet[Any]" = WeakSet()


def is_placed(policy: Policy) -> bool:
    """Whether steps with a policy are attempts of their own.

    Args:
        policy: Of the task.
    """
    return bool(
        (policy.executor and policy.executor != "inline")
        or policy.isolation is Isolation.FORK
        or policy.pool
        or policy.pool_slots != DEFAULT_POLICY.pool_slots
        or policy.max_active
        or policy.max_active_over_runs
        or policy.compute != DEFAULT_POLICY.compute
    )


def note_task(task: Any, options: Mapping[str, Any]) -> None:
    """Note a task whose steps may need processes.

    Args:
        task: The task.
        options: As the user wrote them.
    """
    if options.get("executor") in _WITHOUT_PROCESSES:
        return
    if any(options.get(name) for name in PLACING):
        _needing_processes.add(task)


def modules_needing_processes() -> set[str]:
    """Return the modules with tasks in this process whose steps need other processes."""
    return {task.function.__module__ for task in _needing_processes}
