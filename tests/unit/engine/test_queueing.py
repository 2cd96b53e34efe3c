"""Who is dispatched next, within the limits."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.engine.queueing import (
    AGE_STEP_US,
    MAX_OVERTAKEN,
    Lane,
    Limit,
    Ready,
    ReadyQueue,
    waiting_for,
)
from ostinato.engine.task_run import TaskRun
from ostinato.model.state import TaskRunState


def queued(name: str, at_us: int = 0) -> TaskRun:
    task_run = TaskRun(0, name, (), 0, 0)
    task_run.queued_us = at_us
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
        queue.push(Ready(1, queued(name), lane), priority)

    assert names(queue) == ["b", "d", "a", "c"]


def test_priority_counts_over_lanes() -> None:
    queue = ReadyQueue()
    queue.push(Ready(1, queued("a"), Lane("e", ())), 1)
    queue.push(Ready(1, queued("b"), Lane("e", ((Limit("pool", 1), 1),))), 2)

    assert names(queue) == ["b", "a"]


def test_a_full_limit_holds_up_nobody_else() -> None:
    queue, limit = ReadyQueue(), Limit("pool", 1)
    full, free = Lane("e", ((limit, 1),)), Lane("e", ())
    for name, lane in (("a", full), ("b", full), ("c", free)):
        queue.push(Ready(1, queued(name), lane), 1)

    first = queue.pop("e")

    assert first is not None
    assert first.task_run.task_id == "a"
    assert names(queue) == ["c"]
    queue.release(first)
    assert names(queue) == ["b"]


def test_what_ended_while_it_waited_is_passed_over() -> None:
    queue, lane = ReadyQueue(), Lane("e", ())
    gone = queued("a")
    queue.push(Ready(1, gone, lane), 9)
    queue.push(Ready(1, queued("b"), lane), 1)
    gone.state = TaskRunState.CANCELLED

    assert names(queue) == ["b"]


def test_an_executor_gets_its_own_only() -> None:
    queue = ReadyQueue()
    queue.push(Ready(1, queued("a"), Lane("e", ())), 1)

    assert queue.pop("other") is None
    assert names(queue) == ["a"]


def test_waiting_counts_as_much_as_priority() -> None:
    queue, lane = ReadyQueue(), Lane("e", ())
    for name, at_us, priority in (
        ("patient", 0, 1),
        ("urgent", AGE_STEP_US - 1, 2),
        ("late", AGE_STEP_US + 1, 2),
        ("much later", 9 * AGE_STEP_US, 9),
    ):
        queue.push(Ready(1, queued(name, at_us), lane), priority)

    assert names(queue) == ["urgent", "patient", "late", "much later"]


def test_what_asks_for_much_is_overtaken_a_few_times_only() -> None:
    queue, pool = ReadyQueue(), Limit("pool", 4)
    large, small = Lane("e", ((pool, 4),)), Lane("e", ((pool, 1),))
    queue.push(Ready(1, queued("first"), small), 1)
    taken = [queue.pop("e")]
    queue.push(Ready(1, queued("large"), large), 1)
    order = []
    for number in range(100):
        queue.push(Ready(1, queued(f"small {number}"), small), 1)
        while (ready := queue.pop("e")) is not None:
            taken.append(ready)
            order.append(ready.task_run.task_id)
        oldest = taken.pop(0)
        assert oldest is not None
        queue.release(oldest)

    # One begins in each turn, and then four end before it fits.
    assert order.index("large") == MAX_OVERTAKEN
    assert len(order) > 90


def test_who_is_favoured_and_ends_otherwise_holds_up_nobody() -> None:
    queue, pool = ReadyQueue(), Limit("pool", 2)
    large, small = Lane("e", ((pool, 2),)), Lane("e", ((pool, 1),))
    queue.push(Ready(1, queued("first"), small), 1)
    running = queue.pop("e")
    gone = queued("large")
    queue.push(Ready(1, gone, large), 1)
    for number in range(MAX_OVERTAKEN + 3):
        queue.push(Ready(1, queued(str(number)), small), 1)
    passed = 0
    while (ready := queue.pop("e")) is not None:
        queue.release(ready)
        passed += 1
    assert passed == MAX_OVERTAKEN
    gone.state = TaskRunState.CANCELLED
    assert running is not None
    queue.release(running)

    assert names(queue) == [str(MAX_OVERTAKEN), str(MAX_OVERTAKEN + 1)]


def test_two_that_ask_for_much_of_both_are_served_one_after_the_other() -> None:
    queue, cpu, pool = ReadyQueue(), Limit("cpu", 2), Limit("pool", 2)
    both, other = Lane("e", ((cpu, 2), (pool, 2))), Lane("e", ((pool, 2), (cpu, 2)))
    only_cpu, only_pool = Lane("e", ((cpu, 1),)), Lane("e", ((pool, 1),))
    for name, lane in (("c", only_cpu), ("p", only_pool)):
        queue.push(Ready(1, queued(name), lane), 1)
    taken = [queue.pop("e"), queue.pop("e")]
    queue.push(Ready(1, queued("both"), both), 1)
    queue.push(Ready(1, queued("other"), other), 1)
    order = []
    for number in range(60):
        queue.push(Ready(1, queued(f"c{number}"), only_cpu), 1)
        queue.push(Ready(1, queued(f"p{number}"), only_pool), 1)
        while (ready := queue.pop("e")) is not None:
            taken.append(ready)
            order.append(ready.task_run.task_id)
        for _ in range(min(2, len(taken))):
            oldest = taken.pop(0)
            assert oldest is not None
            queue.release(oldest)

    assert 0 < order.index("both") < order.index("other") < 4 * MAX_OVERTAKEN


SLOTS = (2, 3, 4)

Step = tuple[str, int, int]

demands = st.lists(
    st.tuples(*(st.integers(0, slots) for slots in SLOTS)), min_size=1, max_size=5, unique=True
)
steps = st.lists(
    st.tuples(st.sampled_from(("push", "push", "pop", "pop", "release", "end")),
              st.integers(0, 4), st.integers(0, 3)),
    max_size=120,
)  # fmt: skip


class Served:
    """A queue with limits, and what was taken of it."""

    def __init__(self, demands: list[tuple[int, ...]]) -> None:
        self.limits = [Limit(str(slots), slots) for slots in SLOTS]
        self.lanes = [
            Lane("ef"[number % 2], tuple((limit, amount) for limit, amount in pairs if amount))
            for number, pairs in enumerate(
                tuple(zip(self.limits, each, strict=True)) for each in demands
            )
        ]
        self.queue = ReadyQueue()
        self.waiting: list[TaskRun] = []
        self.taken: list[Ready] = []
        self.pushed = 0

    def take(self, step: Step) -> None:
        kind, number, priority = step
        match kind:
            case "push":
                self.pushed += 1
                task_run = queued(str(self.pushed), self.pushed * AGE_STEP_US // 3)
                lane = self.lanes[number % len(self.lanes)]
                self.waiting.append(task_run)
                self.queue.push(Ready(1, task_run, lane), priority)
            case "pop":
                self.pop("ef"[number % 2])
            case "release" if self.taken:
                self.queue.release(self.taken.pop(number % len(self.taken)))
            case "end" if self.waiting:
                task_run = self.waiting.pop(number % len(self.waiting))
                task_run.state = TaskRunState.CANCELLED
        self.check()

    def pop(self, executor: str) -> bool:
        ready = self.queue.pop(executor)
        if ready is None:
            return False
        assert ready.lane.executor == executor
        self.waiting.remove(ready.task_run)
        self.taken.append(ready)
        return True

    def check(self) -> None:
        for limit in self.limits:
            mine = [a for one in self.taken for other, a in one.lane.demands if other is limit]
            assert sum(mine) == limit.used <= limit.slots


@given(demands=demands, steps=steps)
def test_no_limit_is_exceeded_and_nothing_is_forgotten(
    demands: list[tuple[int, ...]], steps: list[Step]
) -> None:
    served = Served(demands)
    for step in steps:
        served.take(step)

    while served.waiting:
        while served.pop("e") or served.pop("f"):
            served.check()
        assert served.taken, "nothing runs, and nothing can begin"
        served.queue.release(served.taken.pop())
        served.check()


@settings(max_examples=50)
@given(demands=demands, steps=steps, patient=st.integers(0, 4))
def test_whoever_waits_is_served_whatever_comes(
    demands: list[tuple[int, ...]], steps: list[Step], patient: int
) -> None:
    served = Served(demands)
    for step in steps:
        served.take(step)
    mine = queued("mine", served.pushed * AGE_STEP_US // 3)
    served.waiting.append(mine)
    served.queue.push(Ready(1, mine, served.lanes[patient % len(served.lanes)]), 0)

    # From here on nothing ends by itself, and more keeps coming, all of it more urgent.
    for turn in range(300):
        served.take(("push", turn, 3))
        served.take(("push", turn // 3, 2))
        while served.pop("e") or served.pop("f"):
            pass
        if mine not in served.waiting:
            return
        served.queue.release(served.taken.pop(turn % len(served.taken)))
    raise AssertionError("it was never served")


def test_flows_take_turns() -> None:
    queue, pool = ReadyQueue(), Limit("pool", 1)
    busy, late = (Lane("e", ((pool, 1),), flow) for flow in ("busy", "late"))
    for number in range(100):
        queue.push(Ready(1, queued(f"busy {number}"), busy), 9)
    running = queue.pop("e")
    for number in range(3):
        queue.push(Ready(2, queued(f"late {number}", 5), late), 1)

    order = _one_after_the_other(queue, running)

    assert [order.index(f"late {number}") for number in range(3)] == [0, 2, 4]


def test_each_level_of_priority_doubles_the_share_of_a_flow() -> None:
    queue, pool = ReadyQueue(), Limit("pool", 1)
    for flow, priority in (("low", 0), ("high", 2)):
        lane = Lane("e", ((pool, 1),), flow, priority)
        for _ in range(50):
            queue.push(Ready(1, queued(flow), lane), 1)

    order = _one_after_the_other(queue, queue.pop("e"))

    assert 7 <= order[:40].count("low") <= 9


def test_a_flow_that_comes_back_has_not_saved_up_turns() -> None:
    queue = ReadyQueue()
    steady, rare = Lane("e", (), "steady"), Lane("e", (), "rare")
    queue.push(Ready(1, queued("rare"), rare), 1)
    assert queue.pop("e") is not None
    for _ in range(50):
        queue.push(Ready(1, queued("steady"), steady), 1)
    for _ in range(30):
        assert queue.pop("e") is not None
    for _ in range(10):
        queue.push(Ready(2, queued("rare"), rare), 1)

    assert names(queue)[:20].count("rare") == 10
    assert queue.pop("e") is None


def test_many_lanes_that_wait_for_a_pool_are_let_in_one_at_a_time() -> None:
    queue, pool = ReadyQueue(), Limit("pool", 2)
    for number in range(1000):
        lane = Lane("e", ((pool, 1), (Limit("run", 1), 1)), f"flow {number}")
        queue.push(Ready(number, queued(str(number)), lane), 1)
    running = [queue.pop("e"), queue.pop("e")]
    assert queue.pop("e") is None

    served = 2
    while running:
        done = running.pop(0)
        assert done is not None
        queue.release(done)
        if (ready := queue.pop("e")) is not None:
            running.append(ready)
            served += 1
        assert queue.pop("e") is None

    assert served == 1000


def test_a_limit_that_grows_lets_in_who_waits() -> None:
    queue, pool = ReadyQueue(), Limit("pool", 0)
    lane = Lane("e", ((pool, 1),))
    queue.push(Ready(1, queued("a"), lane), 1)
    queue.push(Ready(1, queued("b"), lane), 1)
    assert queue.pop("e") is None

    queue.resize(pool, 1)

    assert names(queue) == ["a"]


def test_an_executor_without_room_keeps_no_other_one_from_a_limit() -> None:
    queue, pool = ReadyQueue(), Limit("pool", 1)
    queue.push(Ready(1, queued("first"), Lane("e", ((pool, 1),))), 1)
    first = queue.pop("e")
    assert first is not None
    for executor in "ef":
        queue.push(Ready(1, queued(executor), Lane(executor, ((pool, 1),))), 1)
        assert queue.pop(executor) is None
    queue.release(first)

    assert names(queue, "f") == ["f"]


def _one_after_the_other(queue: ReadyQueue, running: Ready | None) -> list[str]:
    order = []
    while running is not None:
        queue.release(running)
        running = queue.pop("e")
        if running is not None:
            order.append(running.task_run.task_id)
    return order


def test_it_is_known_what_waits_for_a_limit() -> None:
    queue, limit = ReadyQueue(), Limit("pool", 0)
    one, three = Lane("e", ((limit, 1),)), Lane("e", ((limit, 3),))
    for name, lane in (("a", one), ("b", one), ("c", three)):
        queue.push(Ready(1, queued(name), lane), 1)
    before = waiting_for(limit, 100)

    queue.pop("e")

    assert before == (0, 0)
    assert waiting_for(limit, 100) == (5, 1)
