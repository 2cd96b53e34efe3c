"""This module is what people may want of schedules, and what the scheduler keeps of them."""

from collections.abc import Sequence

from ostinato.model.schedule_tick import ScheduleRow, ScheduleTickRow
from ostinato.store.protocol import Store


class Schedules:
    """See how schedules stand, and steer them; a scheduler fires them.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._schedules = store.schedules

    def all(self, project: str) -> dict[str, ScheduleRow]:
        """Return how the schedules of a project stand, by the names of their flows."""
        return {row.name: row for row in self._schedules.all(project)}

    def find(self, project: str, name: str) -> ScheduleRow | None:
        """Return how the schedule of a flow stands, None if no scheduler has seen it."""
        return self._schedules.find(project, name)

    def pause(self, project: str, names: Sequence[str], by: str) -> None:
        """Have schedules make no runs until they are resumed; runs that are live go on."""
        self._schedules.set_paused(project, names, by, is_paused=True)
        self._store.wake_schedulers()

    def resume(self, project: str, names: Sequence[str], by: str) -> None:
        """Have paused schedules go on: from now, or with catch-up from where they stopped."""
        self._schedules.set_paused(project, names, by, is_paused=False)
        self._store.wake_schedulers()

    def ticks(self, project: str, name: str, *, limit: int = 20) -> list[ScheduleTickRow]:
        """Return the newest ticks of a schedule, newest first."""
        return self._schedules.ticks(project, name, limit)

    # What fires them

    def paused(self, project: str) -> set[str]:
        """Return the names of the schedules that are paused."""
        return self._schedules.paused(project)

    def record(
        self, project: str, rows: Sequence[ScheduleRow], ticks: Sequence[ScheduleTickRow] = ()
    ) -> None:
        """Write how schedules stand, and ticks of them, in one commit."""
        self._schedules.record(project, rows, ticks)
