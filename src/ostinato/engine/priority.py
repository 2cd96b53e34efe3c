"""This module weighs the priorities of tasks by those of their neighbours."""

from collections.abc import Callable, Iterable

from ostinato.engine.plan import Plan, PlanNode
from ostinato.model.policy import WeightRule

#: Tasks whose reach is held at a time, one bit for each: 1 KiB for each task of the flow.
BLOCK = 8_192


def priority_weights(plan: Plan) -> list[int]:
    """Return the priority of each task, with those of its neighbours by its weight rule.

    As in Airflow: ``downstream`` adds all that waits for it, so that what much depends on goes
    first; ``upstream`` adds all that it waits for, so that what has begun is finished.

    Args:
        plan: The compiled flow; tasks have its lowest positions.
    """
    policies = [task.policy for task in plan.flow.tasks]
    weights = [policy.priority for policy in policies]
    rules = {policy.weight_rule for policy in policies}
    neighbours: dict[WeightRule, tuple[Iterable[int], Callable[[PlanNode], list[int]]]] = {
        WeightRule.DOWNSTREAM: (plan.order[::-1], _behind),
        WeightRule.UPSTREAM: (plan.order, lambda node: _before(plan, node)),
    }
    for rule, (order, next_to) in neighbours.items():
        if rule in rules:
            wanted = [p for p, policy in enumerate(policies) if policy.weight_rule is rule]
            for first in range(0, len(policies), BLOCK):
                _add_reached(plan, weights, wanted, order, next_to, first)
    return weights


def _add_reached(
    plan: Plan,
    weights: list[int],
    wanted: list[int],
    order: Iterable[int],
    next_to: Callable[[PlanNode], list[int]],
    first: int,
) -> None:
    """Add the priorities of those tasks of a block that each task reaches.

    Reach is a set of bits, and so are the tasks of each priority: a sum costs as many steps as
    there are different priorities.
    """
    reached = [0] * len(plan.nodes)
    for position in order:
        bits = 0
        for other in next_to(plan.nodes[position]):
            bits |= reached[other]
            if first <= other < first + BLOCK:
                bits |= 1 << (other - first)
        reached[position] = bits
    of_priority: dict[int, int] = {}
    for offset, task in enumerate(plan.flow.tasks[first : first + BLOCK]):
        priority = task.policy.priority
        of_priority[priority] = of_priority.get(priority, 0) | 1 << offset
    for position in wanted:
        bits = reached[position]
        weights[position] += sum(
            priority * (bits & mask).bit_count() for priority, mask in of_priority.items()
        )


def _behind(node: PlanNode) -> list[int]:
    after = [each.position for group in node.dependents.values() for each in group]
    return after + node.members


def _before(plan: Plan, node: PlanNode) -> list[int]:
    around = [plan.positions[group] for group in node.scope[-1:]]
    return [upstream for upstream, _ in node.upstream] + around
