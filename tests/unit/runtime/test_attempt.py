"""An attempt in the user's own process: how it ends, and that it says so."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from ostinato import DAG, task
from ostinato.authoring.signals import Skip
from ostinato.model.failure import FailureKind
from ostinato.runtime import messages as msg
from tests.unit.runtime.attempts import Attempts, flow_of


def test_ctrl_c_in_the_users_own_process_is_the_users(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    attempts = Attempts(tmp_path, flow_of(interrupt))

    with pytest.raises(KeyboardInterrupt):
        attempts.run("interrupt")


def test_a_time_limit_is_taken_back_whatever_happens(tmp_path: Path) -> None:
    def over() -> None:
        signal.raise_signal(signal.SIGALRM)

    def fail() -> None:
        raise ValueError("no")

    before = signal.getsignal(signal.SIGALRM)
    attempts = Attempts(tmp_path, flow_of(over, fail))

    report = attempts.run("over", timeout_s=60.0)
    attempts.run("fail", timeout_s=60.0)

    assert isinstance(report, msg.Failed)
    assert report.failure.kind is FailureKind.TIMEOUT
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_time_limit_does_not_reach_a_thread(tmp_path: Path) -> None:
    def work() -> str:
        return "done"

    attempts = Attempts(tmp_path, flow_of(work))
    reports: list[msg.Ended] = []

    thread = threading.Thread(target=lambda: reports.append(attempts.run("work", timeout_s=1e-6)))
    thread.start()
    thread.join()

    assert isinstance(reports[0], msg.Succeeded)


def test_a_retry_condition_that_raises_hides_no_error(tmp_path: Path) -> None:
    def condition(error: BaseException) -> bool:
        raise RuntimeError("in retry_if")

    with DAG("flow") as flow:

        @task(retry_if=condition)
        def fail() -> None:
            raise ValueError("no rows")

        fail()

    report = Attempts(tmp_path, flow).run("fail")

    assert isinstance(report, msg.Failed)
    assert report.failure.message == "no rows"
    assert report.may_retry


def test_an_error_that_refuses_attributes_is_reported(tmp_path: Path) -> None:
    class Sly(Exception):
        def __setattr__(self, name: str, value: Any) -> None:
            raise AttributeError(name)

    with DAG("flow") as flow:

        @task(retry_if=(ValueError,))
        def fail() -> None:
            raise Sly("no")

        fail()

    report = Attempts(tmp_path, flow).run("fail")

    assert isinstance(report, msg.Failed)
    assert not report.may_retry


def test_a_reason_that_is_no_text_is_shown_as_text(tmp_path: Path) -> None:
    def skip() -> None:
        raise Skip(ValueError("no rows"))  # type: ignore[arg-type]  # as users do

    report = Attempts(tmp_path, flow_of(skip)).run("skip")

    assert isinstance(report, msg.Skipped)
    assert report.reason == "no rows"


def test_a_process_that_a_task_forks_does_not_come_back(tmp_path: Path) -> None:
    def fork() -> int:
        return os.fork()

    report = Attempts(tmp_path, flow_of(fork)).run("fork")

    assert isinstance(report, msg.Succeeded)
    child = int(report.values[0].data or 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_arguments_whose_keys_have_no_text_are_shown(tmp_path: Path) -> None:
    class Key:
        def __str__(self) -> str:
            raise RuntimeError

    def take(value: Any) -> int:
        return len(value)

    with DAG("flow") as flow:
        task(take)({Key(): 1})

    assert isinstance(Attempts(tmp_path, flow).run("take"), msg.Succeeded)
