"""This module tests the time limits of steps, in every thread."""

import asyncio
import time
from pathlib import Path

import pytest

from ostinato import flow, task
from ostinato.errors import AttemptTimeout


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for what the flows record."""
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))
    return tmp_path


@task(timeout=0.05)
def sleep_long() -> None:
    time.sleep(60)


@task(timeout=0.05)
def spin() -> None:
    while True:
        pass


@task(timeout=60)
def quick(number: int) -> int:
    return number + 1


def test_a_step_in_the_main_thread_is_interrupted() -> None:
    @flow
    def waits() -> str:
        try:
            sleep_long()
        except AttemptTimeout as error:
            return str(error)
        return "went on"

    assert waits() == "step 'sleep_long[0]' ran longer than its timeout of 0.05 s"


def test_a_submitted_step_is_left_when_it_is_in_python() -> None:
    @flow
    def waits() -> int:
        slow = spin.submit()
        good = quick.submit(1)
        with pytest.raises(AttemptTimeout, match="spin"):
            slow.result()
        return int(good.result())

    assert waits() == 2


def test_an_async_step_is_cancelled() -> None:
    @task(timeout=0.05)
    async def wait() -> None:
        await asyncio.sleep(60)

    @task(timeout=60)
    async def own() -> None:
        raise TimeoutError("its own")

    @flow
    async def waits() -> str:
        with pytest.raises(TimeoutError, match="its own"):
            await own()
        with pytest.raises(AttemptTimeout, match=r"wait\[1\]"):
            await wait()
        return "went on"

    assert asyncio.run(waits()) == "went on"


def test_a_step_that_was_too_slow_is_tried_again() -> None:
    tries = []

    @task(timeout=0.05, retries=1, retry_delay=0)
    def slow_once() -> int:
        tries.append(1)
        if len(tries) == 1:
            time.sleep(60)
        return len(tries)

    @flow
    def waits() -> int:
        return int(slow_once())

    assert waits() == 2


def test_the_limit_around_a_step_comes_first_if_it_is_earlier() -> None:
    @task(timeout=60)
    def inner() -> None:
        time.sleep(60)

    @task(timeout=0.05)
    def outer() -> None:
        inner()

    @flow
    def waits() -> None:
        outer()

    with pytest.raises(AttemptTimeout):
        waits()


def test_the_limit_around_a_step_goes_on_behind_it() -> None:
    @task(timeout=0.2)
    def outer() -> None:
        quick_inner()
        time.sleep(60)

    @task(timeout=0.1)
    def quick_inner() -> int:
        return 1

    @flow
    def waits() -> None:
        outer()

    with pytest.raises(AttemptTimeout, match="outer"):
        waits()
