"""What depends on earlier runs waits until it is told how they went."""

import pytest

from ostinato.engine import commands as cmd
from ostinato.engine import events as ev
from ostinato.engine.machine import replay
from ostinato.model.flow import ResultLength, TaskKind
from ostinato.model.policy import Criticality, Policy, TriggerRule
from tests.unit.engine.driving import Driven, flow, task

PAST = Policy(depends_on_past=True)
ALL_DONE = Policy(trigger_rule=TriggerRule.ALL_DONE)


def settle(run: Driven, task_id: str, reason: str = "") -> None:
    run.feed(ev.PastSettled(run.now_us, task_id, (), not reason, reason))


def test_a_task_run_asks_when_it_could_start_and_holds_nothing() -> None:
    run = Driven(flow(task("a"), task("b", PAST), edges="a>b"))
    assert not [c for c in run.commands if isinstance(c, cmd.AskPast)]
    run.succeed("a")

    assert run.state("b") == "deferred"
    assert run.last(cmd.AskPast).task_run is run["b"]
    assert run.last(cmd.Enqueue).task_run is run["a"]
    settle(run, "b")
    run.succeed("b")
    assert run.outcome == "succeeded"


@pytest.mark.parametrize("policy", [PAST, Policy(wait_for_downstream=True)])
def test_a_bad_past_fails_the_run(policy: Policy) -> None:
    run = Driven(flow(task("a", policy), task("b"), task("c", ALL_DONE), edges="a>b b>c"))
    settle(run, "a", "'a' of etl#1 failed")

    assert run.states == {"a": "upstream_failed", "b": "upstream_failed", "c": "queued"}
    ended = ev.TaskRunEnded(run.now_us, "a", (), "upstream_failed", "'a' of etl#1 failed")
    assert cmd.Record(ended) in run.commands
    run.succeed("c")
    assert run.outcome == "succeeded"

    leaf = Driven(flow(task("a", policy)))
    settle(leaf, "a", "'a' of etl#1 failed")
    assert leaf.outcome == "failed"
    assert "could not run" in leaf.machine.reason


def test_a_bad_past_of_an_optional_task_is_only_shown() -> None:
    optional = Policy(depends_on_past=True, criticality=Criticality.OPTIONAL)
    run = Driven(flow(task("a", optional), task("b"), edges="a>b"))
    settle(run, "a", "bad")

    assert run.states == {"a": "upstream_failed", "b": "upstream_failed"}
    assert run.outcome == "succeeded"


def test_a_mapped_task_asks_once() -> None:
    run = Driven(flow(task("list"), task("m", PAST, over=ResultLength("list"))))
    run.succeed("list", length=2)
    assert run.states == {"list": "succeeded", "m": "deferred"}
    settle(run, "m")

    assert run.states == {"list": "succeeded", "m[0]": "queued", "m[1]": "queued"}
    assert len([c for c in run.commands if isinstance(c, cmd.AskPast)]) == 1
    run.succeed("m", 0)
    run.succeed("m", 1)
    assert run.outcome == "succeeded"


def test_a_mapped_task_may_have_nothing_to_map_over_after_all() -> None:
    run = Driven(flow(task("list"), task("m", PAST, over=ResultLength("list"))))
    run.succeed("list", length=0)
    settle(run, "m")

    assert run.state("m") == "skipped"
    assert run.outcome == "succeeded"


def test_a_good_past_is_not_to_blame_for_what_comes_after_it() -> None:
    optional = Policy(criticality=Criticality.OPTIONAL)
    patient = Policy(depends_on_past=True, trigger_rule=TriggerRule.ALL_DONE)
    run = Driven(flow(task("list", optional), task("m", patient, over=ResultLength("list"))))
    run.fail("list")
    settle(run, "m")

    assert run.state("m") == "upstream_failed"
    assert run.outcome == "succeeded"


def test_whoever_takes_over_asks_again() -> None:
    run = Driven(flow(task("a", PAST), task("m", PAST, over=2)))
    commands = run.take_over()

    asked = [c.task_run.task_id for c in commands if isinstance(c, cmd.AskPast)]
    assert asked == ["a", "m"]
    settle(run, "a")
    settle(run, "m")
    assert run.states == {"a": "queued", "m[0]": "queued", "m[1]": "queued"}


def test_a_bad_past_is_known_after_a_take_over() -> None:
    run = Driven(flow(task("a", PAST), task("b")))
    settle(run, "a", "bad")
    run.take_over()
    run.succeed("b")

    assert run.outcome == "failed"


def test_a_late_answer_changes_nothing() -> None:
    run = Driven(flow(task("a", PAST)))
    settle(run, "a")

    assert run.feed(ev.PastSettled(run.now_us, "a", (), is_good=False)) == []
    assert run.feed(ev.PastSettled(run.now_us, "nobody", (), is_good=True)) == []
    assert run.state("a") == "queued"


def test_a_retry_does_not_ask_again_and_a_clear_does() -> None:
    run = Driven(flow(task("a", Policy(depends_on_past=True, retries=1))))
    settle(run, "a")
    run.fail("a")
    assert run.state("a") == "queued"
    run.fail("a")
    run.clear("a")

    assert run.state("a") == "deferred"


def test_a_cancelled_run_waits_for_no_past() -> None:
    run = Driven(flow(task("a", PAST)))
    run.cancel()

    assert run.states == {"a": "cancelled"}
    assert run.outcome == "cancelled"


def test_what_is_recorded_gives_the_same_again() -> None:
    run = Driven(flow(task("a", PAST), task("b", PAST)))
    settle(run, "a")
    settle(run, "b", "bad")
    run.succeed("a")

    again = replay(run.plan, run.log)

    assert again.snapshot() == run.machine.snapshot()
    assert again.state is run.machine.state


def test_a_cleared_index_was_let_in_before() -> None:
    setup = task("s", kind=TaskKind.SETUP)
    run = Driven(flow(setup, task("m", PAST, over=2), edges="s>m"))
    run.succeed("s")
    settle(run, "m")
    run.succeed("m", 0)
    run.fail("m", 1)
    run.clear(("m", 1))
    run.succeed("s")

    assert run.state("m", 1) == "queued"
