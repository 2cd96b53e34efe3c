"""This module creates runs, any number in one commit."""

from collections.abc import Mapping, Sequence

import msgspec

from ostinato.clock import Clock
from ostinato.store import rows
from ostinato.store.database import Connection
from ostinato.store.ids import IdGenerator
from ostinato.store.records import NewRun, RunRow

_json = msgspec.json.Encoder()


class Creation:
    """Decide which runs are new, and number them; inside a transaction that is the only one.

    Args:
        statements: By name.
        ids: Makes ids.
        clock: Stamps rows.
        owner: Id of the coordinator that owns what is created; 0 for none.
    """

    def __init__(
        self, statements: Mapping[str, str], ids: IdGenerator, clock: Clock, owner: int
    ) -> None:
        self._sql = statements
        self._ids = ids
        self._clock = clock
        self._owner = owner

    def rows(
        self, connection: Connection, runs: Sequence[NewRun]
    ) -> tuple[list[RunRow], list[RunRow]]:
        """Return a row for each run that is asked for, and those that are to be inserted.

        Args:
            connection: In the transaction.
            runs: What is asked for.
        """
        known = self._known(connection, runs)
        numbers = self._numbers(connection, {new.flow for new in runs})
        # Invariant: a run that is created later has a larger id and no earlier moment, also
        # when the clock jumps back: pages and ranges of time rest on it.
        found = connection.execute(self._sql["newest_run"]).fetchone()
        newest_id, newest_us = found or (0, 0)
        created_us = max(self._clock.now_us(), newest_us)
        asked: list[RunRow] = []
        made: list[RunRow] = []
        for new in runs:
            key = (new.project, new.flow, new.logical_key)
            row = known.get(key) if new.logical_key is not None else None
            if row is None:
                numbers[new.flow] += 1
                newest_id = self._ids.next(after=newest_id)
                row = rows.created_run(
                    new,
                    id=newest_id,
                    number=numbers[new.flow],
                    created_us=created_us,
                    owner=self._owner,
                )
                made.append(row)
                if new.logical_key is not None:
                    known[key] = row
            asked.append(row)
        return asked, made

    def _known(
        self, connection: Connection, runs: Sequence[NewRun]
    ) -> dict[tuple[str, str, str | None], RunRow]:
        """Return runs that were asked for under the same keys before."""
        keys = [
            (new.project, new.flow, new.logical_key) for new in runs if new.logical_key is not None
        ]
        if not keys:
            return {}
        asked = _json.encode(keys).decode()
        query = " ".join((self._sql["select_runs"], self._sql["among_known_runs"]))
        found = map(rows.run_row, connection.execute(query, (asked,)).fetchall())
        return {(row.project, row.flow, row.logical_key): row for row in found}

    def _numbers(self, connection: Connection, flows: set[str]) -> dict[str, int]:
        """Return the number of the newest run of each flow."""
        asked = _json.encode(sorted(flows)).decode()
        return dict(connection.execute(self._sql["newest_numbers"], (asked,)).fetchall())
