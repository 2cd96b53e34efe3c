"""This module tests what ``ostinato doctor`` finds."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ostinato

pytestmark = pytest.mark.slow


@pytest.fixture
def shop(folder: Path) -> Path:
    (folder / "ostinato.yaml").write_text("version: 1\nname: shop\n")
    (folder / "flows").mkdir()
    (folder / "flows" / "etl.py").write_text(
        "from ostinato import dag, task\n\n\n"
        "@task\ndef load():\n    pass\n\n\n"
        "@dag\ndef etl():\n    load()\n\n\netl()\n"
    )
    return folder


def levels(findings: list[dict[str, Any]]) -> dict[str, str]:
    return {each["subject"]: each["level"] for each in findings}


def test_fresh_project_is_well(shop: Path, ostinato: Ostinato) -> None:
    result = ostinato("doctor")

    assert "✔ store" in result.out
    assert "it is made with the first run" in result.out
    assert not (shop / ".ostinato").exists()


def test_project_without_processes_is_told_of_them(shop: Path, ostinato: Ostinato) -> None:
    ostinato("trigger", "etl")

    findings = ostinato("doctor", "--format", "json", code=1).json
    found = levels(findings)

    assert found["store"] == found["secrets"] == found["durability"] == "ok"
    assert found["workers"] == found["schedulers"] == "warning"
    assert found["queue"] == "error"
    (queue,) = [each for each in findings if each["subject"] == "queue"]
    assert (queue["text"], queue["hint"]) == ("1 run of etl wait", "start a worker")


def test_what_cannot_be_opened_is_one_finding_of_several(shop: Path, ostinato: Ostinato) -> None:
    (shop / ".ostinato").mkdir()
    (shop / ".ostinato" / "store.db").write_text("this is no database" * 100)

    result = ostinato("doctor", code=1)

    assert "✖ store" in result.out
    assert "✔ python" in result.out
    assert "1 error" in result.out.splitlines()[-1]


def test_server_that_does_not_answer_is_told(shop: Path, ostinato: Ostinato) -> None:
    variables = {"OSTINATO_STORE__URL": f"postgresql://ann@/shop?host={shop}"}

    findings = ostinato("doctor", "--format", "json", code=1, variables=variables).json

    assert levels(findings)["store"] == "error"


def test_secrets_that_cannot_be_read_are_told(shop: Path, ostinato: Ostinato) -> None:
    ostinato("variables", "set", "token", "hush")
    key = shop / ".ostinato" / "secret.key"
    key.chmod(0o644)
    readable = levels(ostinato("doctor", "--format", "json", code=1).json)
    key.unlink()

    gone = levels(ostinato("doctor", "--format", "json", code=1).json)

    assert readable["secrets"] == gone["secrets"] == "error"


def test_relaxed_store_is_a_warning(shop: Path, ostinato: Ostinato) -> None:
    ostinato("run", "etl")

    result = ostinato("doctor", variables={"OSTINATO_STORE__DURABILITY": "relaxed"})

    assert "! durability" in result.out
