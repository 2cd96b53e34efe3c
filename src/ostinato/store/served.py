"""This module keeps which flows are served, and in which version."""

from collections.abc import Mapping

from ostinato.clock import Clock
from ostinato.store.database import Database
from ostinato.store.records import ServedFlowRow


class ServedFlowTables:
    """Implements ``ServedFlowStore``; see there for its methods.

    Args:
        database: Of the store.
        sql: Statements by name.
        clock: Stamps rows.
    """

    def __init__(self, database: Database, sql: Mapping[str, str], clock: Clock) -> None:
        self._database = database
        self._sql = sql
        self._clock = clock

    def all(self, project: str) -> list[ServedFlowRow]:
        """Return the flows of a project by name."""
        found = self._database.read(self._sql["select_served_flows"], (project,))
        return [ServedFlowRow._make(row) for row in found]

    def find(self, project: str, flow: str) -> ServedFlowRow | None:
        """Return a flow, None if it is not served."""
        found = self._database.read(self._sql["select_served_flow"], (project, flow))
        return ServedFlowRow._make(found[0]) if found else None

    def replace(self, project: str, versions: Mapping[str, str]) -> None:
        """Make flows with their versions all that a project serves, in one commit."""
        before = {row.flow: row.manifest_version for row in self.all(project)}
        gone = [(project, flow) for flow in before if flow not in versions]
        now_us = self._clock.now_us()
        changed = [
            (project, flow, version, now_us)
            for flow, version in versions.items()
            if before.get(flow) != version
        ]
        if not gone and not changed:
            return
        with self._database.writing() as connection:
            connection.executemany(self._sql["delete_served_flow"], gone)
            connection.executemany(self._sql["upsert_served_flow"], changed)
