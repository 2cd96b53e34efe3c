"""This module keeps connections, variables and pools."""

from collections.abc import Mapping, Sequence

from ostinato.clock import Clock
from ostinato.store.database import Database
from ostinato.store.records import ConnectionRow, PoolRow, VariableRow


class VaultTables:
    """Implements ``VaultStore``; see there for its methods.

    Args:
        database: Of the store.
        sql: Statements by name.
        clock: Stamps rows.
    """

    def __init__(self, database: Database, sql: Mapping[str, str], clock: Clock) -> None:
        self._database = database
        self._sql = sql
        self._clock = clock

    def connection(self, conn_id: str) -> ConnectionRow | None:
        """Return a connection."""
        found = self._database.read(self._sql["select_connection"], (conn_id,))
        return ConnectionRow._make(found[0]) if found else None

    def connections(self) -> list[ConnectionRow]:
        """Return all connections in the order of their ids."""
        found = self._database.read(self._sql["select_connections"])
        return [ConnectionRow._make(row) for row in found]

    def save_connections(self, rows: Sequence[ConnectionRow]) -> None:
        """Keep connections in one commit; one that is there is replaced."""
        self._save("upsert_connection", rows)

    def delete_connection(self, conn_id: str) -> bool:
        """Delete a connection and return whether it was there."""
        return self._delete("delete_connection", conn_id)

    def variable(self, key: str) -> VariableRow | None:
        """Return a variable."""
        found = self._database.read(self._sql["select_variable"], (key,))
        return VariableRow._make(found[0]) if found else None

    def variables(self) -> list[VariableRow]:
        """Return all variables in the order of their keys."""
        found = self._database.read(self._sql["select_variables"])
        return [VariableRow._make(row) for row in found]

    def save_variables(self, rows: Sequence[VariableRow]) -> None:
        """Keep variables in one commit; one that is there is replaced."""
        self._save("upsert_variable", rows)

    def delete_variable(self, key: str) -> bool:
        """Delete a variable and return whether it was there."""
        return self._delete("delete_variable", key)

    def pools(self) -> list[PoolRow]:
        """Return all pools in the order of their names."""
        return [PoolRow._make(row) for row in self._database.read(self._sql["select_pools"])]

    def save_pools(self, rows: Sequence[PoolRow]) -> None:
        """Keep pools in one commit; one that is there is replaced."""
        self._save("upsert_pool", rows)

    def delete_pool(self, name: str) -> bool:
        """Delete a pool and return whether it was there."""
        return self._delete("delete_pool", name)

    def replace_secrets(
        self,
        connections: Sequence[tuple[str, bytes, bytes]],
        variables: Sequence[tuple[str, bytes, bytes]],
    ) -> None:
        """Put other secrets in the place of those that were read, in one commit."""
        with self._database.writing() as connection:
            for statement, changes in (
                ("replace_connection_secrets", connections),
                ("replace_variable_secrets", variables),
            ):
                parameters = [(after, name, before) for name, before, after in changes]
                connection.executemany(self._sql[statement], parameters)

    def _save(self, statement: str, rows: Sequence[ConnectionRow | VariableRow | PoolRow]) -> None:
        now_us = self._clock.now_us()
        with self._database.writing() as connection:
            parameters = [row._replace(updated_us=now_us) for row in rows]
            connection.executemany(self._sql[statement], parameters)

    def _delete(self, statement: str, name: str) -> bool:
        with self._database.writing() as connection:
            return connection.execute(self._sql[statement], (name,)).rowcount > 0
