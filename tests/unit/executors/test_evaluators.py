"""Users' functions are evaluated in processes of their own, whatever they do."""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from ostinato import Variable, get_connection, sensor
from ostinato.authoring.event_sensors import EventSensor, RunRequest, SensorContext
from ostinato.clock import VirtualClock
from ostinato.errors import CodeUnavailable
from ostinato.executors.code_host import CodeHost
from ostinato.executors.evaluators import IDLE_S, Evaluators, NotEvaluable
from ostinato.model.failure import FailureKind
from ostinato.model.sensor_tick import AskedRun, TickInput, TickResult
from ostinato.project.loading import Loaded
from tests.unit.executors.driven import await_end, loaded
from tests.unit.runtime.attempts import flow_of

TIMEOUT_S = 20.0


def nothing() -> None:
    return


@sensor(flow="flow")
def asks(context: SensorContext) -> RunRequest:
    print("looks")
    context.update_cursor(str(os.getpid()))
    return RunRequest("k")


@sensor(flow="flow")
def raises() -> None:
    subprocess.run(["echo", "from a program"], check=True)
    raise ValueError("no such bucket")


@sensor(flow="flow")
def hangs() -> None:
    threading.Event().wait()


@sensor(flow="flow")
def resists() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    threading.Event().wait()


@sensor(flow="flow")
def exits() -> None:
    os._exit(3)


@sensor(flow="flow")
def looks_up() -> RunRequest:
    host = get_connection("shop").host
    return RunRequest(Variable.get("name"), params={"host": host})


@sensor(flow="flow")
def returns_nonsense() -> int:
    return 7


SENSORS: list[EventSensor] = [asks, raises, hangs, resists, exits, looks_up, returns_nonsense]


def load() -> Loaded:
    sensors = {one.name: one for one in SENSORS}
    return msgspec.structs.replace(loaded(flow_of(nothing)), sensors=sensors)


def answer(method: str, args: dict[str, Any]) -> Any:
    if method == "connection":
        connection = {"conn_type": "http", "host": args["conn_id"] + ".local"}
        return {"connection": connection, "secrets": []}
    return {"value": "secret-name", "secrets": ["secret-name"]}


@pytest.fixture(scope="module")
def host() -> Iterator[CodeHost]:
    host = CodeHost.fork(load)
    host.loaded()
    yield host
    host.close()


@pytest.fixture
def evaluators(host: CodeHost) -> Iterator[Evaluators]:
    evaluators = Evaluators(host, answer)
    yield evaluators
    evaluators.close()


def ticked(evaluators: Evaluators, name: str, timeout_s: float = TIMEOUT_S) -> TickResult:
    given = msgspec.msgpack.encode(TickInput())
    evaluation = evaluators.evaluate("sensor", name, given, timeout_s=timeout_s)
    return msgspec.msgpack.decode(evaluation.payload, type=TickResult)


def failed(evaluators: Evaluators, name: str, timeout_s: float = TIMEOUT_S) -> NotEvaluable:
    with pytest.raises(NotEvaluable) as caught:
        ticked(evaluators, name, timeout_s)
    return caught.value


def test_a_function_is_called_in_another_process_which_is_used_again(
    evaluators: Evaluators,
) -> None:
    first, second = ticked(evaluators, "asks"), ticked(evaluators, "asks")

    assert first.asked == (AskedRun("flow", "k"),)
    assert first.cursor == second.cursor != str(os.getpid())


def test_what_it_prints_is_kept(evaluators: Evaluators) -> None:
    given = msgspec.msgpack.encode(TickInput())

    for _ in range(2):
        evaluation = evaluators.evaluate("sensor", "asks", given, timeout_s=TIMEOUT_S)
        assert evaluation.output == "looks\n"
    assert failed(evaluators, "raises").output == "from a program\n"


def test_an_error_is_told_with_its_line(evaluators: Evaluators) -> None:
    error = failed(evaluators, "raises").failure

    assert (error.kind, error.type, error.message) == (
        FailureKind.ERROR,
        "ValueError",
        "no such bucket",
    )
    assert error.frames[-1].code == 'raise ValueError("no such bucket")'


def test_a_function_that_takes_too_long_is_stopped_where_it_is(evaluators: Evaluators) -> None:
    failure = failed(evaluators, "hangs", 0.05).failure

    assert (failure.kind, failure.message) == (FailureKind.TIMEOUT, "it took longer than 0.05 s")
    assert failure.frames[-1].function == "hangs"
    assert ticked(evaluators, "asks").asked


def test_a_function_that_cannot_be_stopped_is_killed(host: CodeHost) -> None:
    evaluators = Evaluators(host, grace_s=0.05)

    failure = failed(evaluators, "resists", 0.05).failure

    assert failure.message == "it took longer than 0.05 s, and was killed"
    assert ticked(evaluators, "asks").asked
    evaluators.close()


def test_a_function_that_ends_its_process_harms_nobody(evaluators: Evaluators) -> None:
    failure = failed(evaluators, "exits").failure

    assert (failure.kind, failure.message) == (FailureKind.LOST, "its process ended under it")
    assert ticked(evaluators, "asks").asked


def test_nonsense_and_unknown_names_are_errors(evaluators: Evaluators) -> None:
    assert "returned 7" in failed(evaluators, "returns_nonsense").failure.message
    assert "no sensor 'gone'" in failed(evaluators, "gone").failure.message


def test_connections_and_variables_are_asked_for(evaluators: Evaluators) -> None:
    assert ticked(evaluators, "looks_up").asked == (
        AskedRun("flow", "secret-name", {"host": "shop.local"}),
    )


def test_several_are_called_at_a_time(evaluators: Evaluators) -> None:
    cursors: list[str | None] = []
    threads = [
        threading.Thread(target=lambda: cursors.append(ticked(evaluators, "asks").cursor))
        for _ in range(8)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(cursors) == 8


def test_idle_processes_are_let_go(host: CodeHost) -> None:
    clock = VirtualClock(0)
    evaluators = Evaluators(host, clock=clock)
    pid = int(ticked(evaluators, "asks").cursor or 0)

    evaluators.reap()
    assert int(ticked(evaluators, "asks").cursor or 0) == pid
    clock.advance_to(int(IDLE_S * 1e6))
    evaluators.reap()

    await_end(pid)


def test_what_is_evaluated_ends_when_all_is_closed(host: CodeHost) -> None:
    evaluators = Evaluators(host)
    ticked(evaluators, "asks")
    errors: list[NotEvaluable] = []
    thread = threading.Thread(target=lambda: errors.append(failed(evaluators, "hangs")))
    thread.start()
    while not evaluators._busy:
        os.sched_yield()

    evaluators.close()
    thread.join()

    assert errors[0].failure.kind is FailureKind.LOST


def test_a_host_that_was_killed_is_started_again() -> None:
    host = CodeHost.fork(load)
    host.loaded()
    evaluators = Evaluators(host)
    first = host.pid
    os.kill(first, signal.SIGKILL)
    while not host.has_ended:
        os.sched_yield()

    assert ticked(evaluators, "asks").asked

    assert host.pid != first
    evaluators.close()
    host.close()


def test_a_host_that_cannot_be_started_again_is_an_error_of_the_call() -> None:
    class Gone:
        has_ended = True

        def fork_evaluator(self, connection: socket.socket) -> None:
            connection.close()

        def revive(self) -> None:
            raise CodeUnavailable("the files have changed")

    error = failed(Evaluators(Gone()), "asks").failure

    assert (error.kind, error.message) == (FailureKind.LOST, "the files have changed")


def test_a_host_that_ends_meanwhile_is_an_error_of_the_call() -> None:
    class Ending:
        has_ended = False

        def fork_evaluator(self, connection: socket.socket) -> None:
            connection.close()

        def revive(self) -> None:
            raise AssertionError

    assert failed(Evaluators(Ending()), "asks").failure.kind is FailureKind.LOST
