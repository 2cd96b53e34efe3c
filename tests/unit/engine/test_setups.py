"""What lies in the scope of a setup follows it, and a teardown follows its setups."""

import pytest

from ostinato.model.flow import GroupDefinition, ResultLength, TaskDefinition, TaskKind
from ostinato.model.policy import Policy, TriggerRule
from tests.unit.engine.driving import Driven, expansion, flow, task

ALL_DONE = Policy(trigger_rule=TriggerRule.ALL_DONE)


def setup(id: str, group: str = "", over: int | None = None) -> TaskDefinition:
    return task(id, kind=TaskKind.SETUP, group=group, over=over)


def teardown(id: str, group: str = "", *, fails: bool = False) -> TaskDefinition:
    policy = Policy(trigger_rule=TriggerRule.ALL_DONE_SETUP_SUCCESS, on_failure_fail_run=fails)
    return task(id, policy, kind=TaskKind.TEARDOWN, group=group)


def scoped(*work: TaskDefinition, edges: str, fails: bool = False) -> Driven:
    return Driven(flow(setup("s"), *work, teardown("t", fails=fails), edges=f"s>t {edges}"))


def test_a_teardown_runs_whatever_became_of_the_work() -> None:
    run = scoped(task("w"), edges="s>w w>t")
    run.succeed("s")
    run.fail("w")
    run.succeed("t")

    assert run.states == {"s": "succeeded", "w": "failed", "t": "succeeded"}
    assert run.outcome == "failed"


def test_a_teardown_does_not_run_if_its_setup_failed() -> None:
    run = scoped(task("w"), edges="s>w w>t")
    run.fail("s")

    assert run.states == {"s": "failed", "w": "upstream_failed", "t": "upstream_failed"}
    assert run.outcome == "failed"


@pytest.mark.parametrize(("fails", "outcome"), [(False, "succeeded"), (True, "failed")])
def test_a_failed_teardown_counts_if_it_says_so(fails: bool, outcome: str) -> None:
    run = scoped(task("w"), edges="s>w w>t", fails=fails)
    run.succeed("s")
    run.succeed("w")
    run.fail("t")

    assert run.outcome == outcome


@pytest.mark.parametrize("rule", list(TriggerRule))
def test_work_in_the_scope_follows_a_failed_setup_whatever_its_rule(rule: TriggerRule) -> None:
    last = task("last", Policy(trigger_rule=rule))
    run = scoped(task("w", ALL_DONE), last, edges="s>w w>last last>t")
    run.fail("s")

    assert run.state("w") == "upstream_failed"
    assert run.state("last") == "upstream_failed"


@pytest.mark.parametrize("rule", list(TriggerRule))
def test_work_in_the_scope_follows_a_skipped_setup_whatever_its_rule(rule: TriggerRule) -> None:
    run = Driven(
        flow(
            task("stop", kind=TaskKind.SHORT_CIRCUIT, ignores_rules=False), setup("s"),
            task("w", Policy(trigger_rule=rule)), teardown("t"), edges="stop>s s>w w>t s>t",
        )
    )  # fmt: skip
    run.succeed("stop", stop=True)

    assert run.states == {"stop": "succeeded", "s": "skipped", "w": "skipped", "t": "skipped"}


def test_work_that_waits_for_nothing_waits_for_its_setup() -> None:
    run = scoped(task("w", Policy(trigger_rule=TriggerRule.ALWAYS)), edges="s>w w>t")

    assert run.state("w") == "pending"
    run.succeed("s")
    assert run.state("w") == "queued"


def test_a_failure_of_one_of_two_setups_is_followed_at_once() -> None:
    run = Driven(flow(setup("s1"), setup("s2"), task("w", ALL_DONE), teardown("t"),
                      edges="s1>w s2>w w>t s1>t s2>t"))  # fmt: skip
    run.fail("s1")

    assert run.state("w") == "upstream_failed"
    run.succeed("s2")
    run.succeed("t")
    assert run.outcome == "failed"


def test_what_is_behind_the_teardown_is_not_in_the_scope() -> None:
    run = scoped(task("w"), task("after", ALL_DONE), edges="s>w w>t w>after")
    run.fail("s")

    assert run.state("after") == "queued"


def test_without_a_teardown_all_downstream_is_in_the_scope() -> None:
    run = Driven(flow(setup("s"), task("a", ALL_DONE), task("b", ALL_DONE), edges="s>a a>b"))
    run.fail("s")

    assert run.states == {"s": "failed", "a": "upstream_failed", "b": "upstream_failed"}


def test_in_a_mapped_group_the_setup_of_the_same_index_counts() -> None:
    group = GroupDefinition("g", "", expansion(2))
    run = Driven(
        flow(setup("g.s", "g"), task("g.w", ALL_DONE, group="g"), teardown("g.t", "g"),
             edges="g.s>g.w g.w>g.t g.s>g.t", groups=(group,))
    )  # fmt: skip
    run.fail("g.s", 0)
    run.succeed("g.s", 1)

    assert run.state("g.w", 0) == "upstream_failed"
    assert run.state("g.w", 1) == "queued"
    run.succeed("g.w", 1)
    run.succeed("g.t", 1)
    assert run.outcome == "failed"


def test_a_cancelled_run_tears_down_what_was_set_up() -> None:
    run = scoped(task("w"), edges="s>w w>t")
    run.succeed("s")
    run.begin("w")
    run.cancel()
    run.lose("w")
    run.succeed("t")

    assert run.states == {"s": "succeeded", "w": "cancelled", "t": "succeeded"}
    assert run.outcome == "cancelled"


def test_a_branch_skips_no_teardown() -> None:
    run = Driven(flow(setup("s"), task("pick", kind=TaskKind.BRANCH), task("x"), teardown("t"),
                      edges="s>pick pick>x pick>t x>t s>t"))  # fmt: skip
    run.succeed("s")
    run.succeed("pick", chosen=())

    assert run.states == {
        "s": "succeeded", "pick": "succeeded", "x": "skipped", "t": "queued",
    }  # fmt: skip


def test_cleared_work_is_set_up_and_torn_down_again() -> None:
    run = scoped(task("one"), task("two"), edges="s>one one>two two>t")
    run.succeed("s")
    run.succeed("one")
    run.fail("two")
    run.succeed("t")
    run.clear("two")

    assert run.states == {"s": "queued", "one": "succeeded", "two": "pending", "t": "pending"}
    run.succeed("s")
    run.succeed("two")
    run.succeed("t")
    assert run.outcome == "succeeded"


def test_cleared_setups_are_set_up_inside_those_around_them() -> None:
    run = Driven(flow(setup("s"), setup("s2"), task("w"), teardown("t2"), teardown("t"),
                      edges="s>s2 s2>w w>t2 s2>t2 t2>t s>t"))  # fmt: skip
    run.succeed("s")
    run.succeed("s2")
    run.fail("w")
    run.succeed("t2")
    run.succeed("t")
    run.clear("w")

    assert run.states == {
        "s": "queued", "s2": "pending", "w": "pending", "t2": "pending", "t": "pending",
    }  # fmt: skip


def test_a_cleared_teardown_runs_alone() -> None:
    run = scoped(task("w"), edges="s>w w>t", fails=True)
    run.succeed("s")
    run.succeed("w")
    run.fail("t")
    run.clear("t")

    assert run.states == {"s": "succeeded", "w": "succeeded", "t": "queued"}


def test_a_cleared_index_waits_for_its_setup() -> None:
    run = scoped(task("m", over=3), edges="s>m m>t")
    run.succeed("s")
    for index in range(3):
        run.succeed("m", index)
    run.succeed("t")
    run.clear(("m", 1))

    assert run.states == {
        "s": "queued", "m[0]": "succeeded", "m[1]": "pending", "m[2]": "succeeded", "t": "pending",
    }  # fmt: skip
    run.take_over()
    assert run.state("m", 1) == "pending"
    run.succeed("s")
    run.succeed("m", 1)
    run.succeed("t")
    assert run.outcome == "succeeded"


def test_a_cleared_index_follows_its_failed_setup() -> None:
    run = scoped(task("m", ALL_DONE, over=2), edges="s>m m>t")
    run.succeed("s")
    run.succeed("m", 0)
    run.succeed("m", 1)
    run.succeed("t")
    run.clear(("m", 1))
    run.fail("s")

    assert run.state("m", 1) == "upstream_failed"
    assert run.outcome == "failed"


def test_what_is_mapped_over_a_cleared_setup_is_mapped_anew() -> None:
    run = scoped(task("m", over=ResultLength("s")), edges="m>t")
    run.succeed("s", length=2)
    run.succeed("m", 0)
    run.fail("m", 1)
    run.succeed("t")
    run.clear(("m", 1))

    assert run.states == {"s": "queued", "m": "pending", "t": "pending"}
    run.succeed("s", length=1)
    assert run.state("m", 0) == "queued"
