"""This module tests what people see of schedules, and how they steer them."""

from pathlib import Path

import pytest

from tests.cli.conftest import Ostinato

pytestmark = pytest.mark.slow

CODE = """
from datetime import timedelta
from ostinato import dag, flow, task
from ostinato.schedules import Timetable

class Hours(Timetable):
    def __init__(self, hours):
        self.hours = hours
    def next(self, after):
        return after.replace(minute=0, second=0, microsecond=0) + timedelta(hours=self.hours)

class Broken(Timetable):
    def next(self, after):
        return after / 0

@task
def work(): ...

@dag(schedule="30 2 * * *", timezone="Europe/Berlin", schedule_params={"day": "monday"})
def nightly(day: str = "sunday"):
    work()

@dag(schedule=Hours(2))
def hours():
    work()

@dag(schedule=Broken())
def broken():
    work()

@flow(schedule="@once")
def first(): ...

nightly(), hours(), broken()
"""


@pytest.fixture
def shop(folder: Path) -> Path:
    """A project with schedules."""
    (folder / "ostinato.yaml").write_text("name: shop\n")
    (folder / "flows").mkdir()
    (folder / "flows" / "all.py").write_text(CODE)
    return folder


def test_all_schedules_are_listed_and_one_that_is_broken_is_told(
    shop: Path, ostinato: Ostinato
) -> None:
    listed = ostinato("schedules", "list")

    lines = [line.split("  ") for line in listed.out.splitlines()]
    assert [line[0] for line in lines] == ["FLOW", "broken", "first", "hours", "nightly"]
    assert "timetable Hours(hours=2)" in listed.out
    assert "all.py:14: TypeError: unsupported operand" in listed.err
    assert "no scheduler is alive" in listed.err


def test_coming_moments_say_for_which_data_their_runs_stand(shop: Path, ostinato: Ostinato) -> None:
    shown = ostinato("schedules", "next", "nightly", "--after", "2025-03-29", "-n", "3")
    as_json = ostinato(
        "schedules", "next", "hours", "--after", "2025-03-29", "-n", "2", "--format", "json"
    )

    assert [line[:29] for line in shown.out.splitlines()[1:]] == [
        "Sat 2025-03-29 02:30:00 CET  ",
        "Sun 2025-03-30 03:00:00 CEST ",
        "Mon 2025-03-31 02:30:00 CEST ",
    ]
    assert [each["at"][:16] for each in as_json.json] == ["2025-03-29T02:00", "2025-03-29T04:00"]
    assert as_json.json[1]["interval_start"][:16] == "2025-03-29T02:00"


def test_schedules_are_paused_and_go_on(shop: Path, ostinato: Ostinato) -> None:
    assert ostinato("schedules", "pause", "nightly").out == "nightly is paused\n"
    listed = ostinato("schedules", "list", "--format", "json").json
    assert {each["flow"] for each in listed if each["is_paused"]} == {"nightly"}

    ostinato("schedules", "resume", "--all")
    listed = ostinato("schedules", "list", "--format", "json").json
    assert not any(each["is_paused"] for each in listed)


def test_schedule_is_triggered_with_its_parameters(shop: Path, ostinato: Ostinato) -> None:
    ostinato("schedules", "trigger", "nightly")
    (run,) = ostinato("runs", "--format", "json").json

    assert (run["flow"], run["params"]) == ("nightly", {"day": "monday"})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("next", "nigtly"), "did you mean 'nightly'?"),
        (("next", "first"), "the schedule @once of 'first' has no moments of its own"),
        (("next", "broken"), "the timetable of 'broken' does not answer"),
        (("pause",), "name flows, or say --all"),
    ],
)
def test_wrong_words_are_told(
    shop: Path, ostinato: Ostinato, arguments: tuple[str, ...], said: str
) -> None:
    assert said in ostinato("schedules", *arguments, code=2).err
