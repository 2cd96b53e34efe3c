"""What a clear takes with it, and what it leaves."""

from ostinato.engine import commands as cmd
from ostinato.engine import events as ev
from ostinato.model.flow import GroupDefinition, ResultLength, TaskKind
from ostinato.model.policy import Policy, TriggerRule
from tests.unit.engine.driving import Driven, expansion, flow, task

ALL_DONE = Policy(trigger_rule=TriggerRule.ALL_DONE)


def test_a_clear_runs_a_task_and_all_downstream_again() -> None:
    run = Driven(flow(task("a"), task("b"), task("c"), task("other"), edges="a>b b>c"))
    run.succeed("other")
    run.succeed("a")
    run.fail("b")
    assert run.outcome == "failed"
    run.clear("b")

    assert run.outcome == "running"
    assert run.states == {
        "a": "succeeded", "b": "queued", "c": "pending", "other": "succeeded",
    }  # fmt: skip
    assert (run["b"].generation, run["b"].attempt) == (1, 1)
    run.begin("b")
    assert run["b"].attempt == 2
    run.succeed("b")
    run.succeed("c")
    assert run.outcome == "succeeded"
    assert run.machine.generation == 1


def test_a_clear_keeps_the_attempts_that_were() -> None:
    run = Driven(flow(task("a"), task("b"), edges="a>b"))
    run.fail("a")
    run.clear("a")

    archived = [c for c in run.commands if isinstance(c, cmd.ArchiveAttempt)]
    assert [(c.task_run.task_id, c.attempt, c.generation, c.state) for c in archived] == [
        ("a", 1, 0, "failed")
    ]


def test_a_clear_gives_retries_and_losses_back() -> None:
    run = Driven(flow(task("a", Policy(retries=1, lost_attempts=0))))
    run.fail("a")
    run.fail("a")
    run.clear("a")
    run.fail("a")

    assert run.state("a") == "queued"
    assert run["a"].failures == 1


def test_a_clear_of_nobody_ends_as_it_was() -> None:
    run = Driven(flow(task("a")))
    run.fail("a")
    run.clear("nobody")

    assert run.outcome == "failed"
    assert run.states == {"a": "failed"}


def test_a_choice_is_remembered_when_what_follows_is_cleared() -> None:
    run = Driven(
        flow(task("pick", kind=TaskKind.BRANCH), task("x"), task("y"), task("end", ALL_DONE),
             edges="pick>x pick>y x>end y>end")
    )  # fmt: skip
    run.succeed("pick", chosen=("x",))
    run.succeed("x")
    run.succeed("end")
    run.clear("x", "y")

    assert run.states == {"pick": "succeeded", "x": "queued", "y": "skipped", "end": "pending"}


def test_a_choice_is_made_again_when_its_branch_is_cleared() -> None:
    run = Driven(flow(task("pick", kind=TaskKind.BRANCH), task("x"), task("y"),
                      edges="pick>x pick>y"))  # fmt: skip
    run.succeed("pick", chosen=("x",))
    run.succeed("x")
    run.clear("pick")
    run.succeed("pick", chosen=("y",))

    assert run.states == {"pick": "succeeded", "x": "skipped", "y": "queued"}


def test_one_index_is_cleared_without_its_siblings() -> None:
    run = Driven(flow(task("m", over=3), task("end", ALL_DONE), edges="m>end"))
    for index in range(3):
        run.succeed("m", index)
    run.succeed("end")
    run.clear(("m", 1))

    assert run.states == {
        "m[0]": "succeeded", "m[1]": "queued", "m[2]": "succeeded", "end": "pending",
    }  # fmt: skip
    run.succeed("m", 1)
    run.succeed("end")
    assert run.outcome == "succeeded"


def test_a_length_is_forgotten_when_its_source_is_cleared() -> None:
    run = Driven(flow(task("list"), task("m", over=ResultLength("list"))))
    run.succeed("list", length=3)
    for index in range(3):
        run.succeed("m", index)
    run.clear("list")

    assert cmd.SaveExpansion("m", (), ()) in run.commands
    assert run.states == {"list": "queued", "m": "pending"}
    run.succeed("list", length=1)
    assert run.states == {"list": "succeeded", "m[0]": "queued"}
    assert (run["m", 0].generation, run["m", 0].attempt) == (1, 1)


def test_numbers_outlive_a_clear_after_which_an_index_did_not_come() -> None:
    run = Driven(flow(task("list"), task("m", over=ResultLength("list"))))
    run.succeed("list", length=2)
    run.succeed("m", 0)
    run.succeed("m", 1)
    for length in (1, 2):
        run.clear("list")
        run.succeed("list", length=length)
        run.succeed("m", 0)

    assert (run["m", 0].generation, run["m", 0].attempt) == (2, 3)
    assert (run["m", 1].generation, run["m", 1].attempt) == (1, 1)


def test_tasks_of_a_group_that_never_opened_come_back_together() -> None:
    group = GroupDefinition("g", "", expansion(ResultLength("list")))
    run = Driven(
        flow(task("list"), task("g.a", group="g"), task("g.b", group="g"), groups=(group,))
    )
    run.fail("list")
    assert run.states == {"list": "failed", "g.a": "upstream_failed", "g.b": "upstream_failed"}
    run.clear("g.a")
    assert run.states == {"list": "failed", "g.a": "upstream_failed", "g.b": "upstream_failed"}
    assert run["g.b"].generation == 1
    run.clear("list")
    run.succeed("list", length=1)

    assert run.states == {"list": "succeeded", "g.a[0]": "queued", "g.b[0]": "queued"}


def test_a_group_over_nothing_stays_closed_when_its_task_is_cleared() -> None:
    run = Driven(flow(task("g.a", group="g"), task("b"), groups=(GroupDefinition("g", "",
                      expansion(0)),)))  # fmt: skip
    assert run.states == {"g.a": "skipped", "b": "queued"}
    run.succeed("b")
    run.clear("g.a")

    assert run.states == {"g.a": "skipped", "b": "succeeded"}
    assert run.outcome == "succeeded"


def test_an_empty_group_over_nothing_is_kept() -> None:
    run = Driven(flow(task("a"), groups=(GroupDefinition("g", "", expansion(0)),)))

    commands = run.take_over()

    assert [type(command) for command in commands] == [cmd.Enqueue]
    run.succeed("a")
    assert run.outcome == "succeeded"


def test_a_cleared_run_may_be_taken_over() -> None:
    run = Driven(flow(task("a"), task("m", over=ResultLength("a")), task("z"), edges="m>z"))
    run.succeed("a", length=2)
    run.succeed("m", 0)
    run.fail("m", 1)
    run.clear(("m", 1))
    run.begin("m", 1)
    run.take_over()

    assert run.states == {
        "a": "succeeded", "m[0]": "succeeded", "m[1]": "queued", "z": "pending",
    }  # fmt: skip
    run.succeed("m", 1)
    run.succeed("z")
    assert run.outcome == "succeeded"


def test_what_lies_at_other_indices_behind_a_cleared_task_is_cleared() -> None:
    group = GroupDefinition("g", "", expansion(2))
    run = Driven(
        flow(task("g.a", group="g"), task("sum"), task("g.b", group="g"), groups=(group,),
             edges="g.a>sum sum>g.b")
    )  # fmt: skip
    run.succeed("g.a", 0)
    run.fail("g.a", 1)
    run.clear(("g.a", 1))
    run.succeed("g.a", 1)
    run.succeed("sum")
    run.succeed("g.b", 0)
    run.succeed("g.b", 1)
    run.clear(("g.a", 1))

    assert run.states == {
        "g.a[0]": "succeeded", "g.a[1]": "queued", "sum": "pending", "g.b[0]": "pending",
        "g.b[1]": "pending",
    }  # fmt: skip


def test_what_waits_for_a_group_that_comes_back_is_cleared_too() -> None:
    group = GroupDefinition("g", "", expansion(ResultLength("list")))
    run = Driven(
        flow(task("list"), task("g.a", group="g"), task("g.b", group="g"), task("z", ALL_DONE),
             groups=(group,), edges="g.b>z")
    )  # fmt: skip
    run.fail("list")
    run.succeed("z")
    run.clear("g.a")

    assert run.state("z") == "queued"
    assert run["z"].generation == 1


def test_a_whole_mapped_task_is_cleared_by_its_name_and_keeps_its_width() -> None:
    run = Driven(flow(task("list"), task("m", over=ResultLength("list"))))
    run.succeed("list", length=2)
    run.succeed("m", 0)
    run.fail("m", 1)
    run.clear("m")

    assert run.states == {"list": "succeeded", "m[0]": "queued", "m[1]": "queued"}


def test_what_is_cleared_alone_leaves_what_follows_as_it_was() -> None:
    run = Driven(flow(task("a"), task("b"), task("m", over=ResultLength("a")), edges="a>b"))
    run.succeed("a", length=1)
    run.succeed("b")
    run.fail("m", 0)
    cleared = run.machine.would_clear((), [("a", ())])
    run.feed(ev.TaskRunsCleared(run.now_us, (), alone=(("a", ()),)))

    assert [str(one.key) for one in cleared] == ["a", "m[0]"]
    assert run.states == {"a": "queued", "b": "succeeded", "m": "pending"}
    run.succeed("a", length=2)
    assert run.states == {
        "a": "succeeded", "b": "succeeded", "m[0]": "queued", "m[1]": "queued",
    }  # fmt: skip


def test_an_index_that_is_gone_holds_nobody_up() -> None:
    run = Driven(flow(task("list"), task("m", over=ResultLength("list")), task("z"), edges="m>z"))
    run.succeed("list", length=2)
    run.succeed("m", 0)
    run.fail("m", 1)
    run.clear("list")
    run.succeed("list", length=1)
    run.succeed("m", 0)

    assert run.states == {"list": "succeeded", "m[0]": "succeeded", "z": "queued"}


def test_what_follows_a_clear_bears_its_moment() -> None:
    run = Driven(flow(task("list"), task("m", over=ResultLength("list")), task("z"), edges="m>z"))
    run.succeed("list", length=0)
    run.clear("m", "z")

    assert run.outcome == "succeeded"
    moments = {c.fact.at_us for c in run.commands[-8:] if isinstance(c, cmd.Record)}
    assert moments == {run.now_us}
    run.clear("list")
    assert run["list"].queued_us == run.now_us
