"""This module tests steps that are attempts of their own, in flows that a script calls."""

import asyncio
import calendar
import gc
import importlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ostinato import Fail, Skip, flow, task
from ostinato.coordinator.step_forks import are_processes_needed
from ostinato.errors import (
    AttemptTimeout,
    MemoryLimitExceeded,
    StepFailed,
    UsageError,
    ValueNotSerialisable,
)
from ostinato.model.state import TaskRunState
from ostinato.store.protocol import RunFilter
from ostinato.store.sqlite import open_store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def apart() -> Iterator[Any]:
    """Tasks whose steps are attempts of their own."""
    name = "tests.flows.tasks_elsewhere"
    # As an import at the top would, for the flows of this module.
    globals()["tasks"] = importlib.import_module(name)
    yield globals()["tasks"]
    del globals()["tasks"], sys.modules[name]
    vars(sys.modules["tests.flows"]).pop("tasks_elsewhere", None)
    gc.collect()


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


def test_steps_execute_where_their_task_says(apart: Any, home: Path) -> None:
    @flow
    def etl() -> list[Any]:
        return [
            apart.process_id(),
            apart.process_id(),
            apart.thread_name(),
            apart.forked(),
            apart.forked(),
        ]

    first, second, (here, thread), one, other = etl()

    assert first == second != os.getpid()
    assert here == os.getpid()
    assert thread != threading.main_thread().name
    assert len({first, one, other, os.getpid()}) == 4
    assert {state for _, _, state in steps(home)} == {"succeeded"}


def test_submitted_steps_share_the_processes(apart: Any) -> None:
    @flow
    def etl() -> list[int]:
        return list(apart.process_id.map(list(range(20))).result())

    found = etl()

    assert len(found) == 20
    assert 0 < len(set(found)) <= (os.cpu_count() or 1)


def test_async_steps_execute_elsewhere(apart: Any) -> None:
    @flow
    async def etl() -> Any:
        return await apart.doubled(1) + sum(
            await asyncio.gather(apart.doubled(2), apart.doubled(3))
        )

    @flow
    def plain_etl() -> int:
        return int(apart.doubled.submit(4).result())

    assert asyncio.run(etl()) == 12
    assert plain_etl() == 8


def test_steps_of_a_step_elsewhere_are_recorded_beneath_it(apart: Any, home: Path) -> None:
    @flow
    def etl() -> Any:
        return apart.outer(1)

    around, two, inside = etl()

    assert two == 2
    assert len({around, inside, os.getpid()}) == 3
    assert steps(home) == [
        ("outer", "0", "succeeded"),
        ("plain", "0.0", "succeeded"),
        ("process_id", "0.1", "succeeded"),
    ]


def test_retries_are_those_of_the_task(apart: Any, tmp_path: Path) -> None:
    @flow
    def etl() -> Any:
        return apart.third_time(tmp_path / "tries.txt")

    assert etl() == "xxx"


def test_errors_come_back_as_they_were_raised(apart: Any, home: Path) -> None:
    @flow
    def etl() -> list[str]:
        found = []
        for call in (apart.refuse, apart.skip):
            try:
                call(3) if call is apart.refuse else call()
            except (apart.Refused, Skip) as error:
                found.append(repr(error))
        return found

    assert etl() == ["Refused(3)", "Skip('not today')"]
    assert [state for *_, state in steps(home)] == ["failed", "skipped"]


def test_what_no_retry_helps_is_not_tried_again(apart: Any, tmp_path: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"

    @flow
    def etl() -> None:
        with pytest.raises(Fail):
            apart.fail_for_good(one)
        with pytest.raises(OSError, match="no"):
            apart.never_again(two)

    etl()

    assert one.read_text() == two.read_text() == "x"


def test_step_elsewhere_ends_at_its_time_out(apart: Any) -> None:
    @flow
    def etl() -> str:
        with pytest.raises(AttemptTimeout) as caught:
            apart.sleeps()
        return str(caught.value)

    assert etl() == "step 'sleeps[0]' ran longer than its timeout of 0.1 s"


def test_step_whose_process_ends_is_lost_and_tried_again(apart: Any, home: Path) -> None:
    @flow
    def etl() -> str:
        with pytest.raises(StepFailed) as caught:
            apart.ends_its_process()
        return str(caught.value)

    message = etl()

    assert "step 'ends_its_process[0]' failed" in message
    assert "ended under it 2 times" in message
    assert "exited with code 3" in message


def test_large_arguments_and_results_pass_and_leave_no_file(apart: Any, home: Path) -> None:
    @flow
    def etl() -> Any:
        return apart.size_of("x" * 1_000_000)

    assert etl() == 1_000_000
    assert [path for path in (home / "values").rglob("*") if path.is_file()] == []


def test_what_cannot_be_sent_names_argument_step_and_line(apart: Any) -> None:
    @flow
    def etl() -> None:
        apart.size_of(data=threading.Lock())

    with pytest.raises(ValueNotSerialisable) as caught:
        etl()

    text = str(caught.value)
    assert "test_elsewhere.py:" in text
    assert "step size_of[0]: argument 'data', a lock, cannot be sent" in text


def test_result_that_cannot_be_stored_names_the_step(apart: Any) -> None:
    @flow
    def etl() -> None:
        apart.make_lock()

    told = r"test_elsewhere.py:\d+: step make_lock\[0\]: the result of task 'make_lock'"
    with pytest.raises(ValueNotSerialisable, match=told):
        etl()


def test_step_elsewhere_is_cached(apart: Any, tmp_path: Path) -> None:
    file = str(tmp_path / "count.txt")

    @flow
    def etl() -> Any:
        return apart.counted(file)

    assert [etl(), etl()] == [1, 1]


def test_max_active_holds_for_steps_and_what_they_call_themselves(
    apart: Any, tmp_path: Path
) -> None:
    @flow
    def etl() -> tuple[list[bool], int]:
        return apart.alone.map([tmp_path / "busy"] * 4).result(), apart.nested_alone(3)

    assert etl() == ([True] * 4, 3)


def test_what_there_is_not_is_said(apart: Any) -> None:
    @flow
    def etl() -> None:
        with pytest.raises(UsageError, match="the pool 'nowhere', which does not exist"):
            apart.pooled()
        with pytest.raises(UsageError, match="asks for the executor 'dask'"):
            apart.on_a_cluster()

    etl()


def test_task_that_another_process_cannot_find_is_refused(apart: Any) -> None:
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


def test_flow_that_executes_inline_executes_its_steps_so(apart: Any) -> None:
    @flow
    def etl() -> Any:
        return apart.process_id()

    run = etl.run(executor="inline")

    assert run.result("@body") == os.getpid()


@pytest.mark.parametrize("is_submitted", [False, True])
def test_time_out_around_a_step_elsewhere_cancels_it(
    apart: Any, home: Path, *, is_submitted: bool
) -> None:
    @task(timeout=0.1)
    def impatient() -> None:
        apart.waits_for_ever()

    @flow
    def etl() -> None:
        with pytest.raises(AttemptTimeout, match="impatient"):
            impatient.submit().result() if is_submitted else impatient()

    etl()

    assert steps(home) == [
        ("impatient", "0", "failed"),
        ("waits_for_ever", "0.0", "cancelled"),
    ]


def test_memory_limit_of_a_step_elsewhere_is_named(apart: Any) -> None:
    @flow
    def etl() -> str:
        with pytest.raises(MemoryLimitExceeded) as caught:
            apart.greedy()
        return str(caught.value)

    assert etl() == "step 'greedy[0]' needed more than its limit of 50 MB"


def test_steps_of_a_subflow_execute_elsewhere(apart: Any) -> None:
    @flow
    def etl() -> int:
        return int(apart.inner(4))

    assert etl() == 8


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_flow_in_any_executor_has_steps_elsewhere(apart: Any, executor: str) -> None:
    run = apart.two_processes.run(executor=executor)

    body, step = run.result("@body")
    assert len({body, step, os.getpid()}) == (3 if executor == "process" else 2)


def test_script_forks_only_for_flows_that_may_need_it(apart: Any) -> None:
    @flow
    def etl() -> None:
        """Is in this module, which has such tasks."""

    assert are_processes_needed(etl.dag)
    assert are_processes_needed(apart.inner.dag)
    assert not are_processes_needed(flow(calendar.isleap).dag)
