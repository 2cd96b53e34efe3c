"""This module tests flows that are functions in memory, where time is virtual."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest

from ostinato import (
    Fail,
    as_completed,
    dag,
    flow,
    pause,
    suspend,
    task,
    testing,
    wait_for_input,
)
from ostinato.errors import AttemptTimeout, UnknownTask, UsageError

calls: list[Any] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    calls.clear()


@task(retries=3, retry_delay="1h")
def flaky(name: str, failures: int = 2) -> str:
    calls.append(name)
    if calls.count(name) <= failures:
        message = "not yet"
        raise ConnectionError(message)
    return name


@task
def lasting(hours: float) -> float:
    time.sleep(hours * 3600)
    return hours


@task
async def awaiting(hours: float) -> float:
    await asyncio.sleep(hours * 3600)
    return hours


def hours(run: testing.MemoryRun) -> float:
    return run.duration / timedelta(hours=1)


def test_retries_and_sleeps_of_steps_take_virtual_time() -> None:
    @flow
    def steps() -> str:
        time.sleep(3600)
        lasting(2.5)
        return str(flaky("a"))

    began_s = time.monotonic()
    run = testing.run(steps)

    assert run.result() == "a"
    assert hours(run) == 1 + 2.5 + 2
    assert time.monotonic() - began_s < 10


def test_submitted_steps_lie_beside_one_another() -> None:
    @flow
    def steps() -> list[Any]:
        futures = [lasting.submit(each) for each in (3, 1, 2)]
        first = futures[0]
        order = [future.done() for future in futures]
        order += [future.result() for future in as_completed(futures)]
        with pytest.raises(TimeoutError):
            lasting.submit(5).result(timeout=3600)
        return [*order, first.done()]

    run = testing.run(steps)

    assert run.result() == [False, False, False, 1, 2, 3, True]
    # Who does not wait for a step waits for it in the end.
    assert hours(run) == 3 + 5


def test_coroutines_wait_beside_one_another_in_virtual_time() -> None:
    @task(retries=1, retry_delay="10h")
    async def again() -> None:
        calls.append("again")
        if len(calls) < 2:
            raise OSError

    @flow
    async def steps() -> list[float]:
        gathered = await asyncio.gather(awaiting(4), awaiting(2), again())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1800):
                await asyncio.sleep(3600)
        return [*gathered[:2], await awaiting.submit(1)]

    run = testing.run(steps)

    assert run.result() == [4, 2, 1]
    assert hours(run) == 10 + 0.5 + 1


def test_time_limits_of_steps_and_flows_count_virtual_time() -> None:
    limited = lasting.with_options(name="limited", timeout="2h")

    @task(timeout="1h")
    async def short() -> None:
        await asyncio.sleep(7200)

    @task(timeout="3h")
    def around() -> None:
        with pytest.raises(AttemptTimeout):
            limited(5)
        time.sleep(7200)

    @flow
    def steps() -> None:
        with pytest.raises(AttemptTimeout, match=r"'limited.*ran longer than its timeout"):
            limited(2.5)
        with pytest.raises(AttemptTimeout, match="'short"):
            short.submit().result()
        with pytest.raises(AttemptTimeout, match="'around"):
            around()

    @flow(timeout="4h")
    def whole() -> None:
        for _ in range(10):
            lasting(1)

    run = testing.run(steps)
    late = testing.run(whole)

    assert (run.state, hours(run)) == ("succeeded", 2 + 1 + 3)
    assert (late.state, hours(late)) == ("failed", 4)
    failure = late.task_run("@body").failure
    assert failure is not None
    assert "timeout" in failure.message


def test_people_answer_by_title_or_are_waited_for_in_virtual_time() -> None:
    @flow
    def asking() -> list[Any]:
        suspend("May I?", timeout="7d")
        pause("Sure?", timeout="1d")
        count = wait_for_input(int, "How many?", timeout="2d", default=5)
        return [count, pause("Which?", wait_for_input=str)]

    run = testing.run(asking, answers={"May I?": True, "Sure?": True, "Which?": "this"})

    assert run.result() == [5, "this"]
    assert run.duration == timedelta(days=2)


def test_nobody_answers_for_ever() -> None:
    @flow
    def asking() -> None:
        suspend("May I?")

    @flow
    def pausing() -> None:
        pause("Sure?")

    with pytest.raises(UsageError, match="waits for a person, and nobody answers") as caught:
        testing.run(asking)
    assert "'May I?'" in caught.value.hint
    run = testing.run(pausing)
    assert (run.state, "nobody answers" in run.reason) == ("failed", False)
    with pytest.raises(UnknownTask, match="What"):
        testing.run(pausing, answers={"Sure?": True, "What?": 1})


def test_subflows_have_retries_of_their_own() -> None:
    @flow(retries=2, retry_delay="5h")
    def inner(name: str) -> str:
        return str(flaky.with_options(retries=0)(name))

    @flow
    async def beside() -> str:
        return str(await awaiting(1))

    @flow
    def outer() -> str:
        return f"{inner('b')}{asyncio.run(beside())}"

    run = testing.run(outer)

    assert run.result() == "b1"
    assert hours(run) == 2 * 5 + 1


def test_rejection_fails_a_flow() -> None:
    @flow
    def rejected() -> None:
        suspend("May I?")

    run = testing.run(rejected, answers={"May I?": False})

    assert run.state == "failed"


def test_sleep_of_a_graphs_task_is_real() -> None:
    @dag
    def graph() -> None:
        @task
        def nap() -> float:
            began_s = time.monotonic()
            time.sleep(0.01)
            return time.monotonic() - began_s

        nap()

    assert testing.run(graph()).result("nap") >= 0.01


def test_failure_of_a_step_that_nobody_waits_for_fails_the_flow() -> None:
    @task
    def wrong() -> None:
        message = "wrong"
        raise Fail(message)

    @flow
    def steps() -> int:
        wrong.submit()
        return 1

    run = testing.run(steps)

    assert (run.state, run.result()) == ("failed", None)
