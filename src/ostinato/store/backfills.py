"""This module keeps backfills and their dates."""

from collections.abc import Mapping, Sequence

from ostinato.clock import Clock
from ostinato.model.backfill import (
    BackfillDateRow,
    BackfillRow,
    BackfillState,
    DatedRun,
    DateState,
    Settled,
)
from ostinato.store.database import Database


class BackfillStore:
    """Backfills in the tables of any store.

    Args:
        database: Of the store.
        sql: Statements by name.
        clock: Stamps rows.
    """

    def __init__(self, database: Database, sql: Mapping[str, str], clock: Clock) -> None:
        self._database = database
        self._sql = sql
        self._clock = clock

    def create(self, row: BackfillRow, dates: Sequence[tuple[int, int, int]]) -> BackfillRow:
        """Keep a backfill with its dates in one commit, and return it with its id.

        Args:
            row: The backfill; its id and its moments do not count.
            dates: Logical date, start and end of the data interval, in the order of the runs.
        """
        created_us = self._clock.now_us()
        with self._database.writing() as connection:
            values = (*row[1:9], created_us)
            made = connection.execute(self._sql["insert_backfill"], values).fetchone()
            new = row._replace(id=made[0], created_us=created_us, ended_us=0)
            parameters = [(new.id, position, *date) for position, date in enumerate(dates)]
            connection.executemany(self._sql["insert_backfill_date"], parameters)
        return new

    def find(self, backfill_id: int) -> BackfillRow | None:
        """Return a backfill."""
        found = self._database.read(self._sql["select_backfill"], (backfill_id,))
        return BackfillRow._make(found[0]) if found else None

    def page(self, project: str, *, before_id: int = 0, limit: int = 50) -> list[BackfillRow]:
        """Return backfills of a project, newest first.

        Args:
            project: Whose.
            before_id: Only those before this one; 0 for the newest.
            limit: At most so many.
        """
        values = (before_id or 2**62, project, limit)
        found = self._database.read(self._sql["select_backfills"], values)
        return [BackfillRow._make(row) for row in found]

    def live(self, project: str) -> list[BackfillRow]:
        """Return the backfills of a project that are not over, oldest first."""
        found = self._database.read(self._sql["select_live_backfills"], (project,))
        return [BackfillRow._make(row) for row in found]

    def dates(
        self,
        backfill_id: int,
        *,
        state: DateState | None = None,
        after: int = -1,
        limit: int = 1000,
    ) -> list[BackfillDateRow]:
        """Return dates of a backfill behind a position, in the order of their runs."""
        if state is None:
            name = "select_backfill_dates"
            values: tuple[object, ...] = (backfill_id, after, limit)
        else:
            name = "select_backfill_dates_in_state"
            values = (backfill_id, state.value, after, limit)
        return [BackfillDateRow._make(row) for row in self._database.read(self._sql[name], values)]

    def counts(self, backfill_id: int) -> dict[DateState, int]:
        """Return how many dates of a backfill are in each state."""
        found = self._database.read(self._sql["count_backfill_dates"], (backfill_id,))
        return {DateState(state): count for state, count in found}

    def span(self, backfill_id: int) -> tuple[int, int]:
        """Return the first and the last date of a backfill."""
        first, last = self._database.read(self._sql["select_backfill_range"], (backfill_id,))[0]
        return first, last

    def ended(self, backfill_id: int) -> list[tuple[int, int, int]]:
        """Return position, state and id of the runs of active dates that have ended.

        The state of one that is gone from the store is -1.
        """
        found = self._database.read(self._sql["select_ended_backfill_dates"], (backfill_id,))
        return [(position, state, run_id) for position, state, run_id in found]

    def settle(self, backfill_id: int, dates: Sequence[Settled]) -> None:
        """Write what becomes of dates, in one commit."""
        parameters = [
            (each.after.value, each.run_id, backfill_id, each.position, each.before.value)
            for each in dates
        ]
        with self._database.writing() as connection:
            connection.executemany(self._sql["update_backfill_date"], parameters)

    def change_state(self, backfill_id: int, before: BackfillState, after: BackfillState) -> bool:
        """Let a backfill go from one state to another, and return whether it was in the first.

        With the cancelling of a backfill, its waiting dates are cancelled.
        """
        ended_us = self._clock.now_us() if after.is_terminal else 0
        with self._database.writing() as connection:
            values = (after.value, ended_us, backfill_id, before.value)
            is_changed = connection.execute(self._sql["update_backfill_state"], values).rowcount > 0
            if is_changed and after is BackfillState.CANCELLING:
                connection.execute(self._sql["drop_waiting_backfill_dates"], (backfill_id,))
        return is_changed

    def retry(self, backfill_id: int, before: BackfillState) -> int:
        """Let the dates of a backfill that failed or were cancelled wait again.

        Returns:
            How many there are; 0 leaves the backfill as it is.
        """
        with self._database.writing() as connection:
            count = connection.execute(self._sql["retry_backfill_dates"], (backfill_id,)).rowcount
            if count:
                running = BackfillState.RUNNING.value
                values = (running, 0, backfill_id, before.value)
                connection.execute(self._sql["update_backfill_state"], values)
        return count

    def newest_run(self, project: str, flow: str, date_us: int) -> DatedRun | None:
        """Return the newest run of a flow at a logical date."""
        values = (flow, date_us, project)
        found = self._database.read(self._sql["select_newest_run_at"], values)
        return DatedRun._make(found[0]) if found else None
