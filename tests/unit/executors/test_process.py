"""Children execute attempts: warm, fresh, killed, lost, called back."""

import asyncio
import contextlib
import ctypes
import faulthandler
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ostinato import DAG
from ostinato.authoring.ports import Context, Resource
from ostinato.clock import SystemClock
from ostinato.errors import ExecutionError
from ostinato.executors.process import CANCEL_GRACE_S, IDLE_S, TIMEOUT_GRACE_S
from ostinato.model.failure import FailureKind
from ostinato.operators import BashOperator
from ostinato.runtime import messages as msg
from tests.unit.executors.driven import PATIENCE_S, DrivenProcesses, await_end, is_alive, write
from tests.unit.runtime.attempts import flow_of


class LeapingClock(SystemClock):
    """The machine's clock, which a test can set forward instead of waiting."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s


@pytest.fixture
def clock() -> LeapingClock:
    return LeapingClock()


def hold(pipe: int) -> None:
    """Wait until the test lets go."""
    os.read(pipe, 1)


@pytest.fixture
def gate() -> Any:
    """A pipe: tasks wait at its reading end until the test writes."""
    read, write_end = os.pipe()
    yield read, write_end
    os.close(read)
    os.close(write_end)


def failed(report: msg.Report) -> msg.Failed:
    assert isinstance(report, msg.Failed), report
    return report


def pid() -> int:
    return os.getpid()


def nothing() -> None:
    return


# What is executed, and where


def test_a_child_executes_and_returns_the_value(tmp_path: Path) -> None:
    with DrivenProcesses(tmp_path, flow_of(pid)) as driven:
        assert int(driven.value("pid") or 0) != os.getpid()


def test_a_warm_child_executes_several_attempts(tmp_path: Path) -> None:
    with DrivenProcesses(tmp_path, flow_of(pid)) as driven:
        assert len({driven.value("pid") for _ in range(5)}) == 1


def test_a_fresh_attempt_has_a_process_of_its_own(tmp_path: Path) -> None:
    kept: list[int] = []

    def leave_state() -> int:
        kept.append(1)
        os.environ["LEFT"] = "behind"
        os.chdir("/")
        return len(kept)

    def find_state() -> list[Any]:
        return [kept, os.environ.get("LEFT", ""), os.getcwd()]

    with DrivenProcesses(tmp_path, flow_of(leave_state, find_state)) as driven:
        assert driven.value("leave_state", is_fresh=True) == b"1"
        assert driven.value("leave_state", is_fresh=True) == b"1"
        assert driven.value("find_state", is_fresh=True) == f'[[],"","{os.getcwd()}"]'.encode()


def test_many_fresh_attempts_are_all_reported(tmp_path: Path) -> None:
    with DrivenProcesses(tmp_path, flow_of(pid), children=2) as driven:
        tokens = driven.start(*["pid"] * 40, is_fresh=True)
        driven.until(lambda: len(driven.reports) == 40)

        pids = {driven.reports[token].values[0].data for token in tokens}  # type: ignore[union-attr]  # a number
        assert len(pids) == 40


def test_attempts_are_spread_over_the_children(tmp_path: Path, gate: tuple[int, int]) -> None:
    def hold_and_tell() -> int:
        hold(gate[0])
        return os.getpid()

    with DrivenProcesses(tmp_path, flow_of(hold_and_tell), children=2) as driven:
        tokens = [driven.start("hold_and_tell")[0] for _ in range(2)]
        os.write(gate[1], b"..")

        values = {driven.report(token).values[0].data for token in tokens}  # type: ignore[union-attr]  # a number
        assert len(values) == 2


def test_users_code_runs_in_the_main_thread(tmp_path: Path) -> None:
    def is_main() -> bool:
        return threading.current_thread() is threading.main_thread()

    with DrivenProcesses(tmp_path, flow_of(is_main)) as driven:
        assert driven.value("is_main") == b"true"


def test_children_draw_numbers_of_their_own(tmp_path: Path) -> None:
    def draw() -> float:
        return random.random()

    random.seed(1)
    with DrivenProcesses(tmp_path, flow_of(draw)) as driven:
        drawn = {driven.value("draw", is_fresh=True) for _ in range(3)}

    assert len(drawn) == 3


def test_a_task_that_asks_for_input_gets_none(tmp_path: Path) -> None:
    def ask() -> str:
        return input("your name? ")

    with DrivenProcesses(tmp_path, flow_of(ask)) as driven:
        assert failed(driven.run("ask")).failure.type == "EOFError"


def test_a_large_value_comes_back_by_its_file(tmp_path: Path) -> None:
    def much() -> str:
        return "x" * 100_000

    with DrivenProcesses(tmp_path, flow_of(much)) as driven:
        report = driven.run("much")

    assert isinstance(report, msg.Succeeded)
    assert (tmp_path / "values" / report.values[0].location).stat().st_size == 100_002


def test_a_task_that_raises_in_a_child_fails_with_its_line(tmp_path: Path) -> None:
    def fail() -> None:
        raise ValueError("no rows")

    with DrivenProcesses(tmp_path, flow_of(fail)) as driven:
        failure = failed(driven.run("fail")).failure

    assert (failure.type, failure.frames[-1].file) == ("ValueError", __file__)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_task_that_ends_its_process_the_python_way_fails(
    tmp_path: Path, error: BaseException
) -> None:
    def leave() -> None:
        raise error

    with DrivenProcesses(tmp_path, flow_of(leave, pid)) as driven:
        failed(driven.run("leave"))

        assert isinstance(driven.run("pid"), msg.Succeeded)


# Time-outs


def test_a_timeout_interrupts_the_task_in_its_child(tmp_path: Path) -> None:
    def wait() -> None:
        threading.Event().wait()

    with DrivenProcesses(tmp_path, flow_of(wait, pid)) as driven:
        before = driven.value("pid")

        failure = failed(driven.run("wait", timeout_s=0.05)).failure

        assert failure.kind is FailureKind.TIMEOUT
        assert failure.message == "task 'wait' ran longer than its timeout of 0.05 s"
        assert driven.value("pid") == before


def stubborn(file: Path) -> Callable[[], None]:
    """Return a task that ignores whatever is raised in it; its time is over at once."""

    def ignore() -> None:
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGALRM)
        while True:
            try:
                write(file, str(os.getpid()))
                threading.Event().wait()
            except BaseException:  # noqa: BLE001, S110 - as bad as users' code can be
                pass

    return ignore


def test_a_task_that_ignores_its_timeout_is_killed(tmp_path: Path, clock: LeapingClock) -> None:
    ignore = stubborn(tmp_path / "pid")

    with DrivenProcesses(tmp_path, flow_of(ignore), clock=clock) as driven:
        token = driven.start("ignore", timeout_s=PATIENCE_S)[0]
        child = int(driven.until_written("pid"))
        clock.ahead_s = PATIENCE_S + TIMEOUT_GRACE_S
        failure = failed(driven.report(token)).failure

        assert failure.kind is FailureKind.TIMEOUT
        assert "did not end when told to, and was killed" in failure.message
        await_end(child)


def test_what_waits_behind_a_killed_task_is_given_back(tmp_path: Path, clock: LeapingClock) -> None:
    ignore = stubborn(tmp_path / "pid")

    with DrivenProcesses(tmp_path, flow_of(ignore, nothing), clock=clock) as driven:
        first, second = driven.start("ignore", "nothing", timeout_s=PATIENCE_S)
        driven.until_written("pid")
        clock.ahead_s = PATIENCE_S + TIMEOUT_GRACE_S

        assert failed(driven.report(first)).failure.kind is FailureKind.TIMEOUT
        assert driven.report(second) == msg.Revoked(second)


def test_a_timeout_while_a_task_pushes_leaves_the_connection_whole(tmp_path: Path) -> None:
    def push_for_ever(context: Context) -> None:
        while True:
            context.push("key", "x" * 10_000)

    def answer(token: int, method: str, args: dict[str, Any]) -> None:
        return None

    with DrivenProcesses(tmp_path, flow_of(push_for_ever, pid), answer=answer) as driven:
        for _ in range(20):
            report = failed(driven.run("push_for_ever", timeout_s=0.01))
            assert report.failure.kind is FailureKind.TIMEOUT
        assert isinstance(driven.run("pid"), msg.Succeeded)


# Memory


def test_a_task_over_its_memory_limit_fails(tmp_path: Path) -> None:
    def take() -> int:
        return len(bytearray(512 * 2**20))

    with DrivenProcesses(tmp_path, flow_of(take, pid)) as driven:
        before = driven.value("pid")

        failure = failed(driven.run("take", memory_bytes=64 * 2**20)).failure

        assert failure.kind is FailureKind.MEMORY
        assert failure.type == "ostinato.errors.MemoryLimitExceeded"
        assert failure.message == "task 'take' needed more than its limit of 64 MiB"
        assert driven.value("pid") == before


def test_a_memory_limit_is_gone_with_its_attempt(tmp_path: Path) -> None:
    def take() -> int:
        return len(bytearray(256 * 2**20))

    def limit() -> int:
        return resource.getrlimit(resource.RLIMIT_DATA)[0]

    with DrivenProcesses(tmp_path, flow_of(take, limit)) as driven:
        before = driven.value("limit")
        failed(driven.run("take", memory_bytes=2**20))

        assert driven.value("limit") == before
        assert isinstance(driven.run("take"), msg.Succeeded)


# Children that end


def test_a_task_that_exits_its_process_is_lost_with_the_code(tmp_path: Path) -> None:
    def leave() -> None:
        os._exit(3)

    with DrivenProcesses(tmp_path, flow_of(leave, nothing)) as driven:
        first, second = driven.start("leave", "nothing")

        reason = "its process exited with code 3: did the task call os._exit?"
        assert driven.report(first) == msg.Lost(first, reason)
        assert driven.report(second) == msg.Revoked(second)
        assert isinstance(driven.run("nothing"), msg.Succeeded)


def test_a_killed_child_is_lost_with_the_signal(tmp_path: Path) -> None:
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with DrivenProcesses(tmp_path, flow_of(die)) as driven:
        report = driven.run("die")

    reason = "its process was killed by SIGKILL, perhaps because memory ran out"
    assert report == msg.Lost(1, reason)


def test_a_crash_in_native_code_is_lost_with_the_signal(tmp_path: Path) -> None:
    def crash() -> None:
        # A crash is meant: it needs no traceback and no file with the memory of the process.
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        ctypes.string_at(0)

    with DrivenProcesses(tmp_path, flow_of(crash)) as driven:
        report = driven.run("crash")

    assert report == msg.Lost(1, "its process was killed by SIGSEGV")


def test_a_fresh_child_that_dies_is_lost(tmp_path: Path) -> None:
    def leave() -> None:
        os._exit(4)

    with DrivenProcesses(tmp_path, flow_of(leave)) as driven:
        report = driven.run("leave", is_fresh=True)

    assert isinstance(report, msg.Lost)
    assert "exited with code 4" in report.reason


def test_a_child_is_lost_though_a_process_it_forked_lives_on(tmp_path: Path) -> None:
    def fork_and_die() -> None:
        # It has the child's socket, which stays open with it.
        if os.fork() == 0:
            os.setsid()
            write(tmp_path / "pid", str(os.getpid()))
            threading.Event().wait()
        while not (tmp_path / "pid").exists():
            os.sched_yield()
        os._exit(1)

    with DrivenProcesses(tmp_path, flow_of(fork_and_die)) as driven:
        report = driven.run("fork_and_die")
        grandchild = int((tmp_path / "pid").read_text())

        assert isinstance(report, msg.Lost)
        await_end(grandchild)


def test_an_idle_child_ends_after_a_while(tmp_path: Path, clock: LeapingClock) -> None:
    with DrivenProcesses(tmp_path, flow_of(pid), clock=clock) as driven:
        child = int(driven.value("pid") or 0)
        clock.ahead_s = IDLE_S + 1
        driven.turn(0)
        await_end(child)

        assert int(driven.value("pid") or 0) != child


# The code host


def test_attempts_of_a_killed_code_host_are_lost_and_others_go_on(tmp_path: Path) -> None:
    def wait() -> None:
        write(tmp_path / "pid", str(os.getpid()))
        threading.Event().wait()

    with DrivenProcesses(tmp_path, flow_of(wait, nothing)) as driven:
        token = driven.start("wait")[0]
        child = int(driven.until_written("pid"))

        os.kill(driven.host.pid, signal.SIGKILL)

        reason = "its process ended with its code host, which was killed"
        assert driven.report(token) == msg.Lost(token, reason)
        await_end(child)
        driven.until(lambda: driven.executor.credits() > 0)
        assert isinstance(driven.run("nothing"), msg.Succeeded)


def test_a_killed_code_host_does_not_wait_for_what_tasks_forked(
    tmp_path: Path, clock: LeapingClock
) -> None:
    def fork_and_wait() -> None:
        if os.fork() == 0:
            os.setsid()
            write(tmp_path / "pid", str(os.getpid()))
        threading.Event().wait()

    with DrivenProcesses(tmp_path, flow_of(fork_and_wait), clock=clock) as driven:
        token = driven.start("fork_and_wait")[0]
        grandchild = int(driven.until_written("pid"))

        os.kill(driven.host.pid, signal.SIGKILL)

        assert isinstance(driven.report(token), msg.Lost)
    # Nobody is left who could have inherited it; the test did not start it, but asked for it.
    os.kill(grandchild, signal.SIGKILL)
    await_end(grandchild)


# Cancelling


def test_a_running_attempt_is_cancelled(tmp_path: Path) -> None:
    def wait() -> None:
        try:
            write(tmp_path / "begun", "")
            threading.Event().wait()
        finally:
            write(tmp_path / "cleaned", "")

    with DrivenProcesses(tmp_path, flow_of(wait, pid)) as driven:
        token = driven.start("wait")[0]
        driven.until_written("begun")

        driven.executor.cancel(token, "cancelled by Ctrl-C")

        failure = failed(driven.report(token)).failure
        assert (failure.kind, failure.message) == (FailureKind.CANCELLED, "cancelled by Ctrl-C")
        assert driven.file("cleaned").exists()
        assert isinstance(driven.run("pid"), msg.Succeeded)


def test_an_attempt_whose_child_has_died_with_its_host_is_cancelled(tmp_path: Path) -> None:
    def wait() -> None:
        write(tmp_path / "begun", str(os.getpid()))
        threading.Event().wait()

    with DrivenProcesses(tmp_path, flow_of(wait, pid)) as driven:
        token = driven.start("wait")[0]
        driven.until_written("begun")
        child = int(driven.file("begun").read_text())
        os.kill(driven.host.pid, signal.SIGKILL)
        os.kill(child, signal.SIGKILL)
        # Until whoever has inherited it has let it go.
        end_s = time.monotonic() + PATIENCE_S
        while Path(f"/proc/{child}").exists():
            assert time.monotonic() < end_s
            time.sleep(0.01)

        driven.executor.cancel(token, "cancelled")

        assert isinstance(driven.report(token), msg.Lost | msg.Failed)


def test_an_async_attempt_is_cancelled(tmp_path: Path) -> None:
    async def wait() -> None:
        write(tmp_path / "begun", "")
        await asyncio.Event().wait()

    with DrivenProcesses(tmp_path, flow_of(wait)) as driven:
        token = driven.start("wait")[0]
        driven.until_written("begun")

        driven.executor.cancel(token, "cancelled")

        assert failed(driven.report(token)).failure.kind is FailureKind.CANCELLED


def test_an_attempt_that_waits_for_an_answer_is_cancelled(tmp_path: Path) -> None:
    asked: list[int] = []

    def ask(context: Context) -> None:
        context.push("a", 1)

    def answer(token: int, method: str, args: dict[str, Any]) -> None:
        asked.append(token)
        driven.executor.cancel(token, "cancelled")

    with DrivenProcesses(tmp_path, flow_of(ask), answer=answer) as driven:
        report = driven.run("ask")

    assert asked == [1]
    # The answer and the cancellation come at once: whichever is seen first.
    assert isinstance(report, msg.Failed | msg.Succeeded)


def test_a_call_from_a_thread_leaves_the_attempt_cancellable(tmp_path: Path) -> None:
    def ask_in_a_thread(context: Context) -> None:
        threading.Thread(target=lambda: context.push("a", 1), daemon=True).start()
        threading.Event().wait()

    def answer(token: int, method: str, args: dict[str, Any]) -> None:
        driven.executor.cancel(token, "cancelled")

    with DrivenProcesses(tmp_path, flow_of(ask_in_a_thread), answer=answer) as driven:
        report = driven.run("ask_in_a_thread")

    assert failed(report).failure.kind is FailureKind.CANCELLED


def test_a_waiting_attempt_is_taken_back(tmp_path: Path, gate: tuple[int, int]) -> None:
    def wait() -> None:
        write(tmp_path / "begun", "")
        hold(gate[0])

    with DrivenProcesses(tmp_path, flow_of(wait, nothing)) as driven:
        first, second = driven.start("wait", "nothing")
        driven.until_written("begun")

        driven.executor.cancel(second, "cancelled")

        assert driven.report(second) == msg.Revoked(second)
        os.write(gate[1], b".")
        assert isinstance(driven.report(first), msg.Succeeded)


def test_a_fresh_attempt_that_was_not_forked_yet_is_taken_back(
    tmp_path: Path, gate: tuple[int, int]
) -> None:
    def wait() -> None:
        hold(gate[0])

    with DrivenProcesses(tmp_path, flow_of(wait)) as driven:
        tokens = driven.start(*["wait"] * 10, is_fresh=True)

        driven.executor.cancel(tokens[-1], "cancelled")

        assert driven.report(tokens[-1]) == msg.Revoked(tokens[-1])
        os.write(gate[1], b"." * 9)
        assert all(isinstance(driven.report(token), msg.Succeeded) for token in tokens[:-1])


def test_an_attempt_that_ignores_its_cancellation_is_killed(
    tmp_path: Path, clock: LeapingClock
) -> None:
    ignore = stubborn(tmp_path / "pid")

    with DrivenProcesses(tmp_path, flow_of(ignore), clock=clock) as driven:
        token = driven.start("ignore", timeout_s=2 * CANCEL_GRACE_S)[0]
        child = int(driven.until_written("pid"))
        driven.executor.cancel(token, "cancelled by Ctrl-C")
        clock.ahead_s = CANCEL_GRACE_S

        failure = failed(driven.report(token)).failure

        assert failure.kind is FailureKind.CANCELLED
        assert failure.message.startswith("cancelled by Ctrl-C: it did not end when told to")
        await_end(child)


def test_an_attempt_cancelled_as_its_child_is_forked_ends(tmp_path: Path) -> None:
    def wait() -> None:
        threading.Event().wait()

    with DrivenProcesses(tmp_path, flow_of(wait)) as driven:
        token = driven.start("wait")[0]

        driven.executor.cancel(token, "cancelled")

        report = driven.report(token)
        assert isinstance(report, msg.Revoked) or (
            failed(report).failure.kind is FailureKind.CANCELLED
        )


def test_cancelling_what_nobody_knows_changes_nothing(tmp_path: Path) -> None:
    with DrivenProcesses(tmp_path, flow_of(nothing)) as driven:
        driven.executor.cancel(99, "cancelled")

        assert isinstance(driven.run("nothing"), msg.Succeeded)


# Queues in children


def test_what_waits_behind_a_task_that_lasts_is_given_back(
    tmp_path: Path, gate: tuple[int, int]
) -> None:
    def wait() -> None:
        hold(gate[0])

    with DrivenProcesses(tmp_path, flow_of(wait, nothing)) as driven:
        first, second, third = driven.start("wait", "nothing", "nothing")

        assert driven.report(second) == msg.Revoked(second)
        assert driven.report(third) == msg.Revoked(third)
        os.write(gate[1], b".")
        assert isinstance(driven.report(first), msg.Succeeded)


def test_a_late_request_to_give_back_does_not_stop_what_has_begun(
    tmp_path: Path, clock: LeapingClock, gate: tuple[int, int]
) -> None:
    def wait() -> str:
        write(tmp_path / "begun", "")
        hold(gate[0])
        return "undisturbed"

    with DrivenProcesses(tmp_path, flow_of(nothing, wait), clock=clock) as driven:
        _, second = driven.start("nothing", "wait")
        # The child is on to the second one, but the executor has not read that yet.
        while not driven.file("begun").exists():
            os.sched_yield()
        clock.ahead_s = 1.0
        driven.executor.poll()
        os.write(gate[1], b".")

        report = driven.report(second)

    assert isinstance(report, msg.Succeeded), report


def test_short_attempts_share_a_batch_and_long_ones_do_not(
    tmp_path: Path, gate: tuple[int, int]
) -> None:
    def wait() -> None:
        hold(gate[0])

    with DrivenProcesses(tmp_path, flow_of(wait, nothing)) as driven:
        for _ in range(100):
            driven.run("nothing")
        assert driven.executor.credits() > 10

        token = driven.start("wait")[0]
        driven.until(lambda: driven.executor.credits() == 0)
        os.write(gate[1], b".")
        driven.report(token)


# Calls


def test_an_attempt_asks_its_coordinator(tmp_path: Path) -> None:
    calls: list[tuple[int, str]] = []

    def push(context: Context) -> str:
        context.push("rows", 5)
        return str(context.pull("push"))

    def answer(token: int, method: str, args: dict[str, Any]) -> Any:
        calls.append((token, method))
        return [] if method == "pull" else None

    with DrivenProcesses(tmp_path, flow_of(push), answer=answer) as driven:
        assert driven.value("push") == b'"None"'

    assert calls == [(1, "push"), (1, "pull")]


def test_a_refused_call_is_an_error_in_the_task(tmp_path: Path) -> None:
    def push(context: Context) -> None:
        context.push("rows", 5)

    def answer(token: int, method: str, args: dict[str, Any]) -> Any:
        raise ExecutionError("this attempt was given up; its call is refused")

    with DrivenProcesses(tmp_path, flow_of(push), answer=answer) as driven:
        failure = failed(driven.run("push")).failure

    assert failure.message == "this attempt was given up; its call is refused"


def test_threads_of_a_task_may_ask_at_the_same_time(tmp_path: Path) -> None:
    def push_from_threads(context: Context) -> None:
        def push(number: int) -> None:
            for turn in range(20):
                context.push(f"{number}.{turn}", "x" * 1000)

        threads = [threading.Thread(target=push, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    keys: list[str] = []

    def answer(token: int, method: str, args: dict[str, Any]) -> None:
        keys.append(args["value"]["key"])

    with DrivenProcesses(tmp_path, flow_of(push_from_threads), answer=answer) as driven:
        assert isinstance(driven.run("push_from_threads"), msg.Succeeded)

    assert sorted(keys) == sorted(f"{n}.{turn}" for n in range(8) for turn in range(20))


def test_a_process_that_a_task_forks_may_not_ask(tmp_path: Path) -> None:
    def push_from_a_process(context: Context) -> str:
        def push(errors: Any) -> None:
            try:
                context.push("rows", 5)
            except ValueError as error:
                errors.put(str(error))

        forking = multiprocessing.get_context("fork")
        errors = forking.SimpleQueue()
        process = forking.Process(target=push, args=(errors,))
        process.start()
        process.join()
        return str(errors.get())

    with DrivenProcesses(tmp_path, flow_of(push_from_a_process)) as driven:
        value = driven.value("push_from_a_process") or b""

    assert b"only the task's own process can pull and push values" in value


# Resources


class Noted(Resource):
    """Writes down when it is opened and closed."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def open(self) -> str:
        with self.file.open("a") as file:
            file.write("open ")
        return "the open one"

    def close(self) -> None:
        with self.file.open("a") as file:
            file.write("close ")


def test_a_resource_is_opened_once_in_a_child_and_closed_with_it(tmp_path: Path) -> None:
    def use(noted: Any) -> str:
        return str(noted)

    flow = flow_of(use, resources={"noted": Noted(tmp_path / "noted")})
    with DrivenProcesses(tmp_path, flow) as driven:
        assert driven.value("use") == b'"the open one"'
        driven.run("use")

    assert (tmp_path / "noted").read_text() == "open close "


def test_an_object_can_replace_a_resource(tmp_path: Path) -> None:
    def use(noted: Any) -> str:
        return str(noted)

    flow = flow_of(use, resources={"noted": Noted(tmp_path / "noted")})
    with DrivenProcesses(tmp_path, flow, resources={"noted": "a test's own"}) as driven:
        assert driven.value("use") == b'"a test\'s own"'

    assert not (tmp_path / "noted").exists()


# Closing


def bash_that_notes_itself(folder: Path) -> DAG:
    """Return a flow whose command, in a session of its own, writes its id and stays."""
    note = folder / "pid"
    with DAG("flow") as flow:
        BashOperator(
            task_id="bash",
            bash_command=f"trap '' TERM; echo $$ > {note}.aside; mv {note}.aside {note}; "
            "sleep 1000 & wait",
        )
    return flow


def test_closing_ends_what_tasks_have_started(tmp_path: Path) -> None:
    with DrivenProcesses(tmp_path, bash_that_notes_itself(tmp_path)) as driven:
        driven.start("bash")
        bash = int(driven.until_written("pid"))
        below = children_of(bash)

    await_end(bash)
    for process in below:
        await_end(process)


def test_what_a_killed_child_has_started_ends(tmp_path: Path) -> None:
    with DrivenProcesses(tmp_path, bash_that_notes_itself(tmp_path)) as driven:
        token = driven.start("bash")[0]
        bash = int(driven.until_written("pid"))
        child = parent_of(bash)

        os.kill(child, signal.SIGKILL)

        assert isinstance(driven.report(token), msg.Lost)
        await_end(bash)


def test_what_a_task_leaves_in_the_background_ends_with_its_child(tmp_path: Path) -> None:
    def leave_behind() -> int:
        return subprocess.Popen(["sleep", "1000"], start_new_session=True).pid

    with DrivenProcesses(tmp_path, flow_of(leave_behind)) as driven:
        left = int(driven.value("leave_behind") or 0)
        assert is_alive(left)

    await_end(left)


def test_a_coordinator_that_is_killed_takes_all_with_it(tmp_path: Path) -> None:
    def wait() -> None:
        write(tmp_path / "pid", str(os.getpid()))
        threading.Event().wait()

    coordinator = os.fork()
    if coordinator == 0:
        try:
            driven = DrivenProcesses(tmp_path, flow_of(wait))
            driven.start("wait")
            driven.until_written("pid")
            write(tmp_path / "host", str(driven.host.pid))
            driven.until(lambda: False)
        finally:
            os._exit(1)
    while not (tmp_path / "host").exists():
        os.sched_yield()

    os.kill(coordinator, signal.SIGKILL)
    os.waitpid(coordinator, 0)

    await_end(int((tmp_path / "host").read_text()))
    await_end(int((tmp_path / "pid").read_text()))


def children_of(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


# Output


def test_all_ways_of_writing_end_up_in_the_log(tmp_path: Path) -> None:
    def write_all_ways() -> None:
        print("print")
        os.write(1, b"descriptor\n")
        subprocess.run(["echo", "subprocess"], check=True)
        subprocess.run(["sh", "-c", "echo error >&2"], check=True)
        thread = threading.Thread(target=lambda: print("thread"))
        thread.start()
        thread.join()
        process = multiprocessing.get_context("fork").Process(target=lambda: print("process"))
        process.start()
        process.join()
        print("no line end", end="")

    with DrivenProcesses(tmp_path, flow_of(write_all_ways)) as driven:
        driven.run("write_all_ways")
        lines = driven.log("write_all_ways")

    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert sorted((line["source"], line["message"]) for line in lines) == [
        ("stderr", "error"),
        ("stdout", "descriptor"),
        ("stdout", "no line end"),
        ("stdout", "print"),
        ("stdout", "process"),
        ("stdout", "subprocess"),
        ("stdout", "thread"),
    ]


def test_an_attempt_ends_though_a_process_it_left_writes_for_ever(tmp_path: Path) -> None:
    def leave_writer() -> int:
        return subprocess.Popen(["yes"], start_new_session=True).pid

    def end_writer() -> None:
        os.kill(int((tmp_path / "writer").read_text()), signal.SIGKILL)

    with DrivenProcesses(tmp_path, flow_of(leave_writer, end_writer)) as driven:
        writer = driven.value("leave_writer") or b""
        write(tmp_path / "writer", writer.decode())

        assert isinstance(driven.run("end_writer"), msg.Succeeded)


@pytest.mark.slow
def test_a_task_that_prints_without_measure_ends_with_a_bounded_log(tmp_path: Path) -> None:
    def print_much() -> int:
        line = "x" * 999
        for _ in range(80_000):
            print(line)
        subprocess.run(["sh", "-c", "yes | head -c 20000000"], check=True)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    with DrivenProcesses(tmp_path, flow_of(print_much)) as driven:
        used_mib = int(driven.value("print_much") or 0)
        size = sum(file.stat().st_size for file in (tmp_path / "logs").rglob("*.jsonl"))

    assert used_mib < 500
    assert 60 * 2**20 < size < 66 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel")
def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    def descriptors() -> set[str]:
        return set(os.listdir("/proc/self/fd"))

    before = descriptors()
    with DrivenProcesses(tmp_path, flow_of(nothing), children=2) as driven:
        driven.start(*["nothing"] * 10)
        driven.start(*["nothing"] * 10, is_fresh=True)
        driven.until(lambda: len(driven.reports) == 20)

    assert descriptors() == before


def test_what_runs_is_ended_when_its_host_is_not_told_in_time(
    tmp_path: Path, clock: LeapingClock
) -> None:
    ignore = stubborn(tmp_path / "pid")

    with DrivenProcesses(tmp_path, flow_of(ignore, nothing), clock=clock) as driven:
        driven.host.beat(clock.monotonic_s() + PATIENCE_S)
        token = driven.start("ignore", timeout_s=PATIENCE_S)[0]
        child = int(driven.until_written("pid"))
        driven.host.beat(clock.monotonic_s() - 1)

        assert isinstance(driven.report(token), msg.Lost)
        await_end(child)
        driven.host.beat(clock.monotonic_s() + PATIENCE_S)
        assert isinstance(driven.run("nothing"), msg.Succeeded)
