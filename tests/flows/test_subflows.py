"""This module tests flows that call flows: each has a run of its own."""

import asyncio
from pathlib import Path

import pytest

from ostinato import flow, task
from ostinato.store.protocol import RunFilter
from ostinato.store.records import RunRow
from ostinato.store.sqlite import open_store


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for what the flows record."""
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))
    return tmp_path


def runs(home: Path) -> list[RunRow]:
    store = open_store(home / "store.db")
    try:
        return list(reversed(store.runs(RunFilter())[0]))
    finally:
        store.close()


@task
def double(number: int) -> int:
    return number * 2


@flow
def inner(number: int, fails: bool = False) -> int:
    if fails:
        message = "wrong"
        raise ValueError(message)
    return int(double(number)) + 1


def test_subflow_has_a_run_of_its_own_linked_to_its_caller(home: Path) -> None:
    @flow
    def outer(count: int) -> int:
        return sum(inner(number) for number in range(count))

    assert outer(3) == 1 + 3 + 5

    found = runs(home)
    assert [(run.flow, run.state.label) for run in found] == [
        ("outer", "succeeded"),
        *[("inner", "succeeded")] * 3,
    ]
    assert [run.trigger for run in found] == ["script", "flow", "flow", "flow"]
    assert found[2].tags == ("from:outer#1/1",)


def test_error_of_a_subflow_is_that_of_its_function(home: Path) -> None:
    @flow
    def outer() -> str:
        try:
            inner(1, fails=True)
        except ValueError as error:
            return f"caught {error}"
        return ""

    assert outer() == "caught wrong"
    assert [run.state.label for run in runs(home)] == ["succeeded", "failed"]


def test_subflow_is_tried_again_as_it_says() -> None:
    tries: list[int] = []

    @flow(retries=2)
    def flaky() -> int:
        tries.append(1)
        if len(tries) < 3:
            message = "again"
            raise OSError(message)
        return len(tries)

    @flow
    def outer() -> int:
        return int(flaky())

    assert outer() == 3


def test_subflows_nest_and_may_be_async(home: Path) -> None:
    @task
    async def slow(number: int) -> int:
        await asyncio.sleep(0.01)
        return number

    @flow
    async def leaf(number: int) -> int:
        return int(await slow(number))

    @flow
    async def middle(number: int) -> int:
        one, two = await asyncio.gather(leaf(number), leaf(number + 1))
        return int(one) + int(two)

    @flow
    def top() -> int:
        return int(asyncio.run(middle(1))) + int(inner(1))

    assert top() == 3 + 3
    assert sorted(run.flow for run in runs(home)) == ["inner", "leaf", "leaf", "middle", "top"]
