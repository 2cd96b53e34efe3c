"""This module is what a worker tells of its runs to people who look on."""

from collections.abc import Callable

from msgspec import Struct

from ostinato.coordinator.live_run import LiveRun
from ostinato.model.state import RunState
from ostinato.store.records import RunRow


class RunNews(Struct, frozen=True):
    """A run that was taken up, or has ended.

    Attributes:
        row: The run as it was taken up.
        state: As it is.
        at_us: When that was.
        started_us: When it had started; 0 if it starts at this moment.
        reason: Why it did not succeed.
    """

    row: RunRow
    state: RunState
    at_us: int
    started_us: int = 0
    reason: str = ""


#: Takes the news in the worker's own thread; it must not block.
OnRun = Callable[[RunNews], None]


def end_of(run: LiveRun) -> RunNews:
    """Return the news that a run has ended."""
    machine = run.machine
    return RunNews(run.row, machine.state, machine.ended_us, machine.started_us, machine.reason)
