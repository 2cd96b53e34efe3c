"""Who is dispatched next, within the limits."""

from hypothesis import given
from hypothesis import strategies as st

from ostinato.engine.queueing import Lane, Limit, Ready, ReadyQueue
from ostinato.engine.task_run import TaskRun
from ostinato.model.state import TaskRunState


def queued(name: str) -> TaskRun:
    task_run = TaskRun(0, name, (), 0, 0)
    task_run.state = TaskRunState.QUEUED
    return task_run


def names(queue: ReadyQueue, executor: str = "e") -> list[str]:
    taken = []
    while (ready := queue.pop(executor)) is not None:
        taken.append(ready.task_run.task_id)
    return taken


def test_higher_priority_goes_first_then_the_earlier() -> None:
    queue, lane = ReadyQueue(), Lane("e", ())
    for name, priority in (("a", 1), ("b", 5), ("c", 1), ("d", 5)):
        queue.push(Ready(1, queued(name), lane, 1), priority)

    assert names(queue) == ["b", "d", "a", "c"]


def test_priority_counts_over_lanes() -> None:
    queue = ReadyQueue()
    queue.push(Ready(1, queued("a"), Lane("e", ()), 1), 1)
    queue.push(Ready(1, queued("b"), Lane("e", (Limit("pool", 1),)), 1), 2)

    assert names(queue) == ["b", "a"]


def test_a_full_limit_holds_up_nobody_else() -> None:
    queue, limit = ReadyQueue(), Limit("pool", 1)
    full, free = Lane("e", (limit,)), Lane("e", ())
    for name, lane in (("a", full), ("b", full), ("c", free)):
        queue.push(Ready(1, queued(name), lane, 1), 1)

    first = queue.pop("e")

    assert first is not None
    assert first.task_run.task_id == "a"
    assert names(queue) == ["c"]
    queue.release(first)
    assert names(queue) == ["b"]


def test_what_ended_while_it_waited_is_passed_over() -> None:
    queue, lane = ReadyQueue(), Lane("e", ())
    gone = queued("a")
    queue.push(Ready(1, gone, lane, 1), 9)
    queue.push(Ready(1, queued("b"), lane, 1), 1)
    gone.state = TaskRunState.CANCELLED

    assert names(queue) == ["b"]


def test_an_executor_gets_its_own_only() -> None:
    queue = ReadyQueue()
    queue.push(Ready(1, queued("a"), Lane("e", ()), 1), 1)

    assert queue.pop("other") is None
    assert names(queue) == ["a"]


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(1, 2), st.booleans()),
        max_size=60,
    )
)
def test_limits_are_never_exceeded_and_everything_gets_its_turn(
    steps: list[tuple[int, int, int, bool]],
) -> None:
    queue = ReadyQueue()
    limits = [Limit("a", 2), Limit("b", 3)]
    lanes = [Lane("e", (limits[0],)), Lane("e", (limits[1],)), Lane("e", tuple(limits))]
    out: list[Ready] = []
    pushed = taken = 0
    for lane, priority, slots, is_release in steps:
        queue.push(Ready(1, queued(str(pushed)), lanes[lane], slots), priority)
        pushed += 1
        if is_release and out:
            queue.release(out.pop(0))
        ready = queue.pop("e")
        if ready is not None:
            taken += 1
            out.append(ready)
        assert all(0 <= limit.used <= limit.slots for limit in limits)
    while taken < pushed:
        if (ready := queue.pop("e")) is not None:
            taken += 1
            out.append(ready)
        else:
            assert out, "something waits although nothing is taken"
            queue.release(out.pop(0))
        assert all(0 <= limit.used <= limit.slots for limit in limits)
