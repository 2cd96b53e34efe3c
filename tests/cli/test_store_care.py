"""This module tests the commands that look after the store."""

from pathlib import Path

import pytest

from tests.cli.conftest import Ostinato

pytestmark = pytest.mark.slow


@pytest.fixture
def shop(ostinato: Ostinato, folder: Path) -> Path:
    """A project with three runs."""
    (folder / "ostinato.yaml").write_text("version: 1\nname: shop\n")
    (folder / "flows").mkdir()
    (folder / "flows" / "etl.py").write_text(
        "from ostinato import dag, task\n\n\n"
        "@task\ndef load():\n    print('loaded')\n\n\n"
        "@dag\ndef etl():\n    load()\n\n\netl()\n"
    )
    ostinato("run", "etl", "--date", "2025-01-01..2025-01-03")
    return folder


def test_store_is_shown_checked_and_pruned(shop: Path, ostinato: Ostinato) -> None:
    status = ostinato("db", "status").out
    before = ostinato("db", "prune").out
    plan = ostinato("db", "prune", "--per-flow", "1", "--dry-run").out.splitlines()
    still = len(ostinato("runs", "--format", "json").json)
    pruned = ostinato("db", "prune", "--per-flow", "1", "--format", "json").json

    assert status.startswith("SQLite ")
    assert "           3 runs\n" in status
    assert status.endswith("all is kept (see retention in the settings)\n")
    assert before == "nothing is old: all is kept (see retention in the settings)\n"
    assert plan == [
        "           2 runs",
        "           2 runs of etl",
        "would be deleted; nothing was done",
    ]
    assert still == 3
    assert pruned["runs"] == 2
    assert [run["number"] for run in ostinato("runs", "--format", "json").json] == [3]
    assert len(list((shop / ".ostinato" / "logs").iterdir())) == 1
    assert ostinato("db", "check").out == "the store is sound\n"


def test_store_is_made_and_settings_hold(shop: Path, ostinato: Ostinato) -> None:
    variables = {"OSTINATO_RETENTION__RUNS_PER_FLOW": "2", "OSTINATO_RETENTION__LOGS": "1d"}

    made = ostinato("db", "migrate").out
    status = ostinato("db", "status", variables=variables).out
    ostinato("db", "prune", variables=variables)

    assert "store.db has schema " in made
    assert status.endswith("kept: logs for 1d, 2 runs of each flow\n")
    assert len(ostinato("runs", "--format", "json").json) == 2


def test_wrong_ages_are_refused(shop: Path, ostinato: Ostinato) -> None:
    told = ostinato("db", "prune", "--runs", "old", code=2).err
    setting = ostinato("db", "status", variables={"OSTINATO_RETENTION__RUNS": "old"}, code=2).err

    assert "--runs: 'old' is no duration" in told
    assert "OSTINATO_RETENTION__RUNS: retention.runs:" in setting


def test_store_on_postgresql_is_looked_after_in_the_same_way(
    shop: Path, ostinato: Ostinato, postgres_store_uri: str
) -> None:
    variables = {"OSTINATO_STORE__URL": postgres_store_uri}
    ostinato("run", "etl", "--date", "2025-01-01..2025-01-03", variables=variables)
    made = ostinato(
        "backfill", "create", "etl", "--from", "2025-01-02", "--to", "2025-01-05",
        "--every", "day", "--dry-run", variables=variables,
    ).out.splitlines()  # fmt: skip

    status = ostinato("db", "status", variables=variables).out
    pruned = ostinato("db", "prune", "--per-flow", "1", "--format", "json", variables=variables)
    checked = ostinato("db", "check", variables=variables).out
    doctor = ostinato("doctor", variables=variables).out

    assert made[-1] == "2 of 4 dates would be run; nothing was done"
    assert status.startswith("PostgreSQL ")
    assert "           3 runs\n" in status
    assert pruned.json["runs"] == 2
    assert checked == "the store is sound\n"
    assert "✔ clock" in doctor
