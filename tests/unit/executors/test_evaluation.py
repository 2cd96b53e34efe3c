"""Functions with users' code are called in processes of their own, and killed in time."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostinato.executors.code_host import CodeHost
from ostinato.executors.evaluation import Evaluation, NotEvaluated, evaluate
from ostinato.executors.host_messages import Evaluated, EvaluationRaised
from ostinato.project.loading import Loaded
from tests.unit.executors.driven import await_end, loaded, write
from tests.unit.runtime.attempts import flow_of


def nothing() -> None:
    return


def echo(loaded: Loaded, payload: bytes) -> bytes:
    print("seen", flush=True)
    return b",".join([payload, *(name.encode() for name in loaded.flows)])


def fail(loaded: Loaded, payload: bytes) -> bytes:
    raise ValueError("no such luck")


def hang(loaded: Loaded, payload: bytes) -> bytes:
    write(Path(payload.decode()), str(os.getpid()))
    time.sleep(600)
    return b""


def vanish(loaded: Loaded, payload: bytes) -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


@pytest.fixture
def host() -> Iterator[CodeHost]:
    host = CodeHost.fork(lambda: loaded(flow_of(nothing)))
    host.loaded()
    yield host
    host.close()


def named(function: object) -> str:
    return f"{__name__}:{function.__name__}"  # type: ignore[attr-defined]  # of a function


def test_it_gives_what_the_function_returns(host: CodeHost, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "tick.log"

    answer = evaluate(host, named(echo), b"a", timeout_s=10, log=str(log))

    assert answer == Evaluated(b"a,flow")
    assert log.read_text() == "seen\n"


def test_what_it_raises_is_an_answer(host: CodeHost) -> None:
    answer = evaluate(host, named(fail), b"", timeout_s=10)

    assert isinstance(answer, EvaluationRaised)
    assert (answer.failure.type, answer.failure.message) == ("ValueError", "no such luck")


def test_one_that_hangs_is_killed(host: CodeHost, tmp_path: Path) -> None:
    evaluation = Evaluation(host, named(hang), str(tmp_path / "pid").encode(), timeout_s=0.2)

    answer = evaluation.wait()

    assert answer == NotEvaluated("it took longer than 0.2 s and was killed", is_late=True)
    await_end(int((tmp_path / "pid").read_text()))
    assert evaluate(host, named(echo), b"b", timeout_s=10) == Evaluated(b"b,flow")


def test_one_whose_process_ends_is_told(host: CodeHost) -> None:
    answer = evaluate(host, named(vanish), b"", timeout_s=10)

    assert isinstance(answer, NotEvaluated)
    assert answer.reason.startswith("its process ended")


def test_a_host_that_is_gone_is_told(host: CodeHost) -> None:
    os.kill(host.pid, signal.SIGKILL)
    await_end(host.pid)

    answer = evaluate(host, named(echo), b"", timeout_s=10)

    assert isinstance(answer, NotEvaluated)
