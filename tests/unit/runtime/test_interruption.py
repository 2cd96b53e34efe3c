"""What stops an attempt is raised in it once, and nowhere else."""

import asyncio
import threading

import pytest

from ostinato.runtime.interruption import Interruption


class Stop(BaseException):
    pass


@pytest.fixture
def interruption() -> Interruption:
    return Interruption()


def test_nothing_is_raised_between_attempts(interruption: Interruption) -> None:
    interruption.post(Stop())

    interruption.deliver()

    assert interruption.is_wanted


def test_what_came_before_the_attempt_is_raised_when_it_begins(interruption: Interruption) -> None:
    interruption.post(Stop())

    with pytest.raises(Stop):
        interruption.begin()


def test_what_came_too_late_is_forgotten(interruption: Interruption) -> None:
    interruption.begin()
    interruption.close()
    interruption.post(Stop())
    interruption.end()

    interruption.begin()

    assert not interruption.is_wanted


def test_an_attempt_is_interrupted_once(interruption: Interruption) -> None:
    interruption.begin()
    interruption.post(Stop("first"))
    with pytest.raises(Stop, match="first"):
        interruption.deliver()

    interruption.post(Stop("second"))
    interruption.deliver()
    interruption.begin()

    assert not interruption.is_wanted


def test_the_first_reason_counts(interruption: Interruption) -> None:
    interruption.post(Stop("first"))
    interruption.post(Stop("second"))

    with pytest.raises(Stop, match="first"):
        interruption.begin()


def test_a_block_that_is_held_is_left_at_its_end(interruption: Interruption) -> None:
    done: list[str] = []
    interruption.begin()

    def work() -> None:
        with interruption.held():
            interruption.post(Stop())
            interruption.deliver()
            done.append("whole")

    with pytest.raises(Stop):
        work()

    assert done == ["whole"]


def test_other_threads_are_not_interrupted(interruption: Interruption) -> None:
    raised: list[BaseException] = []
    interruption.begin()
    interruption.post(Stop())

    def work() -> None:
        try:
            with interruption.held():
                pass
        except Stop as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert raised == []


def test_a_coroutine_is_cancelled_and_tidies_up(interruption: Interruption) -> None:
    tidied: list[str] = []

    async def side() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            tidied.append("side")

    async def main() -> None:
        task = asyncio.create_task(side())
        await asyncio.sleep(0)
        interruption.post(Stop("cancelled"))
        interruption.deliver()
        await task

    interruption.begin()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    with pytest.raises(Stop, match="cancelled"):
        interruption.deliver()

    assert tidied == ["side"]


def test_a_coroutine_that_swallows_it_does_not_succeed(interruption: Interruption) -> None:
    async def main() -> str:
        interruption.post(Stop())
        interruption.deliver()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "as if nothing had happened"
        raise AssertionError

    interruption.begin()
    asyncio.run(main())

    with pytest.raises(Stop):
        interruption.deliver()


def test_what_comes_while_a_held_wait_is_ajar_is_raised_in_it(interruption: Interruption) -> None:
    interruption.begin()
    held = []

    def wait() -> None:
        with interruption.held():
            held.append(interruption.is_held)
            with interruption.ajar():
                held.append(interruption.is_held)
                interruption.post(Stop())
                interruption.deliver()

    with pytest.raises(Stop):
        wait()

    assert [*held, interruption.is_held] == [True, False, False]


def test_what_waits_is_raised_when_a_held_wait_is_left_ajar(interruption: Interruption) -> None:
    interruption.begin()
    reached = []

    def wait() -> None:
        with interruption.held():
            interruption.post(Stop())
            reached.append("held")
            with interruption.ajar():
                reached.append("ajar")

    with pytest.raises(Stop):
        wait()

    assert reached == ["held"]


def test_a_held_wait_cannot_be_left_where_the_attempt_could_not(
    interruption: Interruption,
) -> None:
    with interruption.held(), interruption.ajar():
        interruption.post(Stop())
        interruption.deliver()

    assert interruption.is_wanted


def test_other_threads_are_never_held(interruption: Interruption) -> None:
    seen: list[bool] = []

    def look() -> None:
        with interruption.held(), interruption.ajar():
            seen.append(interruption.is_held)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()

    assert seen == [False]
