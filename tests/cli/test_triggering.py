"""This module tests runs that are asked for and left to the service."""

from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from tests.cli.conftest import TIMEOUT_S, Ostinato

pytestmark = pytest.mark.slow


@pytest.fixture
def shop(ostinato: Ostinato, folder: Path) -> Path:
    """A project with a flow that has a parameter."""
    (folder / "ostinato.yaml").write_text("version: 1\nname: shop\n")
    (folder / "flows").mkdir()
    (folder / "flows" / "etl.py").write_text(
        "from ostinato import dag, task\n\n\n"
        "@task\ndef load(rows):\n    print(f'{rows} rows')\n\n\n"
        "@dag\ndef etl(rows: int = 3):\n    load(rows)\n\n\netl()\n"
    )
    return folder


def test_run_that_is_asked_for_waits_for_the_service(shop: Path, ostinato: Ostinato) -> None:
    asked = ostinato("trigger", "etl", "-p", "rows=7", "--date", "2025-01-31", "--format", "json")

    run = ostinato("runs", "--format", "json").json[0]
    assert asked.json["is_new"] is True
    assert run["id"] == asked.json["id"]
    assert (run["state"], run["params"], run["trigger"]) == ("queued", {"rows": 7}, "manual")
    assert run["logical_date"] == "2025-01-31T00:00:00.000000+00:00"
    assert run["is_interrupted"] is True


def test_the_same_key_gives_the_same_run(shop: Path, ostinato: Ostinato) -> None:
    first = ostinato("trigger", "etl", "--key", "order-17", "--format", "json").json

    again = ostinato("trigger", "etl", "--key", "order-17")

    assert again.err == "note: no worker is alive; it begins with ostinato dev or ostinato worker\n"
    assert again.out == f"◌ {first['name']} was asked for before: it is queued\n"
    assert len(ostinato("runs", "--format", "json").json) == 1


def test_what_fits_no_flow_is_refused(shop: Path, ostinato: Ostinato) -> None:
    unknown = ostinato("trigger", "elt", code=2)
    wrong = ostinato("trigger", "etl", "-p", "rows=many", code=2)

    assert unknown.err == "error: there is no flow 'elt' (did you mean 'etl'?)\n"
    assert "parameter 'rows' of flow 'etl'" in wrong.err
    assert ostinato("runs").out == "no such runs\n"


def test_waiting_ends_with_the_run(
    shop: Path, ostinato: Ostinato, begin: Callable[..., "Popen[str]"]
) -> None:
    waiting = begin("trigger", "etl", "--wait")
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "◌ etl#1 is asked for\n"

    ostinato("resume", "etl#1")

    out, _ = waiting.communicate(timeout=TIMEOUT_S)
    assert "✔ etl#1 succeeded" in out
    assert waiting.returncode == 0


CREATE = ("backfill", "create", "etl", "--from", "2025-01-30", "--to", "2025-02-01")


def test_backfill_says_beforehand_what_it_would_do(shop: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl", "--date", "2025-01-31")

    plan = ostinato(*CREATE, "--every", "day", "--backwards", "--dry-run").out
    empty = ostinato("backfill", "list").out

    assert plan.splitlines() == [
        "2025-02-01  run",
        "2025-01-31  skip  #1 succeeded",
        "2025-01-30  run",
        "2 of 3 dates would be run; nothing was done",
    ]
    assert empty == "no backfills\n"


def test_backfill_is_created_followed_and_steered(shop: Path, ostinato: Ostinato) -> None:
    made = ostinato(*CREATE, "--every", "day", "-p", "rows=9", "--max-active", "2")
    ostinato("backfill", "pause", "1")

    shown = ostinato("backfill", "show").out.splitlines()
    listed = ostinato("backfill", "list").out.splitlines()[1].split()
    found = ostinato("backfill", "show", "1", "--format", "json").json
    again = ostinato("backfill", "pause", "1", code=2).err

    assert made.out == "backfill 1 of etl begins: 3 dates\n"
    assert made.err.startswith("note: no scheduler is alive")
    assert shown[0] == "backfill 1 of etl is paused, 0 of 3 dates done"
    assert shown[1].startswith("2025-01-30 to 2025-02-01, reprocesses none, at most 2 at a time")
    assert shown[2] == 'parameters: {"rows":9}'
    assert shown[3] == "     3 waiting    2025-01-30 to 2025-02-01"
    assert listed[:6] == ["1", "etl", "paused", "2025-01-30", "to", "2025-02-01"]
    assert (found["counts"], len(found["dates"])) == ({"waiting": 3}, 3)
    assert again == "error: backfill 1 is paused; there is nothing to pause\n"


def test_backfill_of_what_has_no_dates_is_refused(shop: Path, ostinato: Ostinato) -> None:
    none = ostinato(*CREATE, code=2).err
    unknown = ostinato("backfill", "show", "7", code=2).err

    assert "names no moments (say which are meant, such as --every day)" in none
    assert "there is no backfill '7'" in unknown
