"""How task runs come to exist, run, wait and end."""

import pytest

from ostinato.engine import commands as cmd
from ostinato.engine import events as ev
from ostinato.engine.events import decode_event, encode_event
from ostinato.engine.machine import RunMachine
from ostinato.engine.task_run import TaskRun, TaskRunRecord
from ostinato.errors import InternalError
from ostinato.model.flow import (
    GroupDefinition,
    LiteralLength,
    MinLength,
    ResultLength,
    SumLength,
    TaskKind,
)
from ostinato.model.policy import Policy, TriggerRule
from ostinato.model.state import RunState, TaskRunState
from tests.unit.engine.driving import ERROR, SECOND, Driven, expansion, flow, task

RETRIES = Policy(retries=2, retry_delays_s=(10.0,))


# Attempts


def test_a_retry_waits_for_its_moment() -> None:
    run = Driven(flow(task("a", RETRIES)))
    run.fail("a")
    timer = run.timer("retry")

    assert run.state("a") == "retrying"
    assert run["a"].due_us == timer.at_us == run.now_us + 10 * SECOND
    run.fire(timer)
    assert run.state("a") == "queued"
    assert run.fire(timer) == []
    run.succeed("a")
    assert run["a"].attempt == 2
    assert run.outcome == "succeeded"


def test_a_deferred_attempt_holds_nothing_until_its_moment() -> None:
    run = Driven(flow(task("a")))
    run.begin("a")
    run.defer("a", until_us=50 * SECOND)

    assert run.state("a") == "deferred"
    assert run.timer("deferral").at_us == 50 * SECOND
    run.fire(run.timer("deferral"))
    run.succeed("a")
    assert (run["a"].attempt, run["a"].failures) == (2, 0)


@pytest.mark.parametrize("kind", ["retry", "deferral"])
def test_a_wait_goes_on_after_a_takeover(kind: str) -> None:
    run = Driven(flow(task("a", RETRIES)))
    run.begin("a")
    if kind == "retry":
        run.fail("a")
    else:
        run.defer("a")
    timer = run.timer(kind)
    commands = run.take_over()

    assert commands == [timer]
    run.fire(timer)
    assert run.state("a") == "queued"


def test_a_revoked_attempt_costs_nothing() -> None:
    run = Driven(flow(task("a", Policy(lost_attempts=0))))
    run.begin("a")
    run.revoke("a")

    assert run.state("a") == "queued"
    assert (run["a"].losses, run["a"].failures) == (0, 0)


def test_a_skip_skips_what_follows() -> None:
    run = Driven(flow(task("a"), task("b"), edges="a>b"))
    run.begin("a")
    run.feed(ev.AttemptSkipped(run.now_us, "a", (), 1, "nothing new"))

    assert run.states == {"a": "skipped", "b": "skipped"}


@pytest.mark.parametrize(
    "report",
    [
        ev.AttemptSucceeded(9, "a", (), 1),
        ev.AttemptSkipped(9, "a", (), 1),
        ev.AttemptFailed(9, "a", (), 1, ERROR),
        ev.AttemptLost(9, "a", (), 1),
        ev.AttemptRevoked(9, "a", (), 1),
        ev.AttemptDeferred(9, "a", (), 1, 99),
        ev.AttemptSucceeded(9, "nobody", (), 1),
    ],
    ids=lambda report: type(report).__name__,
)
def test_a_report_that_comes_too_late_changes_nothing(report: ev.Input) -> None:
    run = Driven(flow(task("a", RETRIES)))
    run.begin("a")
    run.lose("a")
    run.begin("a")
    before = run.machine.snapshot()

    assert run.feed(report) == []
    assert run.machine.snapshot() == before


def test_times_are_those_measured_beside_the_code() -> None:
    run = Driven(flow(task("a")))
    run.begin("a")
    run.feed(ev.AttemptSucceeded(9 * SECOND, "a", (), 1, started_us=5, ended_us=7))

    assert (run["a"].started_us, run["a"].ended_us) == (5, 7)


# Mapping


def test_a_mapped_task_has_a_task_run_for_each_combination() -> None:
    run = Driven(flow(task("a"), task("m", over=SumLength((ResultLength("a"), LiteralLength(1))))))
    run.succeed("a", length=2)

    assert cmd.SaveExpansion("m", (), (3,)) in run.commands
    assert run.states == {"a": "succeeded", "m[0]": "queued", "m[1]": "queued", "m[2]": "queued"}
    assert run.machine.lengths_along(run["m", 1]) == ((3,),)


def test_the_shortest_of_several_decides_where_they_lie_side_by_side() -> None:
    shortest = MinLength((LiteralLength(3), LiteralLength(1)))

    assert Driven(flow(task("m", over=shortest))).states == {"m[0]": "queued"}
    assert Driven(flow(task("m", over=MinLength(())))).states == {"m": "skipped"}


def test_nothing_to_map_over_is_a_skip() -> None:
    run = Driven(flow(task("m", over=0), task("b"), edges="m>b"))

    assert run.states == {"m": "skipped", "b": "skipped"}


def test_a_mapping_over_what_failed_or_was_skipped_follows_it() -> None:
    done = Policy(trigger_rule=TriggerRule.ALL_DONE)
    both = flow(
        task("bad"),
        task("m", done, over=SumLength((LiteralLength(1), ResultLength("bad")))),
        task("none", over=0),
        task("n", done, over=ResultLength("none")),
        task("deep", done, over=ResultLength("m")),
    )
    run = Driven(both)
    run.fail("bad")

    assert run.states == {
        "bad": "failed", "m": "upstream_failed", "none": "skipped", "n": "skipped",
        "deep": "upstream_failed",
    }  # fmt: skip


def test_a_mapping_over_a_mapped_task_has_an_index_for_each_success() -> None:
    run = Driven(
        flow(task("m", over=3),
             task("n", Policy(trigger_rule=TriggerRule.NONE_FAILED), over=ResultLength("m")))
    )  # fmt: skip
    run.succeed("m", 0)
    run.succeed("m", 2)
    run.begin("m", 1)
    run.feed(ev.AttemptSkipped(run.now_us, "m", (1,), 1))

    assert run.machine.successful_paths("m", ()) == [(0,), (2,)]
    assert [path.path for path in run.machine.runs_of("n")] == [(0,), (1,)]


def test_in_a_mapped_group_only_the_same_index_counts() -> None:
    run = Driven(
        flow(task("g.a", group="g"), task("g.b", group="g"), task("end"), edges="g.a>g.b g.b>end",
             groups=(GroupDefinition("g", "", expansion(2)),))
    )  # fmt: skip
    run.fail("g.a", 0)

    assert run.state("g.b", 0) == "upstream_failed"
    assert run.state("g.b", 1) == "pending"
    run.succeed("g.a", 1)
    assert run.state("g.b", 1) == "queued"
    assert run.state("end") == "upstream_failed"
    assert run.machine.successful_paths("g.a", (1,)) == [(1,)]


def test_a_mapped_task_in_mapped_groups_has_an_index_of_each() -> None:
    groups = (
        GroupDefinition("g", "", expansion(2)),
        GroupDefinition("g.h", "g", expansion(ResultLength("g.a"))),
    )
    run = Driven(flow(task("g.a", group="g"), task("g.h.m", group="g.h", over=2), groups=groups))
    run.succeed("g.a", 0, length=0)
    run.succeed("g.a", 1, length=1)

    assert run.states == {
        "g.a[0]": "succeeded", "g.a[1]": "succeeded",
        "g.h.m[1.0.0]": "queued", "g.h.m[1.0.1]": "queued", "g.h.m[0]": "skipped",
    }  # fmt: skip
    assert run.machine.lengths_along(run["g.h.m", 1, 0, 1]) == ((2,), (1,), (2,))
    assert run.machine.task_run("nobody") is None


def test_a_result_is_settled_only_when_nothing_of_it_can_follow() -> None:
    run = Driven(
        flow(task("a"), task("g.b", group="g"),
             groups=(GroupDefinition("g", "", expansion(ResultLength("a"))),))
    )  # fmt: skip
    assert not run.machine.is_settled("g.b", ())
    run.succeed("a", length=2)
    run.succeed("g.b", 0)

    assert run.machine.is_settled("g.b", (0,))
    assert not run.machine.is_settled("g.b", ())
    run.succeed("g.b", 1)
    assert run.machine.is_settled("g.b", ())


def test_a_nested_group_that_waits_settles_nothing_outside_its_index() -> None:
    groups = (
        GroupDefinition("g", "", expansion(2)),
        GroupDefinition("g.h", "g", expansion(ResultLength("g.a"))),
    )
    run = Driven(flow(task("g.a", group="g"), task("g.h.b", group="g.h"), groups=groups))
    run.succeed("g.a", 0, length=1)
    run.succeed("g.h.b", 0, 0)

    assert run.machine.is_settled("g.h.b", (0,))
    assert not run.machine.is_settled("g.h.b", (1,))
    assert not run.machine.is_settled("g.h.b", ())


# Branches and short circuits


def test_what_a_branch_does_not_choose_is_skipped_unless_it_is_reached() -> None:
    run = Driven(
        flow(task("pick", kind=TaskKind.BRANCH), task("x"), task("y"), task("z"),
             edges="pick>x pick>y pick>z x>y")
    )  # fmt: skip
    run.succeed("pick", chosen=("x", "nobody"))

    assert run.states == {"pick": "succeeded", "x": "queued", "y": "pending", "z": "skipped"}


def test_a_branch_may_choose_a_group() -> None:
    run = Driven(
        flow(task("pick", kind=TaskKind.BRANCH), task("g.x", group="g"), task("y"),
             edges="pick>g.x pick>y", groups=(GroupDefinition("g"),))
    )  # fmt: skip
    run.succeed("pick", chosen=("g",))

    assert run.states == {"pick": "succeeded", "g.x": "queued", "y": "skipped"}


@pytest.mark.parametrize(("ignores_rules", "last"), [(True, "skipped"), (False, "pending")])
def test_a_short_circuit_skips_all_that_follows_or_the_next_only(
    ignores_rules: bool, last: str
) -> None:
    done = Policy(trigger_rule=TriggerRule.ALL_DONE)
    stop = task("stop", kind=TaskKind.SHORT_CIRCUIT, ignores_rules=ignores_rules)
    tasks = (stop, task("a"), task("b", done), task("c"))
    run = Driven(flow(*tasks, edges="stop>a a>b c>b"))
    run.succeed("stop", stop=True)

    assert run.states == {"stop": "succeeded", "a": "skipped", "b": last, "c": "queued"}


def test_a_short_circuit_leaves_teardowns() -> None:
    run = Driven(
        flow(
            task("make", kind=TaskKind.SETUP),
            task("stop", kind=TaskKind.SHORT_CIRCUIT),
            task(
                "drop",
                Policy(trigger_rule=TriggerRule.ALL_DONE_SETUP_SUCCESS),
                kind=TaskKind.TEARDOWN,
            ),
            edges="make>stop stop>drop make>drop",
        )
    )
    run.succeed("make")
    run.succeed("stop", stop=True)

    assert run.state("drop") == "queued"


def test_a_skip_reaches_what_has_not_opened_yet() -> None:
    over = GroupDefinition("g", "", expansion(ResultLength("n")))
    run = Driven(
        flow(task("stop", kind=TaskKind.SHORT_CIRCUIT), task("n"), task("g.x", group="g"),
             task("g.y", group="g"), edges="stop>g.x", groups=(over,))
    )  # fmt: skip
    run.succeed("stop", stop=True)
    run.take_over()
    run.succeed("n", length=1)

    assert run.state("g.x", 0) == "skipped"
    assert run.state("g.y", 0) == "queued"


# Being kept


def test_a_row_of_an_index_that_is_gone_is_passed_over() -> None:
    run = Driven(flow(task("m", over=1)))
    rows = [*run.machine.snapshot(), TaskRunRecord("m", (7,), TaskRunState.SUCCEEDED)]
    machine, _ = RunMachine.restore(
        run.plan,
        state=RunState.RUNNING,
        reason="",
        started_us=1,
        ended_us=0,
        generation=0,
        task_runs=rows,
        expansions={("m", ()): (1,), ("m", (3,)): (1,)},
        at_us=run.now_us,
    )

    assert [str(task_run.key) for task_run in machine.task_runs()] == ["m[0]"]


def test_a_run_that_never_started_is_restored_as_that() -> None:
    run = Driven(flow(task("a")), is_started=False)

    assert run.take_over() == []
    assert run.states == {}
    run.feed(ev.RunStarted(run.now_us))
    assert run.states == {"a": "queued"}


def test_events_are_read_as_they_were_written() -> None:
    event = ev.AttemptFailed(1, "a", (3, 17), 2, ERROR, jitter=0.5)

    assert decode_event(encode_event(event)) == event


# What cannot be


def test_a_step_that_the_table_does_not_know_is_refused() -> None:
    run = Driven(flow(task("a")))

    with pytest.raises(InternalError, match="a queued attempt=0> cannot become retrying"):
        run.machine._move(run["a"], TaskRunState.RETRYING)


def test_an_outcome_that_is_counted_twice_is_refused() -> None:
    run = Driven(flow(task("a"), task("b"), edges="a>b"))
    run.succeed("a")

    with pytest.raises(InternalError, match="closed twice"):
        run.machine._tell_dependents(run["a"], 1)


def test_a_task_run_shows_its_name_and_state() -> None:
    assert repr(TaskRun(0, "a", (3,), 0, 0)) == "<TaskRun a[3] pending attempt=0>"
