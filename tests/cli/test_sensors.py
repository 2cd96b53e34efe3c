"""This module tests what people see of sensors, and how they steer them."""

from pathlib import Path

import pytest

from tests.cli.conftest import Ostinato

pytestmark = pytest.mark.slow

CODE = """
from ostinato import FileArrival, RunRequest, SkipReason, flow, run_failure_sensor, sensor

@flow(on=FileArrival("in/*.csv"))
def load(path: str = ""):
    print(path)

@sensor(flow=load, minimum_interval="1m")
def orders(context):
    print("looks behind", context.cursor)
    if context.cursor == "9":
        return SkipReason("nothing new")
    context.update_cursor("9")
    return RunRequest("k9", params={"path": "9.csv"})

@sensor(flow=load, paused=True)
def broken(context):
    raise ValueError("no such bucket")

@run_failure_sensor
def tell(context):
    print(context.run.name)
"""


@pytest.fixture
def shop(folder: Path) -> Path:
    """A project with sensors."""
    (folder / "ostinato.yaml").write_text("name: shop\n")
    (folder / "flows").mkdir()
    (folder / "flows" / "all.py").write_text(CODE)
    return folder


def test_all_that_may_ask_for_runs_is_listed(shop: Path, ostinato: Ostinato) -> None:
    listed = ostinato("sensors", "list").out.splitlines()

    assert [line.split("  ")[0].strip() for line in listed] == [
        "NAME",
        "broken",
        "files in/*.csv",
        "orders",
        "tell",
    ]
    assert listed[1].split()[1:] == ["30.0", "s", "load", "paused", "never"]
    assert listed[4].split()[1:] == ["run", "status", "-", "on", "never"]


def test_a_sensor_is_tried_out_and_nothing_is_kept(shop: Path, ostinato: Ostinato) -> None:
    tried = ostinato("sensors", "test", "orders")
    from_there = ostinato("sensors", "test", "orders", "--cursor", "9")

    assert tried.out.splitlines() == [
        "    looks behind None",
        'would run load k9 {"path":"9.csv"}',
        "would keep the cursor 9",
    ]
    assert from_there.out.splitlines()[-1] == "would run nothing: nothing new"
    assert ostinato("runs").out == "no such runs\n"


def test_a_broken_sensor_is_tried_out_with_its_line(shop: Path, ostinato: Ostinato) -> None:
    tried = ostinato("sensors", "test", "broken", code=1)
    as_json = ostinato("sensors", "test", "broken", "--format", "json", code=1).json

    assert "no such bucket" in tried.out
    assert "flows/all.py:18" in tried.out
    assert as_json["error"]["type"] == "ValueError"


def test_a_sensor_of_ends_is_tried_with_a_run(shop: Path, ostinato: Ostinato) -> None:
    ostinato("run", "load", "-p", "path=x")

    assert ostinato("sensors", "test", "tell").out == "    load#1\nwould run nothing\n"
    wrong = ostinato("sensors", "test", "orders", "--run", "last", code=2)
    assert wrong.err == "error: sensor 'orders' is called by time, not for a run\n"


def test_a_sensor_is_steered_before_any_scheduler_has_seen_it(
    shop: Path, ostinato: Ostinato
) -> None:
    assert ostinato("sensors", "pause", "orders").out == "orders is paused\n"
    assert ostinato("sensors", "cursor", "orders").out == "\n"
    assert ostinato("sensors", "cursor", "orders", "--set", "8").out == "orders goes on from 8\n"
    assert ostinato("sensors", "cursor", "orders").out == "8\n"
    listed = {each["name"]: each for each in ostinato("sensors", "list", "--format", "json").json}
    assert (listed["orders"]["is_paused"], listed["orders"]["cursor"]) == (True, "8")
    assert ostinato("sensors", "resume", "orders").out == "orders goes on\n"
    assert ostinato("sensors", "pause", "files in/*.csv").out == "files in/*.csv is paused\n"
    assert ostinato("sensors", "ticks", "orders").out == "no ticks\n"


def test_a_name_that_is_none_is_said(shop: Path, ostinato: Ostinato) -> None:
    wrong = ostinato("sensors", "pause", "ordres", code=2)

    assert wrong.err == "error: there is no sensor 'ordres' (did you mean 'orders'?)\n"
