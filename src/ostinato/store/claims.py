"""This module hands runs of the service to the coordinators that can execute them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ostinato.store.database import Connection, Database
from ostinato.store.filters import run_by_id
from ostinato.store.ownership import Ownership
from ostinato.store.records import Claimable, CoordinatorLease, RunRow
from ostinato.store.rows import run_row


class WaitingRun(NamedTuple):
    """What decides whether a run is claimed."""

    id: int
    flow: str
    state: int
    priority: int


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
            waiting = self._waiting(connection, project, pairs, limit=limit, room=room)
            chosen = _choose(waiting, limit, room)
            return self._own(connection, lease, [run.id for run in chosen])

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
        room: Mapping[str, int],
    ) -> list[WaitingRun]:
        """Return candidates: as many of each pair as could be claimed in all.

        Args:
            connection: In the transaction.
            project: Whose runs.
            pairs: Flows and versions.
            limit: How many could be claimed.
            room: Of flows with a limit; where there is none, only runs that had begun can be.
        """
        found: list[WaitingRun] = []
        for flow, version in dict.fromkeys(pairs):
            values = (project, flow, version, least_state(flow, room), limit)
            rows = connection.execute(self._sql["select_claimable"], values).fetchall()
            found.extend(map(WaitingRun._make, rows))
        return found

    def _own(
        self, connection: Connection, lease: CoordinatorLease, ids: Sequence[int]
    ) -> list[RunRow]:
        """Make a coordinator the owner of runs, and return them."""
        connection.executemany(self._sql["set_owner"], [(lease.id, id_) for id_ in ids])
        queries = (run_by_id(self._sql["select_runs"], id_) for id_ in ids)
        return [run_row(connection.execute(*query).fetchone()) for query in queries]


def least_state(flow: str, room: Mapping[str, int]) -> int:
    """Return the state from which on runs of a flow can be claimed.

    Args:
        flow: The flow.
        room: Of flows with a limit.
    """
    return 0 if room.get(flow, 1) > 0 else 1


def _choose(waiting: Sequence[WaitingRun], limit: int, room: Mapping[str, int]) -> list[WaitingRun]:
    """Return the runs that are claimed; one that had begun counts as active already."""
    left = dict(room)
    chosen: list[WaitingRun] = []
    for row in sorted(waiting, key=lambda row: (-row.priority, row.id)):
        if len(chosen) == limit:
            break
        has_begun = row.state > 0
        if row.flow in left and not has_begun:
            if left[row.flow] <= 0:
                continue
            left[row.flow] -= 1
        chosen.append(row)
    return chosen
