"""This module tests transactions: steps that are committed or undone together."""

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ostinato import flow, get_transaction, task, transaction
from ostinato.errors import InvalidArgument, UsageError
from ostinato.store.sqlite import open_store

#: Where the tasks say what they do, as they may do it in other processes.
LEDGER = "LEDGER"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for what the flows record."""
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))
    monkeypatch.setenv(LEDGER, str(tmp_path / "ledger.txt"))
    return tmp_path


def note(text: str) -> None:
    with Path(os.environ[LEDGER]).open("a") as ledger:
        ledger.write(text + "\n")


def notes() -> list[str]:
    file = Path(os.environ[LEDGER])
    return file.read_text().split("\n")[:-1] if file.exists() else []


def rows(home: Path) -> list[tuple[str, str, str]]:
    """Return (place, task, state) of the recorded steps of the newest run."""
    store = open_store(home / "store.db")
    try:
        run = store.find_run("last")
        assert run is not None
        names = {5: "succeeded", 6: "failed"}
        found = [row for row, _ in store.steps(run.id)[0]]
        return sorted((row.path, row.task_id, names.get(row.state, "other")) for row in found)
    finally:
        store.close()


@task
def write(name: str) -> str:
    note(f"write {name}")
    return name


@write.on_rollback
def remove(work: Any) -> None:
    note(f"remove {work.get('name')}")


@write.on_commit
def publish(work: Any) -> None:
    note(f"publish {work.get('name')}")


@task
def check(good: bool) -> None:
    note("check")
    if not good:
        raise ValueError("bad")


@flow
def etl(good: bool = True) -> None:
    with transaction() as work:
        work.set("name", "a")
        write("a")
        check(good)
    note("after")


def test_commit_hooks_are_called_at_the_end(home: Path) -> None:
    etl()

    assert notes() == ["write a", "check", "publish a", "after"]
    assert rows(home) == [
        ("0", "transaction", "succeeded"),
        ("0.0", "write", "succeeded"),
        ("0.1", "check", "succeeded"),
        ("0.2", "write.on_commit", "succeeded"),
    ]


def test_error_undoes_what_succeeded_and_is_raised(home: Path) -> None:
    with pytest.raises(ValueError, match="bad"):
        etl(good=False)

    assert notes() == ["write a", "check", "remove a"]
    assert rows(home)[0] == ("0", "transaction", "failed")
    assert rows(home)[-1] == ("0.2", "write.on_rollback", "succeeded")


def test_undone_in_the_reverse_order_of_the_calls_also_of_submitted_steps() -> None:
    @task
    def load(number: int) -> None:
        note(f"load {number}")

    @load.on_rollback
    def unload(work: Any) -> None:
        note("unload")

    @flow
    def many() -> None:
        with transaction() as work:
            work.set("name", "a")
            load.map([1, 2, 3])
            write("a")
            check.submit(good=False)

    with pytest.raises(ValueError, match="bad"):
        many()

    assert sorted(notes()[:5]) == ["check", "load 1", "load 2", "load 3", "write a"]
    assert notes()[5:] == ["remove a", "unload", "unload", "unload"]


def test_inner_transaction_is_committed_or_undone_with_the_outer_one() -> None:
    @flow
    def nested(good: bool) -> None:
        with transaction() as outer:
            outer.set("name", "outer")
            write("outer")
            with transaction() as inner:
                assert get_transaction() is inner
                inner.set("name", "inner")
                write("inner")
            note("between")
            check(good)

    nested(good=True)
    assert notes()[2:] == ["between", "check", "publish outer", "publish inner"]
    with pytest.raises(ValueError, match="bad"):
        nested(good=False)
    assert notes()[-2:] == ["remove inner", "remove outer"]


def test_inner_transaction_that_fails_is_undone_alone() -> None:
    @flow
    def nested() -> None:
        with transaction() as outer:
            outer.set("name", "outer")
            write("outer")
            try:
                with transaction() as inner:
                    inner.set("name", "inner")
                    write("inner")
                    check(good=False)
            except ValueError:
                note("caught")

    nested()

    assert notes()[2:] == ["check", "remove inner", "caught", "publish outer"]


def test_failing_commit_hook_undoes_and_failing_undo_does_not_stop_the_rest() -> None:
    @task
    def one() -> None:
        note("one")

    @one.on_commit
    def no_commit(work: Any) -> None:
        raise RuntimeError("no commit")

    @one.on_rollback
    def no_undo(work: Any) -> None:
        raise RuntimeError("no undo")

    @flow
    def wrong() -> None:
        with transaction() as work:
            work.set("name", "a")
            write("a")
            one()

    with pytest.raises(RuntimeError, match="no commit"):
        wrong()

    assert notes() == ["write a", "one", "publish a", "remove a"]


def test_what_was_undone_is_executed_again_when_the_flow_is_retried() -> None:
    tries: list[int] = []

    @task
    def flaky() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("again")

    @flow(retries=1)
    def retried() -> None:
        note("begin")
        write.function("plain")
        write("before")
        with transaction() as work:
            work.set("name", "a")
            write("a")
            flaky()

    retried()

    assert notes() == [
        *["begin", "write plain", "write before", "write a", "remove a"],
        *["begin", "write plain", "write a", "publish a"],
    ]


@pytest.mark.parametrize("good", [True, False])
def test_replay_calls_no_hook_twice(good: bool, home: Path) -> None:
    @task
    def two() -> None:
        note("two")

    @two.on_commit
    @two.on_rollback
    def dies_once(work: Any) -> None:
        if not (home / "died").exists():
            (home / "died").touch()
            os._exit(9)
        note("two's hook")

    @task
    def three() -> None:
        note("three")

    @three.on_rollback
    def undo_three(work: Any) -> None:
        note("undo three")

    @flow
    def killed() -> None:
        with transaction() as work:
            work.set("name", "a")
            write("a")
            two()
            three()
            check(good)

    run = killed.run(executor="process")

    assert run.state == ("succeeded" if good else "failed")
    executed = ["write a", "two", "three", "check"]
    hooks = ["publish a", "two's hook"] if good else ["undo three", "two's hook", "remove a"]
    assert notes() == executed + hooks


def test_asynchronous_flows_have_transactions() -> None:
    @task
    async def wait_a_little(number: int) -> int:
        await asyncio.sleep(0)
        return number

    @wait_a_little.on_rollback
    def undo(work: Any) -> None:
        note(f"undo {work.get('name')}")

    @flow
    async def concurrent() -> None:
        with transaction() as work:
            work.set("name", "all")
            await asyncio.gather(wait_a_little(1), wait_a_little(2))
            raise ValueError("late")

    with pytest.raises(ValueError, match="late"):
        asyncio.run(concurrent())

    assert notes() == ["undo all", "undo all"]


def test_hooks_belong_to_variants_of_a_task_too() -> None:
    @flow
    def variant() -> None:
        with transaction() as work:
            work.set("name", "b")
            write.with_options(name="other")("b")

    variant()

    assert notes() == ["write b", "publish b"]


def test_what_is_wrong_is_said_with_its_line() -> None:
    @task
    def sets() -> None:
        work = get_transaction()
        assert work is not None
        work.set("name", 1)

    @flow
    def wrong() -> None:
        with transaction():
            sets()

    with pytest.raises(UsageError, match=r"test_transactions.py:\d+.*a step sets 'name'"):
        wrong()
    with pytest.raises(UsageError, match="in a flow that is a function only"), transaction():
        pass
    assert get_transaction() is None


@task
def writes(name: str) -> str:
    return str(write(name))


@task
def writes_together(name: str) -> str:
    with transaction() as work:
        work.set("name", name)
        return str(write(name))


def test_step_joins_no_transaction_that_was_begun_outside_of_its_own_step() -> None:
    @flow
    def nested() -> None:
        with transaction() as work:
            work.set("name", "a")
            writes("a")

    with pytest.raises(UsageError, match="'write' has hooks of transactions") as caught:
        nested()

    assert "begin one in the step" in caught.value.hint


def test_transaction_of_a_step_is_committed_in_that_step() -> None:
    @flow
    def nested() -> None:
        with transaction() as work:
            work.set("name", "outer")
            writes_together("inner")
            write("outer")
            check(False)

    with pytest.raises(ValueError, match="bad"):
        nested()

    assert notes() == ["write inner", "publish inner", "write outer", "check", "remove outer"]


def test_transaction_of_a_subflow_is_committed_in_that_subflow() -> None:
    @flow
    def inner() -> None:
        with transaction() as work:
            work.set("name", "inner")
            write("inner")

    @flow
    def outer() -> None:
        with transaction() as work:
            work.set("name", "outer")
            inner()
            write("outer")

    outer()

    assert notes() == ["write inner", "publish inner", "write outer", "publish outer"]


def test_key_remembers_that_a_transaction_was_committed(home: Path) -> None:
    @flow
    def etl(fails: bool = False) -> bool:
        with transaction("day-1") as work:
            work.set("name", "a")
            if not work.is_committed():
                write("a")
            if fails:
                message = "undo"
                raise ValueError(message)
            return work.is_committed()

    with pytest.raises(ValueError, match="undo"):
        etl(fails=True)
    assert not etl()
    assert etl()
    assert etl()
    assert notes().count("write a") == 2


@flow(retries=1)
def keyed() -> list[bool]:
    seen = []
    with transaction("once") as work:
        work.set("name", "b")
        seen.append(work.is_committed())
        write("b")
    if not Path("failed").exists():
        Path("failed").touch()
        message = "after the commit"
        raise RuntimeError(message)
    return seen


def test_replay_sees_of_a_key_what_it_saw_before(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)

    assert keyed() == [False]

    assert notes().count("write b") == 1
    assert ("0.0", "transaction.begin", "succeeded") in rows(home)


def test_serializable_transactions_of_a_key_wait_for_each_other(home: Path) -> None:
    begun, seen = threading.Event(), []

    @flow
    def first() -> None:
        with transaction("shared", isolation_level="SERIALIZABLE"):
            begun.set()
            time.sleep(0.3)
            seen.append("first")

    @flow
    def second() -> bool:
        begun.wait(30)
        with transaction("shared", isolation_level="serializable") as work:
            seen.append("second")
            return work.is_committed()

    other = threading.Thread(target=first)
    other.start()
    was_committed = second()
    other.join()

    assert (seen, was_committed) == (["first", "second"], True)


def test_eager_transaction_is_not_undone_with_the_one_around_it(home: Path) -> None:
    @flow
    def etl() -> None:
        with transaction() as outer:
            outer.set("name", "outer")
            write("outer")
            with transaction(commit_mode="eager") as inner:
                inner.set("name", "inner")
                write("inner")
            message = "no"
            raise ValueError(message)

    with pytest.raises(ValueError, match="no"):
        etl()

    assert notes()[-1] == "remove outer"
    assert "remove inner" not in notes()


def test_transaction_of_the_mode_off_is_undone_unless_it_is_told_to_commit(home: Path) -> None:
    @flow
    def etl(is_good: bool) -> None:
        with transaction(commit_mode="off") as work:
            work.set("name", "a")
            write("a")
            if is_good:
                work.commit()

    etl(is_good=False)
    assert "remove a" in notes()
    etl(is_good=True)
    assert notes().count("remove a") == 1


def test_hooks_may_be_coroutine_functions(home: Path) -> None:
    @task
    async def send(name: str) -> None:
        note(f"send {name}")

    @send.on_rollback
    async def recall(work: Any) -> None:
        await asyncio.sleep(0)
        note(f"recall {work.get('name')}")

    @flow
    async def etl() -> None:
        async with transaction() as work:
            work.set("name", "a")
            await send("a")
            message = "no"
            raise ValueError(message)

    with pytest.raises(ValueError, match="no"):
        asyncio.run(etl())

    assert notes() == ["send a", "recall a"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"commit_mode": "now"}, "commit_mode: 'now' is none of lazy, eager, off"),
        ({"isolation_level": "serializable"}, "only transactions with a key"),
    ],
)
def test_wrong_option_of_a_transaction_is_refused(options: dict[str, str], problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        transaction(**options)
