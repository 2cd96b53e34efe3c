"""What earlier versions recorded comes to the same end in this one."""

from pathlib import Path

import msgspec
import pytest

from ostinato.engine.machine import replay
from ostinato.engine.plan import Plan
from tests.histories.record import FOLDER, History, ends_of

RECORDED = sorted(FOLDER.glob("*.json"))


def test_there_are_histories() -> None:
    assert len(RECORDED) >= 12


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_history_comes_to_the_same_end(path: Path) -> None:
    history = msgspec.json.decode(path.read_bytes(), type=History)

    machine = replay(Plan(history.flow), history.events)

    assert machine.state.label == history.state
    assert ends_of(machine) == history.task_runs
