"""What sensors and messages ask for is run once each, whichever scheduler is killed when."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from ostinato.model.identity import RunId
from ostinato.project.discovery import find_project
from ostinato.project.target import Target
from ostinato.store.opening import open_store_of
from ostinato.store.protocol import RunFilter, Store

pytestmark = [pytest.mark.survival, pytest.mark.slow]

SOURCES = Path(__file__).resolve().parents[2] / "src"
TICKS, FILES, POSTS, KILLS = 50, 30, 30, 3
TIMEOUT_S = 90

FLOWS = """
import os

from ostinato import FileArrival, RunRequest, SkipReason, Webhook, flow, run_status_sensor, sensor


@flow
def counted(number: int = 0):
    pass


@flow(on=FileArrival("in/*.csv", stable_for_s=0))
def arrived(name: str = ""):
    pass


@flow(on=Webhook("orders"))
def posted(order: int = 0):
    pass


@sensor(flow=counted, minimum_interval=0.02)
def counts(context):
    number = int(context.cursor or 0)
    if number >= {ticks}:
        return SkipReason("all counted")
    context.update_cursor(str(number + 1))
    # One with a key, and one without.
    return [RunRequest(f"k{{number}}", params={{"number": number}}),
            RunRequest(params={{"number": -number}})]


@run_status_sensor(monitored_flows=[counted])
def tells(context):
    file = os.open("ledger.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{{context.run.id}}\\n".encode())
    os.close(file)
"""


@pytest.fixture(params=["sqlite", "postgres"])
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    settings = "name: shop\nstore: {durability: relaxed}\n"
    if request.param == "postgres":
        uri = request.getfixturevalue("postgres_store_uri")
        settings = f"name: shop\nstore: {{url: '{uri}', lease_s: 2}}\n"
    (tmp_path / "ostinato.yaml").write_text(settings)
    (tmp_path / "flows").mkdir()
    (tmp_path / "in").mkdir()
    (tmp_path / "flows" / "all.py").write_text(FLOWS.format(ticks=TICKS))
    return tmp_path


Begin = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def begin(project: Path) -> Iterator[Begin]:
    """Start a command; what still runs at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> "subprocess.Popen[bytes]":
        with open(project / f"{arguments[0]}.log", "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ostinato", *arguments],
                cwd=project,
                env={**os.environ, "PYTHONPATH": str(SOURCES)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Poll until something holds."""
    until_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < until_s, what
        time.sleep(0.02)


def params(store: Store, flow: str, name: str) -> list[object]:
    """Return a parameter of all runs of a flow, sorted."""
    found, _ = store.runs(RunFilter(flow=flow), limit=1000)
    return sorted(msgspec.json.decode(run.params)[name] for run in found)


def test_sensors_and_messages_survive_their_scheduler(project: Path, begin: Begin) -> None:
    chance = random.Random(7)
    schedulers = [begin("scheduler"), begin("scheduler")]
    begin("worker")
    with closing(open_store_of(find_project(Target(path=project)))) as store:
        wait_for(lambda: len(params(store, "counted", "number")) > 4, "the first runs")
        for number in range(KILLS):
            for one in range(number * 10, number * 10 + 10):
                # Renamed when it is whole: what is seen half written arrives once more.
                (project / "in" / f"{one}.part").write_text("x")
                (project / "in" / f"{one}.part").rename(project / "in" / f"{one}.csv")
                store.sensors.receive("shop", "webhook orders", f"m{one}", b'{"order":%d}' % one)
            time.sleep(chance.uniform(0.1, 0.6))
            victim = schedulers.pop(0)
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            schedulers.append(begin("scheduler"))

        def cursor() -> str | None:
            state = store.sensors.find("shop", "counts")
            return state.cursor if state is not None else None

        wait_for(lambda: cursor() == str(TICKS), "all ticks")
        wait_for(lambda: len(params(store, "arrived", "name")) >= FILES, "all files")
        wait_for(lambda: len(params(store, "posted", "order")) >= POSTS, "all messages")
        counted = {run.id for run in store.runs(RunFilter(flow="counted"), limit=1000)[0]}

        def told() -> Counter[RunId]:
            ledger = project / "ledger.txt"
            text = ledger.read_text() if ledger.exists() else ""
            return Counter(RunId(int(line)) for line in text.split())

        wait_for(lambda: told().keys() >= counted, "all ends")

        expected = sorted([*range(TICKS), *(-number for number in range(TICKS))])
        assert params(store, "counted", "number") == expected
        assert params(store, "arrived", "name") == sorted(f"{n}.csv" for n in range(FILES))
        assert params(store, "posted", "order") == list(range(POSTS))
        # One that was told when its scheduler was killed may be told again; no other is.
        assert sum(told().values()) - len(counted) <= KILLS
        assert store.check_integrity() == []
