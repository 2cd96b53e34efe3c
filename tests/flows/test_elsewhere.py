"""This module tests steps that are attempts of their own, in flows that a script calls."""

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ostinato import Fail, Skip, flow, task
from ostinato.errors import (
    AttemptTimeout,
    StepFailed,
    UsageError,
    ValueNotSerialisable,
)
from ostinato.model.state import TaskRunState
from ostinato.store.protocol import RunFilter
from ostinato.store.sqlite import open_store

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for what the flows record."""
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))
    return tmp_path


def steps(home: Path) -> list[tuple[str, str, str]]:
    """Return (task, place, state) of the recorded steps of the newest run, in order of place."""
    store = open_store(home / "store.db")
    try:
        (run, *_), _ = store.runs(RunFilter())
        rows, _ = store.steps(run.id, limit=1_000)
        return [(row.task_id, row.path, TaskRunState(row.state).label) for row, _ in rows]
    finally:
        store.close()


@task(executor="process")
def process_id(number: int = 0) -> int:
    return os.getpid()


@task(executor="thread")
def thread_name() -> tuple[int, str]:
    return os.getpid(), threading.current_thread().name


@task(isolation="fork")
def forked() -> int:
    return os.getpid()


@task(executor="process")
async def doubled(number: int) -> int:
    await asyncio.sleep(0)
    return number * 2


@task
def plain(number: int) -> int:
    return number + 1


@task(executor="process")
def outer(number: int) -> tuple[int, int, int]:
    return os.getpid(), plain(number), process_id()


@task(executor="process", retries=2)
def third_time(file: Path) -> str:
    file.write_text(file.read_text() + "x" if file.exists() else "x")
    if len(file.read_text()) < 3:
        raise OSError("again")
    return file.read_text()


class Refused(Exception):
    """An error of the user's own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@task(executor="process")
def refuse(number: int) -> None:
    raise Refused(number)


@task(executor="process")
def skip() -> None:
    raise Skip("not today")


@task(executor="process", retries=3)
def fail_for_good(file: Path) -> None:
    file.write_text(file.read_text() + "x" if file.exists() else "x")
    raise Fail("no use")


@task(executor="process", retries=3, retry_if=lambda error: False)
def never_again(file: Path) -> None:
    file.write_text(file.read_text() + "x" if file.exists() else "x")
    raise OSError("no")


@task(executor="process", timeout=0.1)
def sleeps() -> None:
    time.sleep(60)


@task(executor="process", lost_attempts=1)
def ends_its_process() -> None:
    os._exit(3)


@task(executor="process")
def size_of(data: Any) -> int:
    return len(data)


@task(executor="process")
def make_lock() -> Any:
    return threading.Lock()


@task(executor="process", cache="inputs", max_active=1)
def counted(file: str) -> int:
    path = Path(file)
    path.write_text(path.read_text() + "x" if path.exists() else "x")
    return len(path.read_text())


@task(max_active=1)
def alone(file: Path) -> bool:
    was_free = not file.exists()
    file.touch()
    time.sleep(0.01)
    file.unlink()
    return was_free


@task(max_active=1)
def nested_alone(depth: int) -> int:
    return 1 + nested_alone(depth - 1) if depth else 0


@task(pool="nowhere")
def pooled() -> None:
    """Never executed."""


@task(executor="dask")
def on_a_cluster() -> None:
    """Never executed."""


def test_steps_execute_where_their_task_says(home: Path) -> None:
    @flow
    def etl() -> list[Any]:
        return [process_id(), process_id(), thread_name(), forked(), forked()]

    first, second, (here, thread), one, other = etl()

    assert first == second != os.getpid()
    assert here == os.getpid()
    assert thread != threading.main_thread().name
    assert len({first, one, other, os.getpid()}) == 4
    assert {state for _, _, state in steps(home)} == {"succeeded"}


def test_submitted_steps_share_the_processes() -> None:
    @flow
    def etl() -> list[int]:
        return process_id.map(list(range(20))).result()

    found = etl()

    assert len(found) == 20
    assert 0 < len(set(found)) <= (os.cpu_count() or 1)


def test_async_steps_execute_elsewhere() -> None:
    @flow
    async def etl() -> Any:
        return await doubled(1) + sum(await asyncio.gather(doubled(2), doubled(3)))

    @flow
    def plain_etl() -> int:
        return int(doubled.submit(4).result())

    assert asyncio.run(etl()) == 12
    assert plain_etl() == 8


def test_steps_of_a_step_elsewhere_are_recorded_beneath_it(home: Path) -> None:
    @flow
    def etl() -> Any:
        return outer(1)

    around, two, inside = etl()

    assert two == 2
    assert len({around, inside, os.getpid()}) == 3
    assert steps(home) == [
        ("outer", "0", "succeeded"),
        ("plain", "0.0", "succeeded"),
        ("process_id", "0.1", "succeeded"),
    ]


def test_retries_are_those_of_the_task(tmp_path: Path) -> None:
    @flow
    def etl() -> Any:
        return third_time(tmp_path / "tries.txt")

    assert etl() == "xxx"


def test_errors_come_back_as_they_were_raised(home: Path) -> None:
    @flow
    def etl() -> list[str]:
        found = []
        for call in (refuse, skip):
            try:
                call(3) if call is refuse else call()
            except (Refused, Skip) as error:
                found.append(repr(error))
        return found

    assert etl() == ["Refused(3)", "Skip('not today')"]
    assert [state for *_, state in steps(home)] == ["failed", "skipped"]


def test_what_no_retry_helps_is_not_tried_again(tmp_path: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"

    @flow
    def etl() -> None:
        with pytest.raises(Fail):
            fail_for_good(one)
        with pytest.raises(OSError, match="no"):
            never_again(two)

    etl()

    assert one.read_text() == two.read_text() == "x"


def test_step_elsewhere_ends_at_its_time_out() -> None:
    @flow
    def etl() -> str:
        with pytest.raises(AttemptTimeout) as caught:
            sleeps()
        return str(caught.value)

    assert etl() == "step 'sleeps[0]' ran longer than its timeout of 0.1 s"


def test_step_whose_process_ends_is_lost_and_tried_again(home: Path) -> None:
    @flow
    def etl() -> str:
        with pytest.raises(StepFailed) as caught:
            ends_its_process()
        return str(caught.value)

    message = etl()

    assert "step 'ends_its_process[0]' failed" in message
    assert "ended under it 2 times" in message
    assert "exited with code 3" in message


def test_large_arguments_and_results_pass_and_leave_no_file(home: Path) -> None:
    @flow
    def etl() -> Any:
        return size_of("x" * 1_000_000)

    assert etl() == 1_000_000
    assert [path for path in (home / "values").rglob("*") if path.is_file()] == []


def test_what_cannot_be_sent_names_argument_step_and_line() -> None:
    @flow
    def etl() -> None:
        size_of(data=threading.Lock())

    with pytest.raises(ValueNotSerialisable) as caught:
        etl()

    text = str(caught.value)
    assert "test_elsewhere.py:" in text
    assert "step size_of[0]: argument 'data', a lock, cannot be sent" in text


def test_result_that_cannot_be_stored_names_the_step() -> None:
    @flow
    def etl() -> None:
        make_lock()

    with pytest.raises(ValueNotSerialisable, match="make_lock"):
        etl()


def test_step_elsewhere_is_cached(tmp_path: Path) -> None:
    file = str(tmp_path / "count.txt")

    @flow
    def etl() -> Any:
        return counted(file)

    assert [etl(), etl()] == [1, 1]


def test_max_active_holds_for_steps_and_what_they_call_themselves(tmp_path: Path) -> None:
    @flow
    def etl() -> tuple[list[bool], int]:
        return alone.map([tmp_path / "busy"] * 4).result(), nested_alone(3)

    assert etl() == ([True] * 4, 3)


def test_what_there_is_not_is_said() -> None:
    @flow
    def etl() -> None:
        with pytest.raises(UsageError, match="the pool 'nowhere', which does not exist"):
            pooled()
        with pytest.raises(UsageError, match="asks for the executor 'dask'"):
            on_a_cluster()

    etl()


def test_task_that_another_process_cannot_find_is_refused() -> None:
    @task(executor="process")
    def local() -> None:
        """Never executed."""

    @flow
    def etl() -> None:
        local()

    with pytest.raises(UsageError) as caught:
        etl()

    text = str(caught.value)
    assert "test_elsewhere.py:" in text
    assert "step local[0] executes elsewhere" in text
    assert "at the top of a file" in text


def test_flow_that_executes_inline_executes_its_steps_so() -> None:
    @flow
    def etl() -> Any:
        return process_id()

    run = etl.run(executor="inline")

    assert run.result("@body") == os.getpid()
