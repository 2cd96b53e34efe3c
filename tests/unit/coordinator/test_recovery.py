"""Runs that were interrupted at any commit go on as if nothing had happened."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ostinato import dag, get_current_context, task, task_group
from ostinato.authoring.ports import BuiltFlow
from ostinato.errors import UsageError
from ostinato.store.protocol import RunFilter
from tests.unit.coordinator.site import Site


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Executions:
    """What executed how often, as (task run, attempt)."""

    def __init__(self) -> None:
        self.count: Counter[tuple[str, int]] = Counter()

    def note(self) -> None:
        """Count the attempt that executes."""
        context = get_current_context()
        path = ".".join(map(str, context.map_path))
        self.count[f"{context.task_id}[{path}]", context.attempt] += 1


def everything(executions: Executions) -> BuiltFlow:
    """Return a flow with mapping, groups, branches, retries, pushes and a teardown."""

    @dag
    def everything() -> None:
        @task
        def numbers() -> list[int]:
            executions.note()
            get_current_context().push("unit", "m")
            return [1, 2, 3]

        @task(retries=1, retry_delay=timedelta(0))
        def double(n: int) -> int:
            executions.note()
            if n == 2 and get_current_context().try_number == 1:
                raise ConnectionError("not yet")
            return n * 2

        @task_group
        def each(n: int) -> Any:
            @task
            def up(n: int) -> int:
                executions.note()
                return n + 1

            @task
            def text(n: int) -> str:
                executions.note()
                return str(n)

            return text(up(n))

        @task.branch
        def choose(values: Any) -> str:
            executions.note()
            assert list(values) == [2, 4, 6]
            return "left"

        @task
        def left() -> str:
            executions.note()
            return "left"

        @task
        def right() -> str:
            executions.note()
            return "right"

        @task(trigger_rule="none_failed_min_one_success")
        def total(values: Any, texts: Any) -> str:
            executions.note()
            unit = get_current_context().pull("numbers", key="unit")
            return f"{sum(values)} {'-'.join(texts)} {unit}"

        found = numbers()
        doubled = double.expand(n=found)
        one, other = left(), right()
        choose(doubled) >> [one, other]
        last = total(doubled, each.expand(n=found))
        [one, other] >> last

    return everything()


def check(site: Site, executions: Executions, story: str) -> None:
    rows, _ = site.store.runs(RunFilter())
    run = site.handle(rows[0].id)
    assert run.state == "succeeded", f"{story}: {run.reason}"
    assert run.result("total") == "12 2-3-4 m", story
    assert run.task_run("right").state == "skipped", story
    assert site.store.check_integrity() == [], story
    # What was recorded as succeeded has executed once under its number, and never later.
    for view in run.task_runs:
        if view.state == "succeeded":
            name = f"{view.task_id}[{'.'.join(map(str, view.map_path))}]"
            assert executions.count[name, view.attempt] == 1, f"{story}: {name}"
            assert not executions.count[name, view.attempt + 1], f"{story}: {name}"


def test_run_interrupted_at_any_commit_goes_on_to_the_same_end(tmp_path: Path) -> None:
    room = 0
    is_interrupted = True
    while is_interrupted:
        executions = Executions()
        folder = tmp_path / str(room)
        folder.mkdir()
        site = Site(folder, everything(executions))

        run = site.run(room=room)
        is_interrupted = run.state != "succeeded"
        if is_interrupted:
            site.resume(run)

        check(site, executions, f"interrupted at commit {room}")
        site.close()
        room += 1
    assert room > 5


def test_run_interrupted_at_every_commit_in_turn_ends(tmp_path: Path, closing: ExitStack) -> None:
    executions = Executions()
    site = Site(tmp_path, everything(executions))
    closing.callback(site.close)

    run = site.run(room=1)
    turns = 0
    while run.state != "succeeded":
        # With room for one commit no attempt would ever be recorded: started is the first.
        site.resume(run, room=3)
        turns += 1
        assert turns < 100, run.reason

    assert turns > 2
    check(site, executions, "interrupted at every commit")


def test_value_that_was_pushed_before_the_interruption_is_pulled_after_it(
    tmp_path: Path, closing: ExitStack
) -> None:
    @dag
    def pushing() -> None:
        @task
        def first() -> str:
            get_current_context().push("unit", "m")
            return "result"

        @task
        def second() -> list[Any]:
            context = get_current_context()
            return [context.pull("first", key="unit"), context.pull("first")]

        first() >> second()

    site = Site(tmp_path, pushing())
    closing.callback(site.close)
    room = 0
    run = site.run(room=room)
    while run.task_runs == [] or run.task_run("first").state != "succeeded":
        room += 1
        run = site.run(room=room)
    assert run.state == "running"

    site.resume(run)

    assert run.result("second") == ["m", "result"]


def test_failures_of_earlier_attempts_are_kept_over_an_interruption(
    tmp_path: Path, closing: ExitStack
) -> None:
    @dag
    def flaky() -> None:
        @task(retries=5, retry_delay=timedelta(0))
        def load() -> int:
            number = get_current_context().try_number
            if number < 4:
                raise ConnectionError(f"attempt {number}")
            return number

        load()

    site = Site(tmp_path, flaky())
    closing.callback(site.close)

    run = site.run(room=3)
    while run.state != "succeeded":
        site.resume(run, room=3)

    (view,) = run.task_runs
    archived = site.store.attempts(site.store.runs(RunFilter())[0][0].id, "load", "")
    failed = [row for row in archived if row.state == "failed"]
    assert len(failed) == 3
    assert run.result("load") == 4
    assert view.failure is None
    assert [row.attempt for row in archived] == sorted({row.attempt for row in archived})
    assert view.attempt == archived[-1].attempt + 1


def test_ended_run_is_not_resumed_and_stays_free(tmp_path: Path, closing: ExitStack) -> None:
    site = Site(tmp_path, everything(Executions()))
    closing.callback(site.close)
    run = site.run()

    with pytest.raises(UsageError, match="has ended: it is succeeded"):
        site.resume(run)

    rows, _ = site.store.runs(RunFilter())
    assert rows[0].owner == 0


def failing(tries: list[str], *, until: int) -> BuiltFlow:
    @dag
    def failing() -> None:
        @task
        def first() -> int:
            tries.append("first")
            return 1

        @task
        def second(n: int) -> int:
            tries.append("second")
            if tries.count("second") < until:
                raise ValueError("no")
            return n + 1

        @task
        def third(n: int) -> int:
            tries.append("third")
            return n + 1

        third(second(first()))

    return failing()


def test_retry_runs_what_failed_and_what_is_downstream_of_it(
    tmp_path: Path, closing: ExitStack
) -> None:
    tries: list[str] = []
    site = Site(tmp_path, failing(tries, until=2))
    closing.callback(site.close)
    run = site.run()
    assert run.state == "failed"

    site.retry(run)

    assert run.state == "succeeded"
    assert tries == ["first", "second", "second", "third"]
    assert run.result("third") == 3
    assert run.reason == ""


def test_retry_that_fails_again_is_retried_again(tmp_path: Path, closing: ExitStack) -> None:
    tries: list[str] = []
    site = Site(tmp_path, failing(tries, until=3))
    closing.callback(site.close)
    run = site.run()

    assert site.retry(run).state == "failed"
    assert site.retry(run).state == "succeeded"


def test_run_of_which_nothing_failed_is_not_retried(tmp_path: Path, closing: ExitStack) -> None:
    site = Site(tmp_path, failing([], until=0))
    closing.callback(site.close)
    run = site.run()

    with pytest.raises(UsageError, match="nothing of run failing#1 failed"):
        site.retry(run)

    assert site.store.runs(RunFilter())[0][0].owner == 0


def test_interrupted_run_is_resumed_not_retried(tmp_path: Path, closing: ExitStack) -> None:
    site = Site(tmp_path, failing([], until=0))
    closing.callback(site.close)
    run = site.run(room=2)

    with pytest.raises(UsageError, match="was interrupted and has not ended"):
        site.retry(run)

    assert site.resume(run).state == "succeeded"


def test_interrupted_run_of_a_part_reads_the_values_that_it_began_with(
    tmp_path: Path, closing: ExitStack
) -> None:
    made = iter(range(10, 100))

    @dag
    def parts() -> None:
        @task
        def source() -> int:
            return next(made)

        @task
        def sink(n: int) -> int:
            return n

        sink(source())

    site = Site(tmp_path, parts())
    closing.callback(site.close)
    site.run()
    part = site.run(room=1, select="sink")
    newer = site.run()
    assert newer.result("source") == 11

    site.resume(part)

    assert part.result("sink") == 10
