"""This module tests how a run is summed up from its events."""

from hypothesis import given
from hypothesis import strategies as st

from ostinato.cli.progress.tally import Tally
from ostinato.client.views import TaskRunView
from ostinato.engine import events as ev
from ostinato.model.failure import Failure, FailureKind
from ostinato.model.flow import (
    Expansion,
    Factor,
    FlowDefinition,
    GroupDefinition,
    LiteralLength,
    TaskDefinition,
)
from ostinato.model.identity import MapPath
from ostinato.model.state import RunState, TaskRunState

MAPPED = Expansion((Factor("x", LiteralLength(3)),))
FLOW = FlowDefinition(
    "etl",
    tasks=(
        TaskDefinition("plain"),
        TaskDefinition("mapped", expansion=MAPPED),
        TaskDefinition("group.inner", group="group"),
        TaskDefinition("group.both", group="group", expansion=MAPPED),
    ),
    groups=(GroupDefinition("group", expansion=MAPPED),),
)
FAILURE = Failure(FailureKind.ERROR, "ValueError", "no")


def started(task: str, path: MapPath = (), at: int = 1) -> ev.AttemptStarted:
    return ev.AttemptStarted(at, task, path, 1)


def succeeded(task: str, path: MapPath = (), at: int = 2) -> ev.AttemptSucceeded:
    return ev.AttemptSucceeded(at, task, path, 1)


def failed(task: str, path: MapPath = (), at: int = 2) -> ev.AttemptFailed:
    return ev.AttemptFailed(at, task, path, 1, FAILURE)


def tally(*events: ev.Event) -> Tally:
    tally = Tally(FLOW)
    for event in events:
        tally.apply(event)
    return tally


def test_task_that_is_not_mapped_is_one_task_run() -> None:
    assert tally().tasks["plain"].total == 1
    assert tally().tasks["plain"].state is TaskRunState.PENDING


def test_width_of_a_mapped_task_comes_with_its_expansion() -> None:
    assert tally().tasks["mapped"].total is None
    assert tally(ev.Expanded(1, "mapped", (), (2, 3))).tasks["mapped"].total == 6


def test_tasks_of_a_mapped_group_are_as_many_as_it_is_wide() -> None:
    tasks = tally(ev.Expanded(1, "group", (), (3,))).tasks

    assert tasks["group.inner"].total == 3
    assert tasks["group.both"].total is None


def test_widths_of_a_mapped_task_in_a_mapped_group_add_up() -> None:
    expanded = [ev.Expanded(1, "group.both", (index,), (index + 1,)) for index in range(3)]

    assert tally(*expanded).tasks["group.both"].total == 6


def test_expansion_that_is_made_again_replaces_the_first() -> None:
    again = [ev.Expanded(1, "mapped", (), (5,)), ev.Expanded(2, "mapped", (), (2,))]

    assert tally(*again).tasks["mapped"].total == 2


def test_task_run_moves_from_running_to_its_end() -> None:
    running = tally(started("plain")).tasks["plain"]
    ended = tally(started("plain"), succeeded("plain", at=7)).tasks["plain"]

    assert running.state is TaskRunState.RUNNING
    assert (ended.state, ended.done, ended.started_us, ended.ended_us) == (
        TaskRunState.SUCCEEDED, 1, 1, 7,
    )  # fmt: skip


def test_failure_that_is_tried_again_is_no_failure_yet() -> None:
    retried = tally(started("plain"), failed("plain"), ev.RetryScheduled(3, "plain", (), 4))

    assert retried.tasks["plain"].state is TaskRunState.RETRYING
    assert retried.tasks["plain"].retries == 1
    assert list(retried.failures.values()) == [1]


def test_lost_attempt_counts_as_no_failure_of_the_task() -> None:
    lost = tally(started("plain"), ev.AttemptLost(2, "plain", (), 1))

    assert lost.failures == {}


def test_states_without_an_attempt() -> None:
    for label in ("upstream_failed", "skipped", "cancelled"):
        state = tally(ev.TaskRunEnded(1, "plain", (), label)).tasks["plain"].state
        assert state.label == label


def test_attempts_that_wait() -> None:
    revoked = tally(started("plain"), ev.AttemptRevoked(2, "plain", (), 1))
    deferred = tally(started("plain"), ev.AttemptDeferred(2, "plain", (), 1, 9))
    skipped = tally(started("plain"), ev.AttemptSkipped(2, "plain", (), 1))

    assert revoked.tasks["plain"].state is TaskRunState.QUEUED
    assert deferred.tasks["plain"].state is TaskRunState.DEFERRED
    assert skipped.tasks["plain"].state is TaskRunState.SKIPPED


def test_mapped_task_runs_until_all_have_ended() -> None:
    expanded = ev.Expanded(0, "mapped", (), (2,))
    half = tally(expanded, started("mapped", (0,)), succeeded("mapped", (0,)))
    whole = tally(
        expanded,
        started("mapped", (0,)),
        started("mapped", (1,)),
        succeeded("mapped", (0,)),
        succeeded("mapped", (1,)),
    )

    assert half.tasks["mapped"].state is TaskRunState.RUNNING
    assert not half.tasks["mapped"].is_settled
    assert whole.tasks["mapped"].state is TaskRunState.SUCCEEDED
    assert whole.tasks["mapped"].is_settled


def test_failure_of_one_shows_before_the_others_have_ended() -> None:
    some = tally(
        ev.Expanded(0, "mapped", (), (3,)),
        started("mapped", (0,)),
        started("mapped", (1,)),
        failed("mapped", (0,)),
    )

    assert some.tasks["mapped"].state is TaskRunState.FAILED


def test_mapped_task_that_never_opened_is_settled() -> None:
    closed = tally(ev.TaskRunEnded(1, "mapped", (), "upstream_failed"))

    assert closed.tasks["mapped"].is_settled


def test_run_moves_through_its_states() -> None:
    assert tally(ev.RunStarted(0)).state is RunState.RUNNING
    assert tally(ev.RunStateChanged(0, "cancelling")).state is RunState.CANCELLING
    assert tally(ev.RunEnded(0, "failed")).state is RunState.FAILED


def test_task_of_another_version_is_passed_over() -> None:
    gone = tally(started("gone"), failed("gone"), ev.RetryScheduled(3, "gone", (), 4))

    assert gone.done == 0


def view(task: str, path: str, state: TaskRunState, failures: int = 0) -> TaskRunView:
    return TaskRunView(task, path, state, 1, failures, 0, 0, 0, 0, 0, None, None, "")


def test_run_that_goes_on_begins_with_what_is_stored() -> None:
    resumed = Tally(FLOW)
    resumed.seed(
        [
            view("plain", "", TaskRunState.RETRYING, failures=2),
            view("mapped", "0", TaskRunState.SUCCEEDED),
            view("mapped", "1", TaskRunState.PENDING),
            view("gone", "", TaskRunState.SUCCEEDED),
        ],
        {("mapped", ()): 2},
    )

    assert resumed.tasks["plain"].state is TaskRunState.RETRYING
    assert resumed.failures[("plain", ())] == 2  # type: ignore[index]  # a key is this tuple
    assert (resumed.tasks["mapped"].done, resumed.tasks["mapped"].total) == (1, 2)
    assert (resumed.done, resumed.total) == (1, 3)


EVENTS = [
    make(task, path)
    for make in (started, succeeded, failed)
    for task, path in [("plain", ()), ("mapped", (0,)), ("mapped", (1,))]
]


@given(st.lists(st.sampled_from(EVENTS)))
def test_event_that_is_seen_twice_counts_once(events: list[ev.Event]) -> None:
    once, twice = Tally(FLOW), Tally(FLOW)
    for event in events:
        once.apply(event)
        twice.apply(event)
        twice.apply(event)

    assert [task.counts for task in once.tasks.values()] == [
        task.counts for task in twice.tasks.values()
    ]
    assert all(number > 0 for task in once.tasks.values() for number in task.counts.values())
