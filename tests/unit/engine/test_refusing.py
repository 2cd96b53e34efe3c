"""How a run ends that can never go on: nothing of it is executed any more, teardowns neither."""

from ostinato.engine import events as ev
from ostinato.engine.machine import replay
from ostinato.model.flow import TaskKind
from ostinato.model.policy import Policy, TriggerRule
from tests.unit.engine.driving import Driven, flow, task

AT_TEARDOWN = Policy(trigger_rule=TriggerRule.ALL_DONE_SETUP_SUCCESS)

GONE = "code_unavailable: task 'work' is gone"


def with_teardown(*, is_started: bool = True) -> Driven:
    return Driven(
        flow(
            task("make", kind=TaskKind.SETUP),
            task("work"),
            task("drop", AT_TEARDOWN, kind=TaskKind.TEARDOWN),
            edges="make>work work>drop make>drop",
        ),
        is_started=is_started,
    )


def refuse(run: Driven) -> None:
    run.feed(ev.RunRefused(1_000_000, GONE))


def test_a_run_that_has_not_begun_fails_with_the_reason() -> None:
    run = with_teardown(is_started=False)

    refuse(run)

    assert (run.outcome, run.machine.reason) == ("failed", GONE)
    assert set(run.states.values()) == {"cancelled"}


def test_teardowns_are_not_executed() -> None:
    run = with_teardown()
    run.succeed("make")

    refuse(run)

    assert (run.outcome, run.machine.reason) == ("failed", GONE)
    assert (run.state("make"), run.state("work"), run.state("drop")) == (
        "succeeded",
        "cancelled",
        "cancelled",
    )


def test_what_ran_at_a_worker_that_is_gone_is_cancelled() -> None:
    run = with_teardown()
    run.succeed("make")
    run.begin("work")
    run.take_over()

    refuse(run)

    assert run.outcome == "failed"
    assert run.state("work") == "cancelled"


def test_a_run_that_was_being_cancelled_ends_without_its_teardowns() -> None:
    run = with_teardown()
    run.succeed("make")
    run.cancel("ann")
    teardown = run.state("drop")

    refuse(run)

    assert teardown == "queued"
    assert (run.outcome, run.machine.reason) == ("cancelled", "cancelled by ann")
    assert run.state("drop") == "cancelled"


def test_a_run_that_has_ended_stays_as_it_is() -> None:
    run = Driven(flow(task("a")))
    run.succeed("a")

    refuse(run)

    assert run.outcome == "succeeded"


def test_a_refusal_is_replayed() -> None:
    run = with_teardown()
    run.succeed("make")
    refuse(run)

    again = replay(run.machine.plan, run.log)

    assert again.snapshot() == run.machine.snapshot()
    assert again.state is run.machine.state
