"""This module keeps how schedules stand, and their newest ticks."""

from collections.abc import Mapping, Sequence

from ostinato.clock import Clock
from ostinato.model.schedule_tick import ScheduleRow, ScheduleTickRow
from ostinato.store.database import Database

#: Ticks of a schedule that are kept; their runs are kept apart from them.
KEPT_TICKS = 50


class ScheduleTables:
    """Schedules in the tables of any store.

    Args:
        database: Of the store.
        sql: Statements by name.
        clock: Stamps rows.
    """

    def __init__(self, database: Database, sql: Mapping[str, str], clock: Clock) -> None:
        self._database = database
        self._sql = sql
        self._clock = clock

    def all(self, project: str) -> list[ScheduleRow]:
        """Return the schedules of a project by name."""
        return [_row(row) for row in self._database.read(self._sql["select_schedules"], (project,))]

    def find(self, project: str, name: str) -> ScheduleRow | None:
        """Return a schedule, None if nothing is known of it."""
        found = self._database.read(self._sql["select_schedule"], (project, name))
        return _row(found[0]) if found else None

    def paused(self, project: str) -> set[str]:
        """Return the names of the schedules that are paused."""
        found = self._database.read(self._sql["select_paused_schedules"], (project,))
        return {name for (name,) in found}

    def record(
        self, project: str, rows: Sequence[ScheduleRow], ticks: Sequence[ScheduleTickRow] = ()
    ) -> None:
        """Write how schedules stand, and ticks of them, in one commit.

        Whether they are paused, and who said so, is left as it is.

        Args:
            project: Whose.
            rows: The schedules.
            ticks: New ones; each takes the place of an old one.
        """
        states = [(project, row.name, row.schedule, *row[4:]) for row in rows]
        kept = [(project, tick.name, tick.number % KEPT_TICKS, *tick[1:]) for tick in ticks]
        with self._database.writing() as connection:
            connection.executemany(self._sql["upsert_schedule"], states)
            connection.executemany(self._sql["upsert_schedule_tick"], kept)

    def set_paused(self, project: str, names: Sequence[str], by: str, *, is_paused: bool) -> None:
        """Pause schedules or resume them, in one commit; what is so already stays as it is."""
        now_us = self._clock.now_us()
        values = [(project, name, int(is_paused), by, now_us) for name in names]
        with self._database.writing() as connection:
            connection.executemany(self._sql["pause_schedule"], values)

    def ticks(self, project: str, name: str, limit: int) -> list[ScheduleTickRow]:
        """Return the newest ticks of a schedule, newest first."""
        values = (project, name, limit)
        found = self._database.read(self._sql["select_schedule_ticks"], values)
        return [ScheduleTickRow._make(row) for row in found]


def _row(columns: Sequence[object]) -> ScheduleRow:
    row = ScheduleRow._make(columns)
    return row._replace(is_paused=bool(row.is_paused))
