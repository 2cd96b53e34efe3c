"""This module hands runs of the service to coordinators, in a few statements for any number."""

from collections.abc import Mapping, Sequence

from ostinato.store.claims import Claims, WaitingRun, least_state
from ostinato.store.database import Connection
from ostinato.store.filters import ALL
from ostinato.store.postgres.arrays import int8_array, text_array
from ostinato.store.records import CoordinatorLease, RunRow
from ostinato.store.rows import run_row


class PostgresClaims(Claims):
    """Look at all flows in one statement, and leave to others what they have got hold of."""

    def _waiting(
        self,
        connection: Connection,
        project: str,
        pairs: Sequence[tuple[str, str]],
        *,
        limit: int,
        room: Mapping[str, int],
    ) -> list[WaitingRun]:
        distinct = list(dict.fromkeys(pairs))
        limited = [pair for pair in distinct if pair[0] in room]
        others = [pair for pair in distinct if pair[0] not in room]
        found: list[WaitingRun] = []
        # Runs of a flow without room take the place of no others.
        for among, in_all in ((others, limit), (limited, ALL)):
            if among:
                values = (
                    text_array([flow for flow, _ in among]),
                    text_array([version for _, version in among]),
                    int8_array([least_state(flow, room) for flow, _ in among]),
                    project,
                    limit,
                    in_all,
                )
                rows = connection.execute(self._sql["select_all_claimable"], values).fetchall()
                found.extend(map(WaitingRun._make, rows))
        return found

    def _own(
        self, connection: Connection, lease: CoordinatorLease, ids: Sequence[int]
    ) -> list[RunRow]:
        columns = self._sql["select_runs"].removeprefix("SELECT")
        statement = " ".join((self._sql["own_claimed"], columns))
        owned = connection.execute(statement, (lease.id, list(ids))).fetchall() if ids else []
        rows = {row.id: row for row in map(run_row, owned)}
        return [rows[id_] for id_ in ids if id_ in rows]  # type: ignore[index]  # plain numbers
