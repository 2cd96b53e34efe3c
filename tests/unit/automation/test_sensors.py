"""Event sensors are called when they are due, and what they ask for becomes runs, once."""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ostinato.automation import sensors as sensors_module
from ostinato.automation.sensors import SensorDriver
from ostinato.client.local import LocalClient
from ostinato.clock import VirtualClock
from ostinato.engine.events import RunEnded
from ostinato.errors import SensorNotFound
from ostinato.model.sensor_state import SensorState, TickRow
from ostinato.model.state import RunState
from ostinato.project.discovery import find_project
from ostinato.project.target import Target
from ostinato.store.protocol import RunFilter
from ostinato.store.records import Batch, EventRow, NewRun, RunRow, RunUpdate
from ostinato.store.sqlite import open_store
from tests.unit.executors.projects import served

START_US = 1_750_000_000_000_000
SECOND_US = 1_000_000

FLOWS = """
from ostinato import RunRequest, SkipReason, Variable, flow, run_status_sensor, sensor

@flow
def load(path: str = "", size: int = 0): pass

@flow
def report(of: str = ""): pass
"""


class House:
    """A project with its code in force, a store, and a driver of its sensors."""

    def __init__(self, folder: Path, closing: ExitStack) -> None:
        self.folder = folder
        (folder / "flows").mkdir()
        (folder / "ostinato.yaml").write_text("name: shop\n")
        self.project = find_project(Target(path=folder))
        self.clock = VirtualClock(START_US)
        self.store = open_store(folder / "store.db", durability="relaxed", clock=self.clock)
        closing.callback(self.store.close)
        self.client = LocalClient(self.store, values_root=folder, logs_root=folder)
        self.code = closing.enter_context(served(folder))
        self.driver = SensorDriver(
            self.client, self.project, self.code, answer=self.answer, clock=self.clock
        )
        closing.callback(self.driver.stop)
        self.lease = self.store.register_coordinator()

    def answer(self, method: str, args: dict[str, Any]) -> Any:
        return {"value": f"{method} {args['key']}", "secrets": []}

    def write(self, sensors: str) -> None:
        """Put code in force."""
        (self.folder / "flows" / "all.py").write_text(FLOWS + sensors)
        change = self.code.load()
        assert change.problems == ()

    def turn(self, seconds: float = 0.0) -> None:
        """Let time pass, and have what is due called."""
        self.clock.advance_to(self.clock.now_us() + int(seconds * SECOND_US))
        self.driver.turn()
        self.driver.settle()

    def state(self, name: str = "looks") -> SensorState:
        return self.client.sensors.state("shop", name)

    def ticks(self, name: str = "looks") -> list[TickRow]:
        """Return ticks, oldest first."""
        return self.client.sensors.ticks("shop", name)[::-1]

    def runs(self, flow: str = "") -> list[RunRow]:
        """Return runs, oldest first."""
        return self.client.runs(RunFilter(flow=flow), limit=1000)[0][::-1]

    def end(self, flow: str, state: RunState = RunState.SUCCEEDED, reason: str = "") -> RunRow:
        """Record a run that has ended."""
        new = NewRun("shop", flow, "v1", params=b'{"size":7}')
        run = self.store.create_runs([new], owner=self.lease)[0]
        batch = Batch()
        batch.runs.append(RunUpdate(int(state), reason, 1, 2, 0, run.id))
        batch.events.append(
            EventRow(run.id, "", "", 2, RunEnded(self.clock.now_us(), state.label, reason))
        )
        self.store.commit(batch, self.lease)
        return run


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as closing:
        yield House(tmp_path, closing)


COUNTS = """
@sensor(flow=load, minimum_interval=10, tags=["s"])
def looks(context):
    number = int(context.cursor or 0) + 1
    context.update_cursor(str(number))
    print("looked", number)
    return RunRequest(f"n{number}", params={"path": str(number)}, tags=["r"])
"""


def test_a_sensor_is_called_again_and_again_from_its_cursor(house: House) -> None:
    house.write(COUNTS)

    for seconds in (0, 9, 1, 10):
        house.turn(seconds)

    assert [run.logical_key for run in house.runs()] == [f"sensor:looks:n{n}" for n in (1, 2, 3)]
    assert house.state().cursor == "3"
    assert house.state().last_run_key == "n3"
    assert [(tick.outcome, tick.runs, tick.output) for tick in house.ticks()] == [
        ("requested", 1, f"looked {n}\n") for n in (1, 2, 3)
    ]


def test_a_run_says_where_it_comes_from(house: House) -> None:
    house.write(COUNTS)

    house.turn()

    (run,) = house.runs()
    assert (run.home, run.trigger, run.tags) == ("service", "sensor", ("sensor:looks", "s", "r"))
    assert run.manifest_version == house.code.flows["load"].version
    assert msgspec.json.decode(run.params) == {"path": "1", "size": 0}
    assert run.logical_date_us == START_US
    assert house.ticks()[0].run_ids == str(run.id)


def test_a_known_run_key_makes_no_run(house: House) -> None:
    house.write(COUNTS)
    house.turn()
    house.client.sensors.set_cursor("shop", "looks", None)

    house.turn(10)

    assert len(house.runs()) == 1
    assert [(tick.runs, tick.known) for tick in house.ticks()] == [(1, 0), (0, 1)]


def test_runs_without_a_key_are_made_each_time_and_not_doubled_by_a_repeated_tick(
    house: House,
) -> None:
    house.write(
        "@sensor(flow=load, minimum_interval=10)\n"
        "def looks(): return [RunRequest(), RunRequest()]\n"
    )
    house.turn()
    before = house.state()
    # Whoever made the tick was killed behind its runs: what it kept is not there.
    assert [run.logical_key for run in house.runs()] == ["sensor:looks:#1.0", "sensor:looks:#1.1"]
    with house.store._database.writing() as connection:
        connection.execute("UPDATE sensors SET number = 0, ticked_us = 0")
        connection.execute("DELETE FROM sensor_ticks")

    house.turn(10)

    assert len(house.runs()) == 2
    house.turn(10)
    assert len(house.runs()) == 4
    assert house.state().number == before.number + 1


def test_why_nothing_was_asked_for_is_kept(house: House) -> None:
    house.write("@sensor(flow=load, minimum_interval=1)\ndef looks(): return SkipReason('quiet')\n")

    for _ in range(3):
        house.turn(1)

    assert [(tick.outcome, tick.reason, tick.times) for tick in house.ticks()] == [
        ("skipped", "quiet", 3)
    ]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("1 / 0", r"flows/all.py:12: ZeroDivisionError: division by zero"),
        ("return 7", "returned 7"),
        ("return RunRequest(params={'paht': 'x'})", "flow 'load' has no parameter 'paht'"),
        ("return RunRequest(params={'size': 'x'})", "parameter 'size' of flow 'load'"),
        ("import os; os._exit(1)", "its process ended under it"),
        ("import time; time.sleep(100)", r"flows/all.py:12: Timeout: it took longer than 0.2 s"),
    ],
)
def test_a_failed_tick_says_why_and_changes_nothing_else(
    house: House, body: str, reason: str
) -> None:
    house.write(
        "@sensor(flow=load, minimum_interval=10, timeout=0.2)\n"
        f"def looks(context):\n    context.update_cursor('9')\n    {body}\n" + OTHER
    )

    house.turn()

    (tick,) = house.ticks()
    assert tick.outcome == "failed"
    assert reason in tick.reason
    assert (house.state().cursor, house.state().failures) == (None, 1)
    assert [run.logical_key for run in house.runs()] == ["sensor:other:k"]


OTHER = """
@sensor(flow=load)
def other(): return RunRequest("k")
"""


def test_a_flow_that_is_not_there_fails_the_tick(house: House) -> None:
    (house.folder / "flows" / "all.py").write_text(
        FLOWS + "@sensor(flow='laod')\ndef looks(): return RunRequest('k')\n"
    )
    house.code.load()

    house.turn()

    assert house.ticks()[0].reason == "there is no flow 'laod' (did you mean 'load'?)"


def test_a_sensor_that_fails_is_called_less_and_less_often(house: House) -> None:
    house.write("@sensor(flow=load, minimum_interval=10)\ndef looks(): 1 / 0\n")
    moments: list[int] = []

    for _ in range(16):
        before = house.state().number if moments else 0
        house.turn(10)
        if house.state().number != before:
            moments.append((house.clock.now_us() - START_US) // SECOND_US)

    assert moments == [10, 30, 70, 150]
    assert house.state().failures == 4


def test_a_tick_that_goes_well_ends_the_waiting(house: House) -> None:
    flag = house.folder / "flag"
    house.write(
        "import os\n@sensor(flow=load, minimum_interval=10)\n"
        f"def looks():\n    assert os.path.exists({str(flag)!r})\n"
    )
    house.turn()
    flag.touch()

    house.turn(20)
    house.turn(10)

    assert [tick.outcome for tick in house.ticks()] == ["failed", "skipped"]
    assert (house.state().failures, house.ticks()[1].times) == (0, 2)


def test_a_paused_sensor_is_not_called_until_it_is_resumed(house: House) -> None:
    house.write(COUNTS)
    house.turn()
    house.client.sensors.pause("shop", "looks")

    house.turn(100)
    assert len(house.ticks()) == 1
    house.client.sensors.resume("shop", "looks")
    house.turn()

    assert len(house.ticks()) == 2


def test_a_sensor_may_begin_paused(house: House) -> None:
    house.write("@sensor(flow=load, paused=True)\ndef looks(): return RunRequest('k')\n")

    house.turn()

    assert house.state().is_paused
    assert house.runs() == []


def test_what_others_have_driven_goes_on_at_its_time(house: House) -> None:
    house.write(COUNTS)
    house.turn()
    house.clock.advance_to(START_US + 4 * SECOND_US)
    second = SensorDriver(house.client, house.project, house.code, clock=house.clock)

    wait_s = second.turn()
    second.settle()

    assert len(house.ticks()) == 1
    assert wait_s == pytest.approx(5.0)
    house.clock.advance_to(START_US + 10 * SECOND_US)
    second.turn()
    second.settle()
    assert len(house.ticks()) == 2
    second.stop()


def test_only_the_active_one_drives(house: House) -> None:
    house.write(COUNTS)
    idle = SensorDriver(house.client, house.project, house.code, is_active=lambda: False)

    idle.turn()

    assert house.client.sensors.states("shop") == []


def test_changed_code_is_called_and_removed_code_is_not(house: House) -> None:
    house.write(COUNTS)
    house.turn()
    house.write(COUNTS.replace("looked", "saw"))
    house.turn(10)
    house.write("")
    house.turn(10)

    assert [tick.output for tick in house.ticks()] == ["looked 1\n", "saw 2\n"]
    house.write(COUNTS)
    house.turn()
    assert [run.logical_key for run in house.runs()] == [f"sensor:looks:n{n}" for n in (1, 2, 3)]


def test_code_that_is_replaced_during_a_tick_finishes_it(house: House) -> None:
    fifo = house.folder / "fifo"
    os.mkfifo(fifo)
    house.write(
        f"@sensor(flow=load)\ndef looks():\n    return RunRequest(open({str(fifo)!r}).read())\n"
    )
    house.driver.turn()
    with open(fifo, "w") as writing:
        house.write("@sensor(flow=load)\ndef looks(): pass\n")
        house.driver.turn()
        writing.write("old")

    house.driver.settle()

    assert [run.logical_key for run in house.runs()] == ["sensor:looks:old"]


def test_connections_and_variables_are_there(house: House) -> None:
    house.write("@sensor(flow=load)\ndef looks(): return RunRequest(Variable.get('bucket'))\n")

    house.turn()

    assert [run.logical_key for run in house.runs()] == ["sensor:looks:variable bucket"]


def test_a_tick_that_was_overtaken_is_not_kept(house: House) -> None:
    fifo = house.folder / "fifo"
    os.mkfifo(fifo)
    house.write(
        "@sensor(flow=load)\n"
        f"def looks(context):\n    context.update_cursor(open({str(fifo)!r}).read())\n"
    )
    house.driver.turn()
    with open(fifo, "w") as writing:
        house.client.sensors.set_cursor("shop", "looks", "mine")
        writing.write("its own")
    house.driver.settle()

    assert house.state().cursor == "mine"
    assert house.ticks() == []


def test_it_serves_until_it_is_drained(house: House) -> None:
    house.write(OTHER)
    thread = threading.Thread(target=house.driver.serve)
    thread.start()
    while not house.runs():
        os.sched_yield()

    house.driver.drain()
    thread.join()

    assert house.driver.health().is_ready


# Ends of runs

FOLLOWS = """
@run_status_sensor(run_status=["failed", "succeeded"], flow=report)
def looks(context):
    run = context.run
    return RunRequest(run.id, params={"of": f"{run.name} {run.state} {run.reason} {run.params}"})
"""


def told(house: House) -> list[str]:
    return [msgspec.json.decode(run.params)["of"] for run in house.runs("report")]


def test_ends_of_runs_are_told_once_each_in_their_order(house: House) -> None:
    house.end("load")
    house.write(FOLLOWS)
    house.turn()

    house.end("load")
    house.end("load", RunState.FAILED, "2 tasks failed")
    house.end("load", RunState.CANCELLED)
    house.turn(1)
    house.turn(1)

    assert told(house) == [
        "load#2 succeeded  {'size': 7}",
        "load#3 failed 2 tasks failed {'size': 7}",
    ]
    assert [tick.runs for tick in house.ticks()] == [1, 1]


def test_its_own_runs_do_not_count_unless_they_are_named(house: House) -> None:
    house.write(FOLLOWS + FOLLOWS.replace("looks", "named").replace("flow=report", NAMED))
    house.turn()
    house.end("report")

    house.turn(1)

    assert house.ticks() == []
    assert len(house.ticks("named")) == 1


NAMED = "flow=load, monitored_flows=[report]"


def test_ends_while_nobody_drives_are_told_later(house: House) -> None:
    house.write(FOLLOWS)
    house.turn()
    for _ in range(sensors_module._ENDS_IN_A_ROW + 5):
        house.end("load")

    second = SensorDriver(house.client, house.project, house.code, clock=house.clock)
    for _ in range(3):
        second.turn()
        second.settle()
        house.clock.advance_to(house.clock.now_us() + SECOND_US)
    second.stop()

    assert len(told(house)) == sensors_module._ENDS_IN_A_ROW + 5


def test_a_run_whose_tick_fails_is_told_again_and_then_passed_over(house: House) -> None:
    house.write(
        "@run_status_sensor\ndef looks(context):\n"
        "    assert context.run.name != 'load#1'\n    print(context.run.name)\n"
    )
    house.turn()
    house.end("load")
    house.end("load")

    for _ in range(6):
        house.turn(2)

    assert [(tick.outcome, tick.output) for tick in house.ticks()] == [
        ("failed", ""),
        ("failed", ""),
        ("failed", ""),
        ("skipped", "load#2\n"),
    ]


def test_the_log_is_not_read_twice(house: House) -> None:
    house.write(FOLLOWS)
    house.turn()
    before = house.state().cursor
    house.end("load", RunState.CANCELLED)

    house.turn(60)
    house.turn(60)

    assert house.state().cursor == house.store.event_cursor() != before
    assert house.ticks() == []


def test_an_unknown_sensor_is_named(house: House) -> None:
    house.write(COUNTS)
    house.turn()

    with pytest.raises(SensorNotFound, match=r"no sensor 'lokos' .*did you mean 'looks'"):
        house.client.sensors.pause("shop", "lokos")
