"""What a flow is compiled to."""

import pytest

from ostinato.engine.plan import Plan, lengths_from
from ostinato.engine.priority import priority_weights
from ostinato.errors import InternalError
from ostinato.model.flow import (
    GroupDefinition,
    Input,
    LiteralLength,
    MinLength,
    ResultLength,
    SumLength,
    TaskDefinition,
)
from ostinato.model.policy import Policy, WeightRule
from tests.unit.engine.driving import expansion, flow, task


def weighing(rule: WeightRule) -> Plan:
    policies = [Policy(priority=priority, weight_rule=rule) for priority in (1, 10, 100, 1000)]
    tasks = [task(name, policy) for name, policy in zip("abcd", policies, strict=True)]
    return Plan(flow(*tasks, edges="a>b b>c a>c"))


def test_priorities_add_up_by_their_weight_rule() -> None:
    weights = {rule: priority_weights(weighing(rule)) for rule in WeightRule}

    assert weights == {
        WeightRule.ABSOLUTE: [1, 10, 100, 1000],
        WeightRule.DOWNSTREAM: [111, 110, 100, 1000],
        WeightRule.UPSTREAM: [1, 11, 111, 1000],
    }


def test_a_mapped_group_adds_no_priority_of_its_own() -> None:
    group = GroupDefinition("g", "", expansion(ResultLength("a")))
    first = task("a", Policy(priority=1, weight_rule=WeightRule.DOWNSTREAM))
    last = task("g.b", Policy(priority=10, weight_rule=WeightRule.UPSTREAM), group="g")
    plan = Plan(flow(first, last, groups=(group,)))

    assert priority_weights(plan) == [11, 11]


def test_only_mapped_groups_add_an_index() -> None:
    groups = (
        GroupDefinition("g", "", expansion(2)),
        GroupDefinition("g.plain", "g"),
        GroupDefinition("g.plain.h", "g.plain", expansion(2)),
    )
    plan = Plan(flow(task("g.plain.h.t", group="g.plain.h"), task("u", group="g"), groups=groups))

    assert plan.nodes[0].scope == ("g", "g.plain.h")
    assert plan.shared_depth(0, 1) == 1
    assert plan.groups == {
        "g": ["g.plain.h.t", "u"],
        "g.plain": ["g.plain.h.t"],
        "g.plain.h": ["g.plain.h.t"],
    }


def test_everything_comes_after_what_it_waits_for() -> None:
    groups = (GroupDefinition("g", "", expansion(ResultLength("z"))),)
    plan = Plan(flow(task("c"), task("g.b", group="g"), task("z"), edges="g.b>c", groups=groups))

    assert [plan.nodes[position].id for position in plan.order] == ["z", "g", "g.b", "c"]


def test_all_in_a_mapped_group_follows_what_it_is_mapped_over() -> None:
    groups = (
        GroupDefinition("g", "", expansion(ResultLength("a"))),
        GroupDefinition("g.h", "g", expansion(2)),
    )
    plan = Plan(flow(task("a"), task("g.h.t", group="g.h"), groups=groups))

    assert {plan.nodes[one].id for one in plan.descendants(0)} == {"g", "g.h", "g.h.t"}


def test_values_that_are_read_are_edges() -> None:
    outside = Input("elsewhere")
    reader = TaskDefinition("b", inputs=(Input("a"), Input("a", "other"), Input("b"), outside))
    plan = Plan(flow(task("a"), reader))

    assert plan.nodes[1].upstream == [(0, 0)]


def test_a_cycle_is_refused_by_name() -> None:
    with pytest.raises(InternalError, match=r"cycle through \['a', 'b'\]"):
        Plan(flow(task("a"), task("b"), task("c"), edges="a>b b>a"))


def test_lengths_name_the_tasks_that_they_come_from() -> None:
    source = SumLength((ResultLength("a"), MinLength((ResultLength("b"), LiteralLength(2)))))

    assert lengths_from(source) == ["a", "b"]
