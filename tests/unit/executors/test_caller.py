"""This module tests recording a step in the thread that calls a flow."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ostinato.errors import ExecutionError, StoreError
from ostinato.executors.caller import CallerExecutor
from ostinato.executors.gate import Gate
from ostinato.executors.protocol import Later


class Loop:
    """What a coordinator is to its executor, with a gate that says who is in it."""

    def __init__(self, commit: Callable[[], None] = lambda: None) -> None:
        self.gate = Gate()
        self.calls: list[tuple[str, str]] = []
        self.commits: list[str] = []
        self.laters: list[Later] = []
        self._commit = commit
        self.executor = CallerExecutor({}, self.answer, gate=self.gate)

    def answer(self, token: int, method: str, args: dict[str, Any]) -> Any:
        self.calls.append((method, threading.current_thread().name))
        later = Later(lambda: self._settle(later))
        self.laters.append(later)
        return later

    def _settle(self, later: Later) -> None:
        self._commit()
        self.commits.append(threading.current_thread().name)
        later.settle("durable")

    def turn(self) -> None:
        """Do what a turn does, in another thread."""
        with self.gate:
            self.executor.poll()


@pytest.mark.parametrize(
    ("method", "args"),
    [("step", {}), ("in_subflow", {"token": 2, "method": "step", "args": {}})],
)
def test_main_thread_records_its_step_itself_while_the_loop_waits(
    method: str, args: dict[str, Any]
) -> None:
    loop = Loop()

    assert loop.executor.call(1, method, args) == "durable"

    assert loop.calls == [(method, "MainThread")]
    assert loop.commits == ["MainThread"]


def test_loop_records_a_step_that_comes_in_the_middle_of_a_turn() -> None:
    loop = Loop()
    is_in_turn = threading.Event()

    def turn() -> None:
        with loop.gate:
            is_in_turn.set()
            while not loop.laters:
                loop.executor.poll()
            loop.laters[0].hurry()

    thread = threading.Thread(target=turn, name="coordinator")
    thread.start()
    assert is_in_turn.wait(30)

    assert loop.executor.call(1, "step", {}) == "durable"

    thread.join()
    assert loop.calls == [("step", "coordinator")]
    assert loop.commits == ["coordinator"]


def test_store_that_fails_ends_the_loop_too() -> None:
    def fail() -> None:
        message = "no space is left"
        raise StoreError(message)

    loop = Loop(fail)

    with pytest.raises(ExecutionError, match="no space is left"):
        loop.executor.call(1, "step", {})

    with pytest.raises(StoreError, match="no space is left"):
        loop.turn()


def test_nothing_is_recorded_once_the_loop_is_no_more() -> None:
    loop = Loop()
    loop.executor.refuse("the store is gone")

    with pytest.raises(ExecutionError, match="the store is gone"):
        loop.executor.call(1, "step", {})

    assert loop.calls == []


def test_ctrl_c_waits_for_the_end_of_a_commit() -> None:
    loop = Loop(lambda: os.kill(os.getpid(), signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        loop.executor.call(1, "step", {})

    assert loop.commits == ["MainThread"]
    assert signal.getsignal(signal.SIGINT) is before
    assert loop.gate.enter_nowait()
