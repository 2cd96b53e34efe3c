"""This module tests what people call the steps of flows that are functions."""

from pathlib import Path

import pytest

from ostinato import flow, task
from ostinato.store.sqlite import open_store


def test_steps_are_named_by_their_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))

    @task(task_run_name="day {day:02} of {city}")
    def load(day: int, *, city: str = "Bonn") -> int:
        return day

    @task(map_name="{{ day + 1 }}")
    def templated(day: int) -> int:
        return day

    @task(map_name="{nothing}")
    def unnamed() -> None:
        pass

    @flow
    def month() -> None:
        load(1)
        load.submit(2, city="Rome").result()
        templated(1)
        unnamed()

    month()

    store = open_store(tmp_path / "store.db")
    try:
        run = store.find_run("last")
        assert run is not None
        rows = sorted(store.steps(run.id)[0], key=lambda one: one[0].path)
        named = [row.map_name for row, _ in rows]
    finally:
        store.close()
    assert named == ["day 01 of Bonn", "day 02 of Rome", "2", ""]
