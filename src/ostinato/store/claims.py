"""This module hands runs of the service to the coordinators that can execute them."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ostinato.store.database import Connection, Database
from ostinato.store.filters import claimable_runs
from ostinato.store.ownership import Ownership
from ostinato.store.records import Claimable, CoordinatorLease, RunRow
from ostinato.store.rows import run_row


class Claims:
    """Runs that wait for a worker: nobody owns them, and their home is the service.

    Args:
        database: Of the store.
        statements: Its statements by name.
        ownership: Says whether a coordinator may write.
    """

    def __init__(
        self, database: Database, statements: Mapping[str, str], ownership: Ownership
    ) -> None:
        self._database = database
        self._sql = statements
        self._ownership = ownership

    def claimable(self, project: str) -> list[Claimable]:
        """Return how many runs wait, by flow and definitions."""
        found = self._database.read(self._sql["count_claimable"], (project,))
        return [Claimable._make(row) for row in found]

    def claim(
        self,
        lease: CoordinatorLease,
        project: str,
        pairs: Sequence[tuple[str, str]],
        *,
        limit: int,
        max_active: Mapping[str, int],
    ) -> list[RunRow]:
        """Make a coordinator the owner of runs that wait: the urgent first, then the oldest."""
        limited = sorted({flow for flow, _ in pairs if flow in max_active})
        with self._ownership.writing(lease) as connection:
            for flow in limited:
                # In the order of names, so that two of us never wait for each other.
                connection.execute(self._sql["claim_alone"], (f"{project}/{flow}",))
            room = {
                flow: max_active[flow] - self._count_active(connection, project, flow)
                for flow in limited
            }
            full = {flow for flow, left in room.items() if left <= 0}
            waiting = self._waiting(connection, project, pairs, limit=limit, full=full)
            chosen = _choose(waiting, limit, room)
            owned = [(lease.id, row.id) for row in chosen]
            connection.executemany(self._sql["set_owner"], owned)
        return [replace(row, owner=lease.id) for row in chosen]

    def _count_active(self, connection: Connection, project: str, flow: str) -> int:
        found = connection.execute(self._sql["count_active"], (project, flow)).fetchone()
        return int(found[0])

    def _waiting(
        self,
        connection: Connection,
        project: str,
        pairs: Sequence[tuple[str, str]],
        *,
        limit: int,
        full: set[str],
    ) -> list[RunRow]:
        """Return candidates: as many of each pair as could be claimed in all."""
        found: list[RunRow] = []
        for flow, version in dict.fromkeys(pairs):
            query = claimable_runs(
                self._sql["select_runs"],
                self._sql["lock_claimed"],
                (project, flow, version),
                limit=limit,
                is_full=flow in full,
            )
            found.extend(map(run_row, connection.execute(*query).fetchall()))
        return sorted(found, key=lambda row: (-row.priority, row.id))


def _choose(waiting: Sequence[RunRow], limit: int, room: Mapping[str, int]) -> list[RunRow]:
    """Return the runs that are claimed; one that had begun counts as active already."""
    left = dict(room)
    chosen: list[RunRow] = []
    for row in waiting:
        if len(chosen) == limit:
            break
        has_begun = row.state > 0
        if row.flow in left and not has_begun:
            if left[row.flow] <= 0:
                continue
            left[row.flow] -= 1
        chosen.append(row)
    return chosen
