"""This module tests flows that are functions, called from Python: recorded, in this process."""

import asyncio
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ostinato import DAG, Fail, Retry, Skip, as_completed, flow, task, unmapped
from ostinato.errors import InvalidArgument, ParameterError, UsageError
from ostinato.store.sqlite import open_store


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for what the flows record."""
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))
    return tmp_path


def steps(home: Path) -> list[tuple[str, str, str]]:
    """Return (task, place, state) of the recorded steps of the newest run, in order of place."""
    store = open_store(home / "store.db")
    try:
        run = store.find_run("last")
        assert run is not None
        rows = [row for row, _ in store.steps(run.id)[0]]
        found = [
            (row.task_id, row.path, "succeeded" if row.state == 5 else "other") for row in rows
        ]
        return sorted(found, key=lambda one: [int(part) for part in one[1].split(".")])
    finally:
        store.close()


@task
def add(a: int, b: int = 1) -> int:
    return a + b


@task
def fail(kind: type[Exception] = ValueError) -> None:
    message = "wrong"
    raise kind(message)


def test_call_of_a_flow_runs_it_and_returns_its_result(home: Path) -> None:
    @flow
    def etl(start: int, *, more: int = 2) -> int:
        first = add(start)
        return int(add(first, more))

    assert etl(1) == 4
    assert etl(1, more=5) == 7
    assert steps(home) == [("add", "0", "succeeded"), ("add", "1", "succeeded")]


def test_loops_branches_and_recursion_are_plain_python(home: Path) -> None:
    @task
    def depth(n: int) -> int:
        return 0 if n == 0 else depth(n - 1) + 1

    @flow
    def wild(n: int) -> list[int]:
        found: list[int] = []
        while len(found) < n:
            if len(found) % 2:
                found.append(add(len(found)))
            else:
                found.append(depth(2))
        return found

    assert wild(3) == [2, 2, 2]
    assert [place for _, place, _ in steps(home)] == ["0", "0.0", "0.0.0", "1", "2", "2.0", "2.0.0"]


def test_errors_of_steps_are_those_of_the_task_and_can_be_caught(home: Path) -> None:
    @flow
    def careful() -> str:
        try:
            fail(KeyError)
        except KeyError as error:
            return f"caught {error}"
        return "nothing"

    @flow
    def careless() -> None:
        fail()

    assert careful() == "caught 'wrong'"
    with pytest.raises(ValueError, match="wrong"):
        careless()


def test_steps_are_tried_again_as_their_task_says() -> None:
    tries: list[int] = []

    @task(retries=3)
    def flaky(needed: int) -> int:
        tries.append(1)
        if len(tries) < needed:
            message = "again"
            raise OSError(message)
        return len(tries)

    @task(retries=3, retry_if=LookupError)
    def picky() -> None:
        tries.append(1)
        message = "disk"
        raise OSError(message)

    @task(retries=3)
    def hopeless(error: Exception) -> None:
        tries.append(1)
        raise error

    @flow
    def etl() -> int:
        return int(flaky(3))

    @flow
    def bad() -> None:
        with pytest.raises(OSError, match="disk"):
            picky()
        for error in (Fail("no"), Skip("none")):
            with pytest.raises(type(error)):
                hopeless(error)
        with pytest.raises(Retry):
            hopeless(Retry("later", after=0))

    assert etl() == 3
    tries.clear()
    bad()
    assert len(tries) == 1 + 1 + 1 + 4


def test_state_of_a_step_is_returned_where_it_is_asked_for() -> None:
    @flow
    def etl() -> tuple[bool, Any, bool]:
        good, bad = add(1, return_state=True), fail(return_state=True)
        assert isinstance(bad.result(raise_on_failure=False), ValueError)
        return good.is_completed(), add(good), bad.is_failed()

    assert etl() == (True, 3, True)


def test_submitted_steps_are_futures_that_may_be_arguments_anywhere() -> None:
    @task
    def total(parts: dict[str, list[int]], extra: tuple[int, ...]) -> int:
        return sum(parts["a"]) + sum(extra)

    @flow
    def etl() -> tuple[int, list[int]]:
        one, two = add.submit(1), add.submit(2)
        late = add.submit(one, wait_for=[two])
        done = sorted(future.result() for future in as_completed([one, two, late]))
        return total({"a": [one, two]}, (late, 1)), done

    assert etl() == (2 + 3 + 3 + 1, [2, 3, 3])


def test_map_is_a_step_for_each_item(home: Path) -> None:
    @flow
    def etl() -> list[int]:
        return add.map([1, 2, 3], unmapped(10)).result()

    @flow
    def named() -> list[int]:
        return add.map(a=[1, 2], b=add.submit(3)).result()

    @flow
    def wrong() -> None:
        add.map([1, 2], [1, 2, 3])

    assert etl() == [11, 12, 13]
    assert [place for _, place, _ in steps(home)] == ["0", "1", "2"]
    assert named() == [5, 6]
    with pytest.raises(InvalidArgument, match=r"add.map\(\) is given lists of different lengths"):
        wrong()


def test_async_flows_and_steps_have_numbers_that_do_not_depend_on_their_order(home: Path) -> None:
    @task
    async def slow(number: int) -> int:
        await asyncio.sleep(0.01 * (3 - number))
        return number

    async def pair(number: int) -> int:
        return int(await slow(number)) + int(add(number))

    @flow
    async def etl() -> list[int]:
        found = await asyncio.gather(*(pair(number) for number in range(3)))
        found.append(slow.submit(7).result())
        return [*found, await slow(8)]

    assert asyncio.run(etl()) == [1, 3, 5, 7, 8]
    assert steps(home) == [
        ("slow", "0.0", "succeeded"),
        ("add", "0.1", "succeeded"),
        ("slow", "1.0", "succeeded"),
        ("add", "1.1", "succeeded"),
        ("slow", "2.0", "succeeded"),
        ("add", "2.1", "succeeded"),
        ("slow", "3", "succeeded"),
        ("slow", "4", "succeeded"),
    ]


def test_task_outside_of_flows_is_a_plain_function() -> None:
    assert add(1) == 2
    with pytest.raises(UsageError, match=r"add.submit\(\) works in a flow that is a function only"):
        add.submit(1)


def test_call_in_a_foreign_thread_is_refused() -> None:
    @flow
    def etl() -> list[BaseException]:
        found: list[BaseException] = []

        def work() -> None:
            try:
                add(1)
            except UsageError as error:
                found.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return [error for error in found if "which flow 'etl' knows nothing of" in str(error)]

    assert len(etl()) == 1


def test_wrong_arguments_of_a_flow_are_told() -> None:
    @flow
    def etl(rows: int = 1) -> int:
        return rows

    with pytest.raises(InvalidArgument, match=r"etl\(\) .*'row'"):
        etl(row=2)  # type: ignore[call-arg]  # what is tested
    with pytest.raises(ParameterError, match=r"'rows'.*'many' is not an integer"):
        etl("many")  # type: ignore[arg-type]  # what is tested
    with pytest.raises(InvalidArgument, match="a flow's parameters have names"):

        @flow
        def anything(*args: int) -> None:
            pass


def test_flow_in_a_graph_is_refused() -> None:
    @flow
    def inner() -> None:
        pass

    with (
        pytest.raises(UsageError, match="flow 'inner' is called where the tasks of a graph"),
        DAG("outer"),
    ):
        inner()


def test_session_of_scripts_has_nothing_open_after_a_flow() -> None:
    @flow
    def etl() -> int:
        return threading.active_count()

    before = threading.active_count()
    etl()

    assert threading.active_count() == before


def test_ctrl_c_ends_a_script_and_leaves_its_run_to_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))
    begun: list[int] = []

    @task
    def wait() -> None:
        begun.append(1)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)

    @flow
    def etl() -> None:
        wait()

    with pytest.raises(KeyboardInterrupt):
        etl()

    assert begun == [1]
    assert "left etl#1 unfinished: ostinato resume 'etl#1'" in capsys.readouterr().err
    store = open_store(tmp_path / "store.db")
    run = store.find_run("last")
    store.close()
    assert run is not None
    assert (run.state.label, run.owner) == ("running", 0)
