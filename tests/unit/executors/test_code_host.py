"""The code host loads users' code, says what went wrong, and ends with all it started."""

import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from ostinato.errors import LoadError, SettingsError
from ostinato.executors.code_host import CodeHost
from ostinato.executors.process import ProcessExecutor
from ostinato.project.loading import Loaded
from ostinato.runtime import messages as msg
from tests.unit.executors.driven import DrivenProcesses, await_end, is_alive, loaded, write
from tests.unit.runtime.attempts import flow_of


def nothing() -> None:
    return


FLOW = flow_of(nothing)


def test_it_sends_the_definitions() -> None:
    host = CodeHost.fork(lambda: loaded(FLOW))
    try:
        assert host.loaded() == (loaded(FLOW).data, loaded(FLOW).version)
        assert [flow.name for flow in host.manifest.flows] == ["flow"]
        assert host.is_loaded
    finally:
        host.close()


def test_it_is_another_process(tmp_path: Path) -> None:
    def load() -> Loaded:
        write(tmp_path / "pid", str(os.getpid()))
        return loaded(FLOW)

    host = CodeHost.fork(load)
    try:
        host.loaded()
        assert int((tmp_path / "pid").read_text()) == host.pid != os.getpid()
    finally:
        host.close()


def test_an_error_while_loading_is_raised_as_it_was() -> None:
    def load() -> Loaded:
        raise SettingsError("ostinato.yaml:3: unknown key 'flow'")

    with pytest.raises(SettingsError, match="unknown key 'flow'"):
        CodeHost.fork(load).loaded()


def test_a_file_that_exits_the_process_is_an_error() -> None:
    def load() -> Loaded:
        os._exit(0)

    with pytest.raises(LoadError, match=r"ended: did one call os\._exit\?"):
        CodeHost.fork(load).loaded()


def test_a_file_that_waits_for_ever_is_an_error(tmp_path: Path) -> None:
    def load() -> Loaded:
        sleeper = subprocess.Popen(["sleep", "1000"])
        write(tmp_path / "pids", f"{os.getpid()} {sleeper.pid}")
        threading.Event().wait()
        raise AssertionError

    host = CodeHost.fork(load)
    while not (tmp_path / "pids").exists():
        os.sched_yield()

    with pytest.raises(LoadError, match=r"longer than 0\.01 s"):
        host.loaded(timeout_s=0.01)

    for pid in (tmp_path / "pids").read_text().split():
        await_end(int(pid))


def test_a_file_that_asks_for_input_gets_none() -> None:
    def load() -> Loaded:
        try:
            input()
        except EOFError:
            return loaded(FLOW)
        raise AssertionError

    host = CodeHost.fork(load)
    try:
        host.loaded()
    finally:
        host.close()


def test_it_handles_signals_as_a_process_of_its_own() -> None:
    found: list[object] = []

    def load() -> Loaded:
        handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
        raise SettingsError(str(handlers == [signal.SIG_DFL] * 2))

    before = signal.signal(signal.SIGTERM, lambda *_: found.append("handled"))
    try:
        with pytest.raises(SettingsError, match="True"):
            CodeHost.fork(load).loaded()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_a_file_starts_lives_as_long_as_the_host(tmp_path: Path) -> None:
    def load() -> Loaded:
        server = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        write(tmp_path / "pid", str(server.pid))
        return loaded(FLOW)

    with DrivenProcesses(tmp_path, FLOW, load=load) as driven:
        server = int((tmp_path / "pid").read_text())
        for _ in range(3):
            driven.run("nothing", is_fresh=True)
        assert is_alive(server)

    await_end(server)


def test_closing_it_twice_is_fine() -> None:
    host = CodeHost.fork(lambda: loaded(FLOW))
    host.loaded()

    host.close()
    host.close()

    assert host.pid == 0


def test_a_host_that_is_gone_takes_no_request() -> None:
    host = CodeHost.fork(lambda: loaded(FLOW))
    host.loaded()
    os.kill(host.pid, signal.SIGKILL)
    await_end(host.pid)
    ours, theirs = socket.socketpair()

    host.fork_child(1, theirs)

    assert host.read_nowait() is None
    host.close()
    ours.close()
    theirs.close()


def once(folder: Path, again: str) -> Loaded:
    """Load, but not a second time."""
    if (folder / "loaded").exists():
        if again == "error":
            raise LoadError("flow.py:3: invalid syntax")
        os._exit(1)
    (folder / "loaded").touch()
    return loaded(FLOW)


@pytest.mark.parametrize(
    ("again", "message"),
    [("error", r"flow\.py:3: invalid syntax"), ("exit", "ended when it was started again")],
)
def test_files_that_cannot_be_loaded_again_end_the_run(
    tmp_path: Path, again: str, message: str
) -> None:
    with DrivenProcesses(tmp_path, FLOW, load=lambda: once(tmp_path, again)) as driven:
        driven.run("nothing")

        os.kill(driven.host.pid, signal.SIGKILL)

        with pytest.raises(LoadError, match=message):
            driven.until(lambda: False)


def test_nothing_is_taken_until_the_files_are_loaded_again(tmp_path: Path) -> None:
    read, write_end = os.pipe()

    def load() -> Loaded:
        if (tmp_path / "loaded").exists():
            os.read(read, 1)
        (tmp_path / "loaded").touch()
        return loaded(FLOW)

    with DrivenProcesses(tmp_path, FLOW, load=load) as driven:
        assert isinstance(driven.executor, ProcessExecutor)
        first = driven.host.pid
        os.kill(first, signal.SIGKILL)
        driven.until(lambda: driven.host.pid != first)

        assert driven.executor.credits() == 0
        fresh = driven.start("nothing", is_fresh=True)[0]
        os.write(write_end, b".")
        driven.until(lambda: driven.executor.credits() > 0)

        assert isinstance(driven.run("nothing"), msg.Succeeded)
        assert isinstance(driven.report(fresh), msg.Succeeded)
    os.close(read)
    os.close(write_end)
