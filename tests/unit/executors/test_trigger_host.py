"""This module tests where triggers wait: real processes and threads, killed under them."""

import asyncio
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ostinato import Trigger
from ostinato.errors import UsageError
from ostinato.executors.code_host import CodeHost
from ostinato.executors.trigger_host import MAX_LOSSES, TriggerHost, serve_in_thread
from ostinato.model.manifest import Manifest, encode_manifest
from ostinato.project.loading import Loaded
from ostinato.runtime import messages as msg
from ostinato.runtime import trigger_loop

#: A test that waits longer hangs.
WAIT_S = 20.0


class Echo(Trigger):
    value: Any = None
    seconds: float = 0.0

    async def run(self) -> Any:
        await asyncio.sleep(self.seconds)
        return self.value


class Once(Trigger):
    """End the process in the first try of all, and return in the next."""

    marker: str

    async def run(self) -> str:
        if not Path(self.marker).exists():
            Path(self.marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "again"


class Deadly(Trigger):
    async def run(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Blocking(Trigger):
    async def run(self) -> None:
        time.sleep(3600)


class Raising(Trigger):
    async def run(self) -> None:
        message = "no such table"
        raise LookupError(message)


class Asking(Trigger):
    method: str

    async def run(self) -> Any:
        return await self.call(self.method, name="x")


class Driven:
    """A host, and what it reports."""

    def __init__(self, host: TriggerHost) -> None:
        self.host = host
        self.selector = selectors.DefaultSelector()
        host.register(self.selector)
        self.fired: dict[int, Any] = {}
        self.broken: dict[int, str] = {}

    def drive(self, until: Callable[[], bool]) -> None:
        end_s = time.monotonic() + WAIT_S
        while True:
            assert time.monotonic() < end_s, (self.fired, self.broken)
            for report in self.host.poll():
                if isinstance(report, msg.Fired):
                    self.fired[report.token] = msgspec.json.decode(report.payload)
                else:
                    self.broken[report.token] = report.failure.message
            if until():
                return
            wait_s = 0.0 if self.host.has_work() else self.host.next_check_s()
            for key, _ in self.selector.select(1.0 if wait_s is None else min(wait_s, 1.0)):
                key.data()


def answer(token: int, method: str, args: dict[str, Any]) -> Any:
    if method == "refuse":
        message = "not for triggers"
        raise UsageError(message)
    return {"token": token, **args}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "triggers.log"


@pytest.fixture
def processes(log: Path) -> Iterator[Driven]:
    manifest = Manifest("test", ())
    loaded = Loaded({}, manifest, encode_manifest(manifest), "v")
    code_host = CodeHost.fork(lambda: loaded)
    code_host.loaded()
    host = TriggerHost(lambda peer: code_host.fork_triggers(peer, str(log)), answer)
    driven = Driven(host)
    yield driven
    host.close()
    driven.selector.close()
    code_host.close()


@pytest.fixture
def threads() -> Iterator[Driven]:
    host = TriggerHost(serve_in_thread, answer)
    driven = Driven(host)
    yield driven
    host.close()
    driven.selector.close()


@pytest.fixture(params=["processes", "threads"])
def driven(request: pytest.FixtureRequest) -> Driven:
    found: Driven = request.getfixturevalue(request.param)
    return found


def test_trigger_that_returns_is_reported_with_what_it_returned(driven: Driven) -> None:
    driven.host.start(1, Echo(value={"rows": [1, 2]}).spec())
    driven.host.start(2, Raising().spec())

    driven.drive(lambda: len(driven.fired) == 1 and len(driven.broken) == 1)

    assert driven.fired == {1: {"rows": [1, 2]}}
    assert driven.broken == {2: "no such table"}


def test_trigger_asks_the_coordinator(driven: Driven) -> None:
    driven.host.start(7, Asking(method="connection").spec())
    driven.host.start(8, Asking(method="refuse").spec())

    driven.drive(lambda: len(driven.fired) == 1 and len(driven.broken) == 1)

    assert driven.fired == {7: {"token": 7, "name": "x"}}
    assert driven.broken == {8: "not for triggers"}


def test_stopped_trigger_is_never_reported(driven: Driven) -> None:
    driven.host.start(1, Echo(value=1, seconds=3600).spec())
    driven.host.start(2, Echo(value=2).spec())
    driven.drive(lambda: 2 in driven.fired)

    driven.host.stop(1)
    driven.host.start(3, Echo(value=3).spec())
    driven.drive(lambda: 3 in driven.fired)

    assert driven.fired == {2: 2, 3: 3}
    assert driven.broken == {}


def test_trigger_that_is_gone_or_was_stored_otherwise_is_broken(driven: Driven) -> None:
    spec = Echo().spec()
    driven.host.start(1, msgspec.structs.replace(spec, type="nowhere:Trigger"))
    driven.host.start(2, msgspec.structs.replace(spec, type="os:getpid"))
    driven.host.start(3, msgspec.structs.replace(spec, args={"unknown": 1}))

    driven.drive(lambda: len(driven.broken) == 3)

    assert "cannot be found: No module named 'nowhere'" in driven.broken[1]
    assert driven.broken[2] == "os:getpid is no trigger"
    assert "was stored with other fields" in driven.broken[3]


def test_triggers_start_again_when_their_process_is_killed(
    processes: Driven, tmp_path: Path
) -> None:
    processes.host.start(1, Echo(value="slow", seconds=0.3).spec())
    processes.host.start(2, Once(marker=str(tmp_path / "marker")).spec())

    processes.drive(lambda: len(processes.fired) == 2)

    assert processes.fired == {1: "slow", 2: "again"}


@pytest.mark.slow
def test_trigger_that_ends_its_process_again_and_again_is_broken(processes: Driven) -> None:
    processes.host.start(1, Deadly().spec())

    processes.drive(lambda: bool(processes.broken))

    times = MAX_LOSSES + 1
    assert processes.broken == {1: f"the process of its trigger ended under it {times} times"}


@pytest.mark.slow
def test_trigger_that_blocks_the_loop_is_named_and_the_others_go_on(
    processes: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes.host.start(1, Echo(value=1, seconds=0.5).spec())
    processes.host.start(2, Blocking().spec())

    processes.drive(lambda: bool(processes.broken) and bool(processes.fired))

    assert processes.fired == {1: 1}
    assert processes.broken[2].startswith("it blocked the loop of all triggers for 10 s at ")
    assert "test_trigger_host.py" in processes.broken[2]
    assert trigger_loop.BLOCKED_S == 10


def test_output_of_triggers_goes_to_a_file(processes: Driven, log: Path) -> None:
    processes.host.start(1, Printing(text="looked").spec())

    processes.drive(lambda: 1 in processes.fired)

    assert log.read_text() == "looked\n"


class Printing(Trigger):
    text: str

    async def run(self) -> None:
        print(self.text)
