"""How a run ends: criticality, cancels, timeouts, deadlines, deadlocks."""

import pytest

from ostinato.engine import commands as cmd
from ostinato.engine import events as ev
from ostinato.engine.machine import lost_failure, replay
from ostinato.engine.trigger_rules import Decision
from ostinato.errors import InternalError
from ostinato.model.flow import GroupDefinition, ResultLength, TaskKind
from ostinato.model.policy import Criticality, Policy, TriggerRule
from tests.unit.engine.driving import SECOND, STOPPED, Driven, expansion, flow, task

CRITICAL = Policy(criticality=Criticality.CRITICAL)
OPTIONAL = Policy(criticality=Criticality.OPTIONAL)
ALL_DONE = Policy(trigger_rule=TriggerRule.ALL_DONE)
AT_TEARDOWN = Policy(trigger_rule=TriggerRule.ALL_DONE_SETUP_SUCCESS)
DEADLINE = Policy(deadline_s=5.0, retries=3)


def with_teardown(policy: Policy = AT_TEARDOWN) -> Driven:
    return Driven(
        flow(
            task("make", kind=TaskKind.SETUP),
            task("work"),
            task("drop", policy, kind=TaskKind.TEARDOWN),
            edges="make>work work>drop make>drop",
        )
    )


# Outcomes


def test_a_run_succeeds_when_its_leaves_do() -> None:
    run = Driven(flow(task("a"), task("b", ALL_DONE), edges="a>b"))
    run.fail("a")
    run.succeed("b")

    assert run.outcome == "succeeded"
    assert run.machine.reason == ""


def test_a_run_fails_with_its_leaf_and_names_it() -> None:
    run = Driven(flow(task("a"), task("b"), edges="a>b"))
    run.fail("a")

    assert run.state("b") == "upstream_failed"
    assert run.outcome == "failed"
    assert run.machine.reason == "task 'b' could not run: something upstream failed"


def test_a_leaf_that_failed_is_named_before_one_that_could_not_run() -> None:
    run = Driven(flow(task("a"), task("b"), task("c"), edges="a>b"))
    run.fail("a")
    run.fail("c")

    assert run.machine.reason == "tasks 'c' and 'a' failed"


def test_of_many_that_failed_two_are_named_and_the_others_counted() -> None:
    run = Driven(flow(*(task(name) for name in "abcde")))
    for name in "abcd":
        run.fail(name)
    run.succeed("e")

    assert run.machine.reason == "tasks 'a', 'b' and 2 more failed"


def test_failure_that_may_be_is_not_named() -> None:
    run = Driven(flow(task("a", OPTIONAL), task("b")))
    run.fail("a")
    run.fail("b")

    assert run.machine.reason == "task 'b' failed"


def test_an_optional_failure_is_only_shown() -> None:
    run = Driven(flow(task("a", OPTIONAL), task("b"), edges="a>b"))
    run.fail("a")

    assert run.states == {"a": "failed", "b": "upstream_failed"}
    assert run.outcome == "succeeded"


def test_a_teardown_fails_the_run_only_where_it_is_told_to() -> None:
    quiet, loud = (
        with_teardown(),
        with_teardown(
            Policy(trigger_rule=TriggerRule.ALL_DONE_SETUP_SUCCESS, on_failure_fail_run=True)
        ),
    )
    for run in (quiet, loud):
        run.succeed("make")
        run.succeed("work")
        run.fail("drop")

    assert quiet.outcome == "succeeded"
    assert loud.outcome == "failed"


def test_a_teardown_that_fails_no_run_is_not_named() -> None:
    run = with_teardown()
    run.succeed("make")
    run.fail("work")
    run.fail("drop")

    assert run.machine.reason == "task 'work' failed"


def test_a_flow_without_tasks_succeeds_at_once() -> None:
    assert Driven(flow()).outcome == "succeeded"


def test_a_run_starts_once() -> None:
    run = Driven(flow(task("a")))

    assert run.feed(ev.RunStarted(run.now_us)) == []


# Critical tasks


@pytest.mark.parametrize("is_flow_wide", [True, False])
def test_a_critical_failure_cancels_the_rest_at_once(is_flow_wide: bool) -> None:
    policy = Policy() if is_flow_wide else CRITICAL
    run = Driven(
        flow(task("a", policy), task("b"), task("c"), task("d"), edges="b>d",
             fail_fast=is_flow_wide)
    )  # fmt: skip
    run.begin("b")
    run.fail("a")

    assert run.states == {"a": "failed", "b": "running", "c": "cancelled", "d": "cancelled"}
    assert run.last(cmd.CancelAttempt).task_run is run["b"]
    assert run.last(cmd.Dequeue).task_run is run["c"]
    run.fail("b", failure=STOPPED)
    assert run.state("b") == "cancelled"
    assert run.outcome == "failed"
    assert run.machine.reason == "critical task a failed"


def test_fail_fast_spares_what_is_optional() -> None:
    run = Driven(flow(task("a", OPTIONAL), task("b"), fail_fast=True))
    run.fail("a")

    assert run.state("b") == "queued"


def test_a_second_critical_failure_changes_nothing_more() -> None:
    run = Driven(flow(task("a", CRITICAL), task("b", CRITICAL)))
    run.begin("b")
    run.fail("a")
    run.fail("b")

    assert run.states == {"a": "failed", "b": "failed"}
    assert run.machine.reason == "critical task a failed"


# Cancels


def test_a_cancelled_run_starts_nothing_but_teardowns() -> None:
    run = with_teardown()
    run.succeed("make")
    run.begin("work")
    run.cancel("ada")

    assert run.outcome == "cancelling"
    assert run.last(cmd.CancelAttempt).reason == "cancelled by ada"
    run.fail("work", failure=STOPPED)
    assert run.states == {"make": "succeeded", "work": "cancelled", "drop": "queued"}
    run.succeed("drop")
    assert run.outcome == "cancelled"
    assert run.machine.reason == "cancelled by ada"


def test_a_teardown_is_tried_again_in_a_cancelled_run() -> None:
    run = with_teardown(
        Policy(trigger_rule=TriggerRule.ALL_DONE_SETUP_SUCCESS, retries=1, lost_attempts=1)
    )
    run.succeed("make")
    run.cancel()
    run.fail("drop")
    assert run.state("drop") == "queued"
    run.begin("drop")
    run.lose("drop")
    assert run.state("drop") == "queued"
    run.begin("drop")
    run.revoke("drop")
    assert run.state("drop") == "queued"
    run.begin("drop")
    run.defer("drop")
    assert run.state("drop") == "deferred"
    run.fire(run.timer("deferral"))
    run.succeed("drop")

    assert run.outcome == "cancelled"


@pytest.mark.parametrize("how", ["lose", "revoke", "defer"])
def test_what_is_given_back_in_a_cancelled_run_is_cancelled(how: str) -> None:
    run = Driven(flow(task("a", Policy(retries=3))))
    run.begin("a")
    run.cancel()
    getattr(run, how)("a")

    assert run.state("a") == "cancelled"
    assert run.outcome == "cancelled"


def test_what_fails_by_itself_in_a_cancelled_run_has_failed() -> None:
    run = Driven(flow(task("a", Policy(retries=3))))
    run.begin("a")
    run.cancel()
    run.fail("a")

    assert run.state("a") == "failed"


def test_what_still_succeeds_in_a_cancelled_run_has_succeeded() -> None:
    run = Driven(flow(task("a"), task("b"), edges="a>b"))
    run.begin("a")
    run.cancel()
    run.succeed("a")

    assert run.states == {"a": "succeeded", "b": "cancelled"}


def test_a_run_may_be_cancelled_before_it_starts() -> None:
    run = Driven(flow(task("a")), is_started=False)
    run.cancel()

    assert run.outcome == "cancelled"
    assert run.states == {"a": "cancelled"}


def test_a_run_that_has_ended_cannot_be_cancelled() -> None:
    run = Driven(flow(task("a")))
    run.succeed("a")

    assert run.feed(ev.CancelRequested(run.now_us)) == []


def test_a_second_cancel_changes_nothing() -> None:
    run = Driven(flow(task("a")))
    run.begin("a")
    run.cancel("ada")

    assert run.feed(ev.CancelRequested(run.now_us, "bob")) == []
    assert run.machine.reason == "cancelled by ada"


def test_a_cancel_ends_what_waits_in_mapped_groups() -> None:
    groups = (GroupDefinition("g", "", expansion(2)), GroupDefinition("g.h", "g", expansion(2)))
    tasks = (task("a"), task("g.b", group="g"), task("g.h.c", group="g.h"))
    run = Driven(flow(*tasks, edges="g.b>g.h.c", groups=groups))
    run.begin("a")
    run.cancel()
    run.succeed("a")

    assert set(run.states.values()) == {"succeeded", "cancelled"}
    assert run.outcome == "cancelled"


def test_a_cancel_ends_a_group_that_waits_for_its_length() -> None:
    run = Driven(
        flow(task("a"), task("g.b", group="g"), edges="a>g.b",
             groups=(GroupDefinition("g", "", expansion(ResultLength("a"))),))
    )  # fmt: skip
    run.begin("a")
    run.cancel()

    assert run.states == {"a": "running", "g.b": "cancelled"}
    run.lose("a")
    assert run.outcome == "cancelled"


def test_a_cancelled_run_that_is_taken_over_stays_cancelled() -> None:
    run = with_teardown()
    run.succeed("make")
    run.begin("work")
    run.cancel()
    run.take_over()

    assert run.state("work") == "cancelled"
    run.succeed("drop")
    assert run.outcome == "cancelled"


def test_a_failing_run_that_is_taken_over_stays_failed() -> None:
    run = Driven(flow(task("a", CRITICAL), task("b")))
    run.begin("b")
    run.fail("a")
    run.take_over()

    assert run.states == {"a": "failed", "b": "cancelled"}
    assert run.outcome == "failed"


# The run's timeout


def test_a_run_that_takes_too_long_fails() -> None:
    run = Driven(flow(task("a"), task("b"), edges="a>b", timeout_s=5.0))
    run.begin("a")
    timer = run.timer("run_timeout")
    assert timer.at_us == run.now_us + 5 * SECOND
    run.fire(timer)
    run.fail("a", failure=STOPPED)

    assert run.states == {"a": "cancelled", "b": "cancelled"}
    assert run.outcome == "failed"
    assert run.machine.reason == "timeout: it ran longer than 5 s"


def test_a_timeout_after_the_end_changes_nothing() -> None:
    run = Driven(flow(task("a"), timeout_s=5.0))
    run.succeed("a")

    assert run.fire(run.timer("run_timeout")) == []


def test_a_timeout_counts_anew_after_a_clear() -> None:
    run = Driven(flow(task("a"), timeout_s=5.0))
    early = run.timer("run_timeout")
    run.fail("a")
    run.now_us += 100 * SECOND
    run.clear("a")

    assert run.timer("run_timeout").at_us == run.now_us + 5 * SECOND
    assert run.fire(early) == []
    run.take_over()
    assert run.timer("run_timeout").at_us == run.now_us + 5 * SECOND
    run.fire(run.timer("run_timeout"))
    assert run.outcome == "failed"


# Deadlines


def test_a_deadline_stops_what_runs_for_good() -> None:
    run = Driven(flow(task("a", DEADLINE)))
    run.begin("a")
    timer = run.timer("deadline")
    run.fire(timer)

    assert run.last(cmd.CancelAttempt).reason == "task 'a' passed its deadline of 5 s"
    assert run.fire(timer) == []
    run.fail("a", failure=STOPPED)
    assert run.state("a") == "failed"


@pytest.mark.parametrize("how", ["lose", "revoke", "defer"])
def test_what_is_given_back_behind_its_deadline_has_failed(how: str) -> None:
    run = Driven(flow(task("a", DEADLINE)))
    run.begin("a")
    run.fire(run.timer("deadline"))
    getattr(run, how)("a")

    assert run.state("a") == "failed"


def test_a_deadline_ends_what_waits_for_a_retry() -> None:
    run = Driven(flow(task("a", Policy(deadline_s=5.0, retries=3, retry_delays_s=(60.0,)))))
    run.fail("a")
    assert run.state("a") == "retrying"
    run.fire(run.timer("deadline"))

    assert run.state("a") == "failed"
    assert run.fire(run.timer("retry")) == []


def test_a_deadline_ends_what_is_queued_again() -> None:
    run = Driven(flow(task("a", DEADLINE)))
    run.fail("a")
    run.fire(run.timer("deadline"))

    assert run.state("a") == "failed"
    assert run.last(cmd.Dequeue).task_run is run["a"]


def test_a_deadline_is_void_once_its_task_run_has_ended_or_was_cleared() -> None:
    run = Driven(flow(task("a", DEADLINE)))
    run.fail("a")
    timer = run.timer("deadline")
    run.succeed("a")

    assert run.fire(timer) == []
    run.clear("a")
    run.begin("a")
    assert run.fire(timer) == []
    assert run.state("a") == "running"


def test_a_deadline_comes_again_after_a_takeover() -> None:
    run = Driven(flow(task("a", DEADLINE)))
    run.begin("a")
    run.fire(run.timer("deadline"))
    run.take_over()

    assert run.state("a") == "queued"
    run.fire(run.timer("deadline"))
    assert run.state("a") == "failed"
    assert replay(run.plan, run.log).snapshot() == run.machine.snapshot()


# Deadlocks


def test_work_that_nothing_can_start_is_a_failure_and_no_hang() -> None:
    run = Driven(
        flow(task("a"), task("b"), task("g.c", group="g"), edges="a>b b>g.c",
             groups=(GroupDefinition("g", "", expansion(ResultLength("b"))),))
    )  # fmt: skip
    run.plan.nodes[1].decisions = ((Decision.WAIT,) * 256,) * 2
    run.succeed("a")

    assert run.outcome == "failed"
    assert run.machine.reason == "deadlock: nothing can run, 1 wait (b)"
    assert run.states == {"a": "succeeded", "b": "cancelled", "g.c": "cancelled"}


# What cannot be


def test_an_attempt_that_is_not_due_is_refused() -> None:
    run = Driven(flow(task("a"), task("b"), edges="a>b"))

    with pytest.raises(InternalError, match="attempt 1 dispatched"):
        run.begin("b")
    with pytest.raises(InternalError, match="attempt 1 dispatched"):
        run.feed(ev.AttemptStarted(run.now_us, "nobody", (), 1))


def test_a_run_that_goes_on_cannot_be_cleared() -> None:
    run = Driven(flow(task("a"), task("b")))
    run.succeed("a")

    with pytest.raises(InternalError, match="a running run cannot become running"):
        run.clear("a")


def test_a_timer_of_nobody_changes_nothing() -> None:
    run = Driven(flow(task("a")))

    assert run.feed(ev.TimerFired(run.now_us, "retry", "nobody", (), 1)) == []


def test_too_many_losses_fail_a_task_run() -> None:
    run = Driven(flow(task("a", Policy(lost_attempts=1))))
    run.begin("a")
    run.lose("a")
    assert run.state("a") == "queued"
    run.begin("a")
    run.lose("a")

    assert run.state("a") == "failed"
    assert "2 times" in lost_failure("a", run["a"].losses).message


def test_losses_count_anew_once_an_attempt_gets_further() -> None:
    run = Driven(flow(task("a", Policy(lost_attempts=1))))
    for _ in range(5):
        run.begin("a")
        run.progress("a")
        run.lose("a")
        assert (run.state("a"), run["a"].losses) == ("queued", 1)
    run.progress("a")
    run.begin("a")
    run.lose("a")

    assert run.state("a") == "failed"


@pytest.mark.parametrize("is_counted", [True, False])
def test_a_takeover_counts_as_a_loss_only_where_it_says_so(is_counted: bool) -> None:
    run = Driven(flow(task("a", Policy(lost_attempts=0))))
    run.begin("a")
    run.take_over(is_counted=is_counted)

    assert run.state("a") == ("failed" if is_counted else "queued")
