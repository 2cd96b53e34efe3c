"""This module tests what a flow reads that is another thing each time."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ostinato import flow, recorded, wait_for_input


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))


def read() -> tuple[Any, ...]:
    return (
        recorded.now(),
        recorded.random(),
        recorded.uuid(),
        recorded.env("OSTINATO_HOME"),
        recorded.env("NOT_SET", "default"),
    )


def test_replay_reads_what_was_read_before(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, ...]] = []

    @flow
    def reading() -> None:
        seen.append(read())
        os.environ["NOT_SET"] = "set"
        # The function is executed again from its first line once nobody has answered.
        wait_for_input(int, timeout=0.05, default=1)

    monkeypatch.setenv("NOT_SET", "")
    monkeypatch.delenv("NOT_SET")
    reading()

    first, second = seen
    assert first == second
    assert first[4] == "default"
    assert 0 <= first[1] <= 1


def test_outside_of_flows_they_are_plain_readings() -> None:
    before = datetime.now(UTC)

    first, second = read(), read()

    assert before <= first[0] <= second[0]
    assert first[2] != second[2]
