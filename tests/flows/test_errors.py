"""This module tests what flows that are functions say of mistakes: the line, and the step."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ostinato import flow, task
from ostinato.errors import InvalidArgument, RunFailed, UsageError, ValueNotSerialisable


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_step_that_is_never_awaited() -> None:
    @task
    async def load() -> int:
        return 1

    @flow
    def forgetful() -> None:
        load()

    with pytest.raises(RunFailed, match=r"test_errors.py:\d+: step load\[0\] is never awaited"):
        forgetful()


def test_result_that_cannot_be_stored() -> None:
    @task
    def opened() -> Any:
        return (number for number in range(3))

    @flow
    def careless() -> None:
        opened()

    with pytest.raises(ValueNotSerialisable, match=r"test_errors.py:\d+: step opened\[0\]: the re"):
        careless()


def test_result_of_a_flow_that_cannot_be_stored() -> None:
    @flow
    def careless() -> Any:
        return threading.Lock()

    told = r"test_errors.py:\d+: the result of flow 'careless' cannot be stored: _thread.lock"
    with pytest.raises(RunFailed, match=told):
        careless()


def test_submitted_step_that_failed_and_that_nobody_waited_for() -> None:
    @task
    def broken() -> None:
        raise OSError("no disk")

    @flow
    def hopeful() -> int:
        broken.submit()
        return 1

    told = r"test_errors.py:\d+: step broken\[0\] failed, and nobody waited for it: OSError"
    with pytest.raises(RunFailed, match=told):
        hopeful()


def test_submitted_step_that_failed_is_nothing_to_who_waited_for_it() -> None:
    @task
    def broken() -> None:
        raise OSError("no disk")

    @flow
    def careful() -> str:
        return str(broken.submit().wait().name)

    assert careful() == "failed"


def test_error_of_a_flow_is_told_before_those_of_its_steps() -> None:
    @task
    def broken() -> None:
        raise OSError("no disk")

    @flow
    def hopeful() -> None:
        broken.submit()
        raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        hopeful()


def test_futures_that_flows_and_steps_return_are_their_results() -> None:
    @task
    def double(number: int) -> int:
        return number * 2

    @task
    def doubled(numbers: list[int]) -> Any:
        return double.map(numbers)

    @flow
    def etl() -> Any:
        return {"one": double.submit(1), "many": double.map([2, 3]), "steps": doubled([4])}

    assert etl() == {"one": 2, "many": [4, 6], "steps": [8]}


def test_step_that_a_thread_calls_which_the_flow_knows_nothing_of() -> None:
    @task
    def load() -> None:
        """Never executed."""

    found: list[Exception] = []

    def call() -> None:
        try:
            load()
        except UsageError as error:
            found.append(error)

    @flow
    def etl() -> None:
        thread = threading.Thread(target=call, name="mine")
        thread.start()
        thread.join()

    etl()

    assert "test_errors.py" in str(found[0])
    assert "task 'load' is called in thread 'mine', which flow 'etl' knows" in str(found[0])


def test_step_that_is_all_that_a_thread_does_stands_in_no_line_of_python_itself() -> None:
    @task
    def load() -> None:
        """Never executed."""

    with ThreadPoolExecutor(1) as pool:

        @flow
        def etl() -> None:
            pool.submit(load).result()

        with pytest.raises(UsageError, match=r"^task 'load' is called in thread"):
            etl()


@pytest.mark.parametrize(
    "policy",
    [{"trigger_rule": "all_done"}, {"when": "{{ True }}"}, {"deadline": 5}, {"on_failure": print}],
    ids=["rule", "condition", "deadline", "callback"],
)
def test_step_whose_policy_has_a_meaning_in_graphs_alone(policy: dict[str, Any]) -> None:
    @task(**policy)
    def load() -> None:
        """Never executed."""

    @flow
    def etl() -> None:
        load()

    with pytest.raises(InvalidArgument, match=f"has {next(iter(policy))}=, which steps of flows"):
        etl()
