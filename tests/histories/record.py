"""Record histories of runs: ``python -m tests.histories.record FIRST_SEED COUNT``.

A history is a flow, the events of a run of it, and how everything ended. Later versions must
come to the same end from the same events, so recorded files are never edited; a release adds
new ones.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec

from ostinato.engine.events import Event
from ostinato.engine.machine import RunMachine
from ostinato.model.flow import FlowDefinition
from tests.simulation.simulator import Simulation

FOLDER = Path(__file__).parent / "recorded"


class History(msgspec.Struct):
    """One recorded run."""

    flow: FlowDefinition
    events: list[Event]
    state: str
    task_runs: dict[str, list[Any]]


def ends_of(machine: RunMachine) -> dict[str, list[Any]]:
    """Return state, attempt and generation of every task run, by name."""
    return {
        str(task_run.key): [task_run.state.label, task_run.attempt, task_run.generation]
        for task_run in machine.task_runs()
    }


def record(seed: int) -> Path:
    """Play a run under faults and write its history."""
    simulation = Simulation(seed)
    simulation.play(faults=0.2)
    machine = simulation.machine
    history = History(simulation.flow, simulation.log, machine.state.label, ends_of(machine))
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{seed}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(history), indent=1))
    return path


if __name__ == "__main__":
    first, count = map(int, sys.argv[1:3])
    for number in range(first, first + count):
        print(record(number))
