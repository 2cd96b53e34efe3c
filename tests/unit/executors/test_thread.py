"""Attempts execute in threads of the coordinator's process."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ostinato.authoring.ports import Context
from ostinato.errors import ExecutionError
from ostinato.executors.protocol import CallHandler
from ostinato.executors.thread import MAX_THREADS, ThreadExecutor
from ostinato.runtime import messages as msg
from ostinato.runtime.context import TaskContext
from tests.unit.executors.driven import Driven, refuse
from tests.unit.runtime.attempts import flow_of


def executor_of(*functions: Callable[..., Any], answer: CallHandler = refuse) -> ThreadExecutor:
    return ThreadExecutor({"flow": flow_of(*functions)}, answer)


def test_attempts_execute_at_the_same_time(tmp_path: Path) -> None:
    all_there = threading.Barrier(4)

    def meet() -> int:
        return all_there.wait()

    with Driven(tmp_path, executor_of(meet)) as driven:
        driven.start(*["meet"] * 4)
        driven.until(lambda: len(driven.reports) == 4)

    assert all(isinstance(report, msg.Succeeded) for report in driven.reports.values())


def test_it_takes_as_many_as_it_has_threads(tmp_path: Path) -> None:
    release = threading.Event()

    def wait() -> None:
        release.wait()

    with Driven(tmp_path, executor_of(wait)) as driven:
        driven.start(*["wait"] * 5)
        assert driven.executor.credits() == MAX_THREADS - 5

        release.set()
        driven.until(lambda: len(driven.reports) == 5)
        assert driven.executor.credits() == MAX_THREADS


def test_what_waits_is_taken_back_and_what_has_begun_goes_on(tmp_path: Path) -> None:
    begun, release = threading.Semaphore(0), threading.Event()

    def wait() -> None:
        begun.release()
        release.wait()

    with Driven(tmp_path, executor_of(wait)) as driven:
        tokens = driven.start(*["wait"] * (MAX_THREADS + 1))
        for _ in range(MAX_THREADS):
            begun.acquire()

        driven.executor.cancel(tokens[0], "cancelled")
        driven.executor.cancel(tokens[-1], "cancelled")

        assert driven.report(tokens[-1]) == msg.Revoked(tokens[-1])
        release.set()
        assert isinstance(driven.report(tokens[0]), msg.Succeeded)


def test_the_coordinator_answers_in_its_own_thread(tmp_path: Path) -> None:
    threads: list[threading.Thread] = []

    def push(context: Context) -> None:
        context.push("rows", 5)

    def answer(token: int, method: str, args: dict[str, Any]) -> None:
        threads.append(threading.current_thread())

    with Driven(tmp_path, executor_of(push, answer=answer)) as driven:
        assert isinstance(driven.run("push"), msg.Succeeded)

    assert threads == [threading.current_thread()]


def test_a_refused_call_is_an_error_in_the_task(tmp_path: Path) -> None:
    def push(context: Context) -> None:
        context.push("rows", 5)

    def answer(token: int, method: str, args: dict[str, Any]) -> None:
        raise ExecutionError("refused")

    with Driven(tmp_path, executor_of(push, answer=answer)) as driven:
        report = driven.run("push")

    assert isinstance(report, msg.Failed)
    assert report.failure.message == "refused"


def test_closing_does_not_wait_for_a_task_that_asks(tmp_path: Path) -> None:
    begun, ended = threading.Event(), threading.Event()

    def push(context: Context) -> None:
        begun.set()
        try:
            context.push("rows", 5)
        finally:
            ended.set()

    driven = Driven(tmp_path, executor_of(push))
    driven.start("push")
    begun.wait()

    # Nobody takes turns any more, so nobody answers.
    driven.close()

    assert ended.is_set()


def test_a_task_that_raises_ctrl_c_is_reported(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with Driven(tmp_path, executor_of(interrupt)) as driven:
        assert isinstance(driven.run("interrupt"), msg.Failed)


def test_each_attempt_has_its_own_output(tmp_path: Path) -> None:
    together = threading.Barrier(2)

    def speak(context: TaskContext) -> None:
        for number in range(20):
            together.wait()
            context.logger.info("%s says %s", context.attempt, number)

    with Driven(tmp_path, executor_of(speak)) as driven:
        driven.start("speak", "speak")
        driven.until(lambda: len(driven.reports) == 2)
        logs = [[line["message"] for line in driven.log("speak", token)] for token in (1, 2)]

    assert logs == [[f"{attempt} says {n}" for n in range(20)] for attempt in (1, 2)]
