"""This module deletes what is old, a little at a time."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from ostinato.model.value import StoredValue
from ostinato.store.database import Connection, Database
from ostinato.store.rows import searchable_parameters

#: What belongs to a run, in the order in which it goes: a value or an earlier attempt is never
#: left without its task run.
_PARTS = (
    "prune_requests",
    "prune_task_values",
    "prune_attempts",
    "prune_artifacts",
    "prune_notices",
    "prune_expansions",
    "prune_task_runs",
    "prune_events",
)

_tags_decoder = msgspec.json.Decoder(tuple[str, ...])
_value_decoder = msgspec.msgpack.Decoder(StoredValue)


class OldRun(NamedTuple):
    """A run that has ended, with what finds the rows that it can be searched by."""

    id: int
    flow: str
    params: bytes
    tags: str
    ended_us: int
    manifest_version: str


class PruningTables:
    """Delete runs, events, results and definitions.

    A run goes in two steps: its row in one commit, so that nobody can take it up any more, and
    all that belongs to it in others after that, of few rows each: no writer waits for long.
    What remains when a process is killed in between, the next one finds.

    Args:
        database: Of the store.
        sql: Statements by name.
    """

    def __init__(self, database: Database, sql: Mapping[str, str]) -> None:
        self._database = database
        self._sql = sql

    def old_runs(
        self, project: str, before_us: int, *, after_id: int = 0, limit: int = 100
    ) -> list[OldRun]:
        """Return runs that ended before a moment and are behind an id, oldest first."""
        values = (after_id, project, before_us, before_us, limit)
        found = self._database.read(self._sql["select_prunable_runs"], values)
        return [OldRun._make(row) for row in found]

    def surplus_runs(
        self, project: str, flow: str, last_id: int, *, after_id: int = 0, limit: int = 100
    ) -> list[OldRun]:
        """Return ended runs of a flow up to an id and behind another, oldest first."""
        values = (flow, after_id, last_id, project, limit)
        found = self._database.read(self._sql["select_surplus_runs"], values)
        return [OldRun._make(row) for row in found]

    def flows(self) -> list[str]:
        """Return the flows that have runs, by name."""
        return [flow for (flow,) in self._database.read(self._sql["select_flows_with_runs"])]

    def run_at_rank(self, flow: str, rank: int) -> int:
        """Return the id of the n-th newest run of a flow, from 0; 0 if there are not so many."""
        found = self._database.read(self._sql["select_run_at_rank"], (flow, rank))
        return int(found[0][0]) if found else 0

    def newest_success(self, flow: str) -> int:
        """Return the id of the newest run of a flow that succeeded; 0 if none did."""
        found = self._database.read(self._sql["select_newest_success"], (flow,))
        return int(found[0][0]) if found else 0

    def delete_runs(self, runs: Sequence[OldRun]) -> list[int]:
        """Delete the rows of runs in one commit, and return the ids of those that are gone.

        One with callbacks or alerts that are not done stays, and so does one that somebody has
        taken up again. What belongs to the others is deleted by ``delete_parts``.
        """
        gone: list[int] = []
        with self._database.writing() as connection:
            for run in runs:
                if connection.execute(self._sql["any_pending_notice"], (run.id,)).fetchone():
                    continue
                if connection.execute(self._sql["delete_run"], (run.id,)).rowcount <= 0:
                    continue
                gone.append(run.id)
                self._delete_search_keys(connection, run)
            made = [(run_id,) for run_id in gone]
            connection.executemany(self._sql["insert_pruned_run"], made)
        return gone

    def half_deleted(self, *, limit: int = 100) -> list[int]:
        """Return runs that are gone, and of which something may be left."""
        found = self._database.read(self._sql["select_pruned_runs"], (limit,))
        return [run_id for (run_id,) in found]

    def delete_parts(self, run_ids: Sequence[int], *, limit: int) -> tuple[int, list[int]]:
        """Delete some of what belongs to runs that are gone, in one commit.

        Args:
            run_ids: The runs.
            limit: Rows at most.

        Returns:
            How many rows that were, and of which runs nothing is left; ``forget`` those.
        """
        count = 0
        emptied: list[int] = []
        with self._database.writing() as connection:
            for run_id in run_ids:
                for part in _PARTS:
                    values = (run_id, limit - count)
                    count += connection.execute(self._sql[part], values).rowcount
                    if count >= limit:
                        return count, emptied
                emptied.append(run_id)
        return count, emptied

    def forget(self, run_ids: Iterable[int]) -> None:
        """Say that nothing of runs is left."""
        with self._database.writing() as connection:
            gone = [(run_id,) for run_id in run_ids]
            connection.executemany(self._sql["delete_pruned_run"], gone)

    def delete_events(self, before_us: int, *, limit: int) -> int:
        """Delete some of the oldest events from before a moment, and return how many.

        PostgreSQL drops all days before that of the moment, and tells about how many there were.
        """
        dropping = self._sql.get("drop_event_partitions")
        if dropping is not None:
            with self._database.writing() as connection:
                return int(connection.execute(dropping, (before_us,)).fetchone()[0])
        with self._database.writing() as connection:
            return connection.execute(self._sql["prune_old_events"], (before_us, limit)).rowcount

    def count_events(self, before_us: int) -> int:
        """Return how many events are from before a moment."""
        return int(self._database.read(self._sql["count_events_before"], (before_us,))[0][0])

    def delete_backfills(self, project: str, before_us: int, *, limit: int) -> int:
        """Delete some dates of backfills that ended before a moment, and those without any.

        Returns:
            How many rows that were; less than the limit when nothing is left.
        """
        with self._database.writing() as connection:
            values = (project, before_us, limit)
            count = connection.execute(self._sql["prune_backfill_dates"], values).rowcount
            if count < limit:
                gone = connection.execute(self._sql["prune_backfills"], (project, before_us))
                return min(count + gone.rowcount, limit - 1)
        return count

    def delete_expired(self, now_us: int, *, limit: int) -> int:
        """Delete some results whose time is over, and return how many."""
        with self._database.writing() as connection:
            return connection.execute(self._sql["prune_cache"], (now_us, limit)).rowcount

    def cached_locations(self, now_us: int) -> set[str]:
        """Return the files of values that are kept for other runs."""
        found = self._database.read(self._sql["select_cached_values"], (now_us,))
        locations = {_value_decoder.decode(value).location for (value,) in found}
        return locations - {""}

    def unused_manifests(self, project: str, before_us: int) -> tuple[list[str], int]:
        """Return versions that were kept before a moment and that nothing names.

        Returns:
            The versions, and the newest run that was looked at.
        """
        newest = self._database.read(self._sql["newest_run"])
        found = self._database.read(self._sql["select_unused_manifests"], (project, before_us))
        return [version for (version,) in found], newest[0][0] if newest else 0

    def delete_manifests(self, versions: Sequence[str], newest_run: int) -> None:
        """Delete definitions in one commit, but for those that are used since.

        Args:
            versions: Were found unused.
            newest_run: The newest run that was looked at.
        """
        with self._database.writing() as connection:
            gone = [(version, newest_run) for version in versions]
            connection.executemany(self._sql["delete_manifest"], gone)

    def _delete_search_keys(self, connection: Connection, run: OldRun) -> None:
        tags = [(tag, run.id) for tag in _tags_decoder.decode(run.tags)]
        connection.executemany(self._sql["delete_run_tag"], tags)
        params = [(name, value, run.id) for name, value in searchable_parameters(run.params)]
        connection.executemany(self._sql["delete_run_param"], params)
