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
