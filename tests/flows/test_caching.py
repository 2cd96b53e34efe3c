"""This module tests steps whose results are kept for other runs."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ostinato import flow, task
from ostinato.cache_policies import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    RUN_ID,
    TASK_SOURCE,
)
from ostinato.cli.entry import root
from ostinato.errors import InvalidArgument
from ostinato.store.sqlite import open_store


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for what the flows record."""
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def reasons(home: Path) -> list[str]:
    """Return where the results of the newest run's steps came from, in order of place."""
    store = open_store(home / "store.db")
    try:
        run = store.find_run("last")
        assert run is not None
        rows = [row for row, _ in store.steps(run.id)[0]]
        return [row.reason for row in sorted(rows, key=lambda row: row.path)]
    finally:
        store.close()


calls: list[Any] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    calls.clear()


def note(number: int, more: Any = None) -> int:
    calls.append(number)
    return number * 2


def runs(cache: Any, *arguments: dict[str, Any], **options: Any) -> int:
    """Return how often a task is executed that two flows call with given arguments."""

    noted = task(note)

    @flow
    def one(number: int, more: Any = None, cached: Any = None) -> int:
        return int(noted.with_options(cache=cache, **options)(number, more))

    for each in arguments:
        assert one(**each) == each["number"] * 2
    return len(calls)


def test_equal_calls_are_executed_once_and_shown_so(home: Path) -> None:
    assert runs(INPUTS, {"number": 1}, {"number": 1}, {"number": 2}) == 2
    assert reasons(home) == [""]
    assert runs(INPUTS, {"number": 1}) == 2
    assert reasons(home) == ["cached from one#1 note[0]"]

    run = CliRunner().invoke
    assert "✔ note   succeeded: cached from one#1 note[0]" in run(root, ["show", "one"]).output
    shown = run(root, ["show", "one", "note"]).output
    assert "note[0] succeeded: cached from one#1 note[0]" in shown
    error = run(root, ["show", "one", "nota"]).exception
    assert "did you mean 'note'" in getattr(error, "hint", "")


@pytest.mark.parametrize(
    ("cache", "executed"),
    [
        (INPUTS, 2),
        (INPUTS - "more", 1),
        (INPUTS - ["number", "more"], 1),
        (INPUTS + TASK_SOURCE, 2),
        (TASK_SOURCE, 1),
        (RUN_ID, 2),
        (DEFAULT, 2),
        (FLOW_PARAMETERS, 2),
        (NO_CACHE, 2),
        (None, 2),
        (True, 2),
        (False, 2),
        ("inputs + code", 2),
        ("code", 1),
    ],
)
def test_policy_says_what_makes_up_the_key(cache: Any, executed: int) -> None:
    assert runs(cache, {"number": 1}, {"number": 1, "more": 2}) == executed


def test_arguments_that_are_no_data_are_compared_by_their_bytes() -> None:
    noted = task(cache=INPUTS)(note)

    @flow
    def etl() -> None:
        for part in (2, 2, 3):
            noted(1, complex(1, part))

    etl()
    etl()

    assert len(calls) == 2


def test_key_function_decides_and_none_keeps_nothing() -> None:
    def key(context: Any, arguments: dict[str, Any]) -> str | None:
        assert context.flow == "one"
        return None if arguments["more"] else "same"

    options = {"cache_key_fn": key}
    assert runs(None, {"number": 1}, {"number": 1}, **options) == 1
    assert runs(None, {"number": 1, "more": 1}, {"number": 1, "more": 1}, **options) == 3


def test_refreshed_step_is_executed_and_kept_anew(home: Path) -> None:
    assert runs(INPUTS, {"number": 1}) == 1
    assert runs(INPUTS, {"number": 1}, refresh_cache=True) == 2
    assert runs(INPUTS, {"number": 1}) == 2
    assert reasons(home) == ["cached from one#2 note[0]"]


def test_result_expires() -> None:
    assert runs(INPUTS, {"number": 1}, {"number": 1}, cache_expiration="1d") == 1
    assert runs(INPUTS, {"number": 2}, {"number": 2}, cache_expiration=0.000001) == 3


def test_what_failed_is_executed_again_and_results_of_none_are_kept() -> None:
    @task(cache=INPUTS)
    def once(name: str) -> None:
        calls.append(name)
        if len(calls) == 1:
            raise ValueError(name)

    @flow
    def etl() -> None:
        once("a")

    with pytest.raises(ValueError, match="a"):
        etl()
    etl()
    etl()

    assert calls == ["a", "a"]


def test_large_results_are_read_from_where_they_lie(home: Path) -> None:
    @task(cache=INPUTS)
    def large() -> str:
        calls.append(1)
        return "x" * 100_000

    @flow
    def etl() -> int:
        return len(large())

    assert [etl(), etl()] == [100_000, 100_000]
    assert len(calls) == 1
    for file in (home / "values").rglob("return_value*"):
        file.unlink()
    assert etl() == 100_000
    assert len(calls) == 2


def test_equal_steps_at_the_same_time_are_executed_once() -> None:
    @task(cache=INPUTS)
    def slow(number: int) -> int:
        calls.append(number)
        threading.Event().wait(0.05)
        return number

    @task(cache=INPUTS)
    async def slow_too(number: int) -> int:
        calls.append(number)
        await asyncio.sleep(0.05)
        return number

    @flow
    def etl() -> list[int]:
        return list(slow.map([7] * 5).result())

    @flow
    async def etl_too() -> list[int]:
        return list(await asyncio.gather(*[slow_too(8) for _ in range(5)]))

    threads = [threading.Thread(target=etl) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asyncio.run(etl_too()) == [8] * 5

    assert calls == [7, 8]


def test_step_that_calls_itself_does_not_wait_for_itself() -> None:
    @task(cache=TASK_SOURCE)
    def down(number: int) -> int:
        calls.append(number)
        return down(number - 1) if number else 0

    @flow
    def etl() -> int:
        return int(down(2))

    assert etl() == 0
    assert calls == [2, 1, 0]


def test_claim_of_a_dead_coordinator_is_taken_over(home: Path) -> None:
    store = open_store(home / "store.db")
    try:
        dead = store.register_coordinator()
        alive = store.register_coordinator()
        assert store.cache.claim("key", dead, 1)
        assert not store.cache.claim("key", alive, 2)
        store.abandon_coordinator(dead)
        assert store.cache.claim("key", alive, 2)
        assert not store.cache.claim("key", alive, 3)
        store.cache.release(alive, 2)
        assert store.cache.claim("key", alive, 3)
    finally:
        store.close()


def test_wrong_options_are_refused_with_the_line() -> None:
    with pytest.raises(InvalidArgument, match=r"test_caching.py:\d+.*'source' is none of inputs"):
        task(cache="inputs+source")(note)
    with pytest.raises(InvalidArgument, match="no cache policy"):
        task(cache=3)(note)  # type: ignore[call-overload]  # what is tested
    with pytest.raises(InvalidArgument, match="cache_key_fn is a function"):
        task(note).with_options(cache_key_fn="key")
