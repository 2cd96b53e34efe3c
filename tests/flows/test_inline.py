"""This module tests flows that are functions and execute in the thread of their coordinator."""

from pathlib import Path

import pytest

from ostinato import flow, task
from ostinato.store.sqlite import open_store


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for what the flows record."""
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))
    return tmp_path


@task
def same(number: int) -> int:
    return number


@flow
def inner(number: int) -> int:
    return int(same(number))


@flow
def many(count: int) -> int:
    futures = [same.submit(number) for number in range(count)]
    return sum(int(future.result()) for future in futures)


@flow
def outer() -> int:
    return int(inner(1)) + int(inner(2))


def test_submitted_steps_are_all_recorded(home: Path) -> None:
    run = many.run(executor="inline", count=300)

    assert run.result("@body") == sum(range(300))
    store = open_store(home / "store.db")
    try:
        found = store.find_run("last")
        assert found is not None
        assert len(store.steps(found.id)[0]) == 300
    finally:
        store.close()


def test_subflow_has_a_run_of_its_own_beside_the_one_that_executes() -> None:
    run = outer.run(executor="inline")

    assert (run.state, run.result("@body")) == ("succeeded", 3)
