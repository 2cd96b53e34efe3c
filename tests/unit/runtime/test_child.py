"""Tasks that leave their process in disorder do not disturb the next one in it."""

import asyncio
import contextlib
import io
import logging
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ostinato.authoring.ports import Context, Resource
from ostinato.clock import SystemClock
from ostinato.executors.process import END_GRACE_S, FORKS_AHEAD
from ostinato.model.failure import FailureKind
from ostinato.runtime import messages as msg
from tests.unit.executors.driven import DrivenProcesses, write
from tests.unit.runtime.attempts import flow_of


def pid() -> int:
    return os.getpid()


def answer_nothing(token: int, method: str, args: dict[str, Any]) -> Any:
    return [] if method == "pull" else None


def cancelled(driven: DrivenProcesses, name: str, **spec: Any) -> msg.Failed:
    """Start an attempt that says when it has begun, cancel it, and return its report."""
    token = driven.start(name, **spec)[0]
    driven.until_written("begun")
    driven.executor.cancel(token, "cancelled by Ctrl-C")
    report = driven.report(token)
    assert isinstance(report, msg.Failed), report
    assert report.failure.kind is FailureKind.CANCELLED
    return report


# What is left behind


def leave_directory(folder: Path) -> None:
    os.chdir(folder)


def remove_directory(folder: Path) -> None:
    away = folder / "away"
    away.mkdir()
    os.chdir(away)
    away.rmdir()


def set_umask(_: Path) -> None:
    os.umask(0o777)


def ignore_signals(_: Path) -> None:
    for number in (signal.SIGUSR1, signal.SIGALRM, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)


def block_signals(_: Path) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def set_alarm(_: Path) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.01)


def close_descriptors(_: Path) -> None:
    for descriptor in (0, 1, 2):
        os.close(descriptor)


def redirect_descriptors(folder: Path) -> None:
    file = os.open(folder / "elsewhere", os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)


def replace_streams(_: Path) -> None:
    sys.stdout = sys.stderr = io.StringIO()


def close_streams(_: Path) -> None:
    sys.stdout.close()
    sys.stderr.close()


def configure_logging(_: Path) -> None:
    logging.basicConfig(force=True, stream=io.StringIO(), level=logging.CRITICAL)


def leave_threads_and_processes(_: Path) -> None:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    subprocess.Popen(["sleep", "1000"], start_new_session=True)


def leave_fork(_: Path) -> None:
    if os.fork() == 0:
        # It returns into the framework, as if it were the task.
        return


def raise_in_fork(_: Path) -> None:
    if os.fork() == 0:
        raise ValueError("in the other process")


MESSES: list[Callable[[Path], None]] = [
    leave_directory,
    remove_directory,
    set_umask,
    ignore_signals,
    block_signals,
    set_alarm,
    close_descriptors,
    redirect_descriptors,
    replace_streams,
    close_streams,
    configure_logging,
    leave_threads_and_processes,
    leave_fork,
    raise_in_fork,
]


@pytest.mark.parametrize("mess", MESSES, ids=lambda mess: mess.__name__)
def test_the_next_task_finds_its_process_in_order(
    tmp_path: Path, mess: Callable[[Path], None]
) -> None:
    here = os.getcwd()

    def make_mess() -> int:
        mess(tmp_path)
        return os.getpid()

    def look() -> dict[str, Any]:
        umask = os.umask(0)
        os.umask(umask)
        print("printed")
        logging.getLogger("task").critical("logged")
        os.write(1, b"written\n")
        subprocess.run(["echo", "echoed"], check=True)
        found = {"pid": os.getpid(), "folder": os.getcwd(), "umask": umask}
        write(tmp_path / "begun", "")
        threading.Event().wait()
        return found

    with DrivenProcesses(tmp_path, flow_of(make_mess, look, pid)) as driven:
        before = int(driven.value("make_mess") or 0)

        cancelled(driven, "look")

        lines = {line["message"] for line in driven.log("look", 2)}
        assert lines >= {"echoed", "logged", "printed", "written"}
        assert int(driven.value("pid") or 0) == before

    def folder_and_umask() -> list[Any]:
        umask = os.umask(0)
        os.umask(umask)
        return [os.getcwd(), umask]

    (tmp_path / "again").mkdir()
    with DrivenProcesses(tmp_path / "again", flow_of(make_mess, folder_and_umask)) as driven:
        expected = driven.value("folder_and_umask")
        assert here.encode() in (expected or b"")
        with contextlib.suppress(FileExistsError):
            driven.value("make_mess")

        assert driven.value("folder_and_umask") == expected


def test_a_closed_socket_loses_the_attempt_and_nothing_more(tmp_path: Path) -> None:
    def close_all() -> None:
        os.closerange(3, 256)

    with DrivenProcesses(tmp_path, flow_of(close_all, pid)) as driven:
        assert isinstance(driven.run("close_all"), msg.Lost)
        assert isinstance(driven.run("pid"), msg.Succeeded)


def test_what_a_task_writes_to_the_socket_loses_its_attempt(tmp_path: Path) -> None:
    def write_garbage() -> None:
        for descriptor in range(3, 64):
            with contextlib.suppress(OSError):
                if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                    os.write(descriptor, b"\0\0\0\2??")
        threading.Event().wait()

    with DrivenProcesses(tmp_path, flow_of(write_garbage, pid)) as driven:
        assert isinstance(driven.run("write_garbage"), msg.Lost)
        assert isinstance(driven.run("pid"), msg.Succeeded)


# Cancelled at any moment


def test_cancelled_in_finally(tmp_path: Path) -> None:
    def tidy() -> None:
        try:
            raise ValueError("no")
        finally:
            write(tmp_path / "begun", "")
            threading.Event().wait()

    with DrivenProcesses(tmp_path, flow_of(tidy, pid)) as driven:
        before = driven.value("pid")
        cancelled(driven, "tidy")

        assert driven.value("pid") == before


def test_cancelled_while_the_value_is_stored(tmp_path: Path) -> None:
    class Endless:
        def __reduce__(self) -> Any:
            write(tmp_path / "begun", "")
            threading.Event().wait()

    def store() -> Any:
        return Endless()

    with DrivenProcesses(tmp_path, flow_of(store, pid)) as driven:
        before = driven.value("pid")
        cancelled(driven, "store")

        assert driven.value("pid") == before


def test_cancelled_while_a_resource_is_opened(tmp_path: Path) -> None:
    class Endless(Resource):
        def open(self) -> Any:
            write(tmp_path / "begun", "")
            threading.Event().wait()

    def use(endless: Any) -> None:
        pass

    flow = flow_of(use, pid, resources={"endless": Endless()})
    with DrivenProcesses(tmp_path, flow) as driven:
        before = driven.value("pid")
        cancelled(driven, "use")

        assert driven.value("pid") == before


def test_cancelled_while_it_asks_the_coordinator(tmp_path: Path) -> None:
    def ask(context: Context) -> None:
        while True:
            context.pull("ask")
            write(tmp_path / "begun", "")

    with DrivenProcesses(tmp_path, flow_of(ask, pid), answer=answer_nothing) as driven:
        before = driven.value("pid")
        cancelled(driven, "ask")

        assert driven.value("pid") == before


def test_cancelled_again_and_again(tmp_path: Path) -> None:
    def wait() -> None:
        print("x" * 100)
        threading.Event().wait()

    with DrivenProcesses(tmp_path, flow_of(wait, pid)) as driven:
        before = driven.value("pid")
        for turn in range(30):
            token = driven.start("wait")[0]
            # The later ones are cancelled a little later in the life of their attempt.
            for _ in range(turn * 20):
                os.sched_yield()
            driven.executor.cancel(token, "cancelled")
            driven.executor.cancel(token, "cancelled")
            report = driven.report(token)
            assert isinstance(report, msg.Revoked) or (
                isinstance(report, msg.Failed) and report.failure.kind is FailureKind.CANCELLED
            )

        assert driven.value("pid") == before


def test_cancelled_just_after_its_end(tmp_path: Path) -> None:
    with DrivenProcesses(tmp_path, flow_of(pid)) as driven:
        before = driven.value("pid")
        for _ in range(30):
            token = driven.start("pid")[0]
            driven.executor.cancel(token, "cancelled")
            assert isinstance(driven.report(token), msg.Succeeded | msg.Failed | msg.Revoked)

            assert driven.value("pid") == before


def test_cancelled_behind_one_whose_end_was_not_read(tmp_path: Path) -> None:
    def wait() -> None:
        write(tmp_path / "begun", "")
        threading.Event().wait()

    with DrivenProcesses(tmp_path, flow_of(pid, wait)) as driven:
        _, second = driven.start("pid", "wait")
        while not driven.file("begun").exists():
            os.sched_yield()

        driven.executor.cancel(second, "cancelled")

        report = driven.report(second)
        assert isinstance(report, msg.Failed)
        assert report.failure.kind is FailureKind.CANCELLED


def test_async_tasks_tidy_up_when_they_are_cancelled(tmp_path: Path) -> None:
    async def side() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            write(tmp_path / "tidied", "")

    async def wait() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(side())
            await asyncio.sleep(0)
            write(tmp_path / "begun", "")

    with DrivenProcesses(tmp_path, flow_of(wait, pid)) as driven:
        before = driven.value("pid")
        cancelled(driven, "wait")

        assert driven.file("tidied").exists()
        assert driven.value("pid") == before


def test_a_thread_that_outlives_its_attempt_may_not_push(tmp_path: Path) -> None:
    def leave_thread(context: Context) -> None:
        def push_later() -> None:
            while not (tmp_path / "ended").exists():
                os.sched_yield()
            try:
                context.push("key", 1)
            except ValueError as error:
                write(tmp_path / "refused", str(error))

        threading.Thread(target=push_later).start()

    with DrivenProcesses(tmp_path, flow_of(leave_thread, pid)) as driven:
        driven.run("leave_thread")
        write(tmp_path / "ended", "")

        assert "has ended" in driven.until_written("refused")
        assert isinstance(driven.run("pid"), msg.Succeeded)


# What cannot be sent


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "error",
    [Unreadable(), ValueError("\ud800"), SystemExit(object()), BaseException("plain")],
    ids=["unreadable", "surrogate", "exit", "base"],
)
def test_any_exception_is_reported(tmp_path: Path, error: BaseException) -> None:
    def fail() -> None:
        raise error

    with DrivenProcesses(tmp_path, flow_of(fail, pid)) as driven:
        before = driven.value("pid")

        assert isinstance(driven.run("fail"), msg.Failed)
        assert driven.value("pid") == before


def test_notes_that_are_no_text_are_shown(tmp_path: Path) -> None:
    def fail() -> None:
        error = ValueError("no")
        error.__notes__ = [5, "\udfff"]  # type: ignore[list-item]  # as wrong as users' code can be
        raise error

    with DrivenProcesses(tmp_path, flow_of(fail)) as driven:
        report = driven.run("fail")

    assert isinstance(report, msg.Failed)
    assert report.failure.notes == ("5", "\\udfff")


# Resources that hang or raise


class LeapingClock(SystemClock):
    ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s


class HangingClose(Resource):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def close(self) -> None:
        write(self.folder / "closing", "")
        threading.Event().wait()


def test_a_fresh_child_whose_resource_hangs_in_close_is_killed(tmp_path: Path) -> None:
    def use(hanging: Any) -> int:
        return os.getpid()

    clock = LeapingClock()
    flow = flow_of(use, pid, resources={"hanging": HangingClose(tmp_path)})
    with DrivenProcesses(tmp_path, flow, clock=clock) as driven:
        tokens = driven.start(*["use"] * (1 + FORKS_AHEAD), is_fresh=True)
        driven.until(lambda: len(driven.reports) == len(tokens))
        driven.until_written("closing")
        assert driven.executor.next_check_s() is not None

        # Until they are gone there is no room for another.
        clock.ahead_s = END_GRACE_S + 1

        assert isinstance(driven.run("pid", is_fresh=True), msg.Succeeded)


def test_a_resource_that_raises_fails_the_attempt_and_is_tried_again(tmp_path: Path) -> None:
    class Fragile(Resource):
        def open(self) -> str:
            if (tmp_path / "opened").exists():
                return "the open one"
            (tmp_path / "opened").touch()
            raise ConnectionError("not yet")

        def close(self) -> None:
            raise ConnectionError("gone")

    def use(fragile: Any) -> str:
        return str(fragile)

    with DrivenProcesses(tmp_path, flow_of(use, resources={"fragile": Fragile()})) as driven:
        first = driven.run("use")
        assert isinstance(first, msg.Failed)
        assert first.failure.message == "not yet"
        assert driven.value("use") == b'"the open one"'


ORPHAN = """
import socket

from ostinato.runtime.child import Child

coordinator, child = socket.socketpair()
child.sendall(b"a report that nobody reads")
coordinator.close()
Child(child, {}, {}).serve()
"""


def test_a_child_whose_coordinator_was_killed_with_reports_unread_ends_quietly() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ORPHAN], capture_output=True, text=True, check=False, timeout=30
    )

    assert ended.returncode == 0
