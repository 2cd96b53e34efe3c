"""This module finds connections, variables and pools wherever they are, and keeps them encrypted.

They are looked for in the environment, in ``ostinato.yaml``, in secrets back-ends and in the
store, in this order.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from ostinato.authoring.suggestions import did_you_mean
from ostinato.client.keys import KEY_FILE, Keys
from ostinato.client.secret_sources import (
    EnvironmentSource,
    SettingsSource,
    Source,
    as_text,
    open_backends,
)
from ostinato.client.vault_files import environment_name
from ostinato.clock import Clock, SystemClock
from ostinato.errors import (
    OstinatoError,
    UnknownConnection,
    UnknownVariable,
    UsageError,
    VaultError,
)
from ostinato.model.connection import Connection
from ostinato.model.secret import find_secrets, is_secret_name
from ostinato.project.discovery import Project
from ostinato.store.protocol import VaultStore
from ostinato.store.records import ConnectionRow, PoolRow, VariableRow

#: What people call the store as a place.
STORE = "the store"

#: Characters that the name of a connection, variable or pool may have at most.
MAX_NAME_LENGTH = 250


class Found(NamedTuple):
    """A connection or variable in a list, which shows what is wrong with one beside the others.

    Attributes:
        name: Of the connection or variable.
        source: Where it was found first.
        value: The connection, or the variable's text; None where it cannot be read.
        problem: Why it cannot be read, else empty.
        description: For people.
    """

    name: str
    source: str
    value: Any
    problem: str = ""
    description: str = ""


class Pool(NamedTuple):
    """A pool as it holds.

    Attributes:
        name: Of the pool.
        slots: How many attempts run at a time.
        source: Where it comes from.
        description: For people.
    """

    name: str
    slots: int
    source: str
    description: str = ""


class Vault:
    """Connections, variables and pools of a project.

    Args:
        store: Where those are that people set; secrets in it are encrypted.
        project: Whose settings and folders hold.
        environ: Environment variables.
        clock: Tells how old an answer of a back-end is.
        given: Connections and variables that win over all others; what is set then stays there.
    """

    def __init__(
        self,
        store: VaultStore,
        project: Project,
        *,
        environ: Mapping[str, str] = os.environ,
        clock: Clock | None = None,
        given: "GivenSource | None" = None,
    ) -> None:
        self._store = store
        self._settings = project.settings
        self._given = given
        self.keys = Keys(project.data_dir / KEY_FILE, environ)
        own: list[Source] = [EnvironmentSource(environ), SettingsSource(self._settings, environ)]
        backends = open_backends(self._settings, project.root, (clock or SystemClock()).monotonic_s)
        self._sources: list[Source] = [*([given] if given else []), *own, *backends]

    # Connections

    def connection(self, conn_id: str) -> Connection:
        """Return a connection, secrets included.

        Raises:
            UnknownConnection: It is nowhere; says where it was looked for, and what is near.
            InvalidConnection: What was found cannot be read.
            VaultError: It cannot be decrypted, or a back-end failed.
        """
        connection: Connection = self.find_connection(conn_id).value
        return connection

    def find_connection(self, conn_id: str) -> Found:
        """Return a connection with where it was found; raises as ``connection`` does."""
        for source in self._sources:
            found = source.connection(conn_id)
            if found is not None:
                return Found(conn_id, source.name, found, "", found.description)
        stored = self.stored_connection(conn_id)
        if stored is not None:
            return Found(conn_id, STORE, stored, "", stored.description)
        message = f"there is no connection {conn_id!r} in {self._places()}"
        hint = did_you_mean(conn_id, self._names("connections")) or (
            f"ostinato connections set {conn_id} URI, or the variable "
            f"{environment_name('connections', conn_id)}"
            if self._given is None
            else f"give connections={{{conn_id!r}: …}}"
        )
        raise UnknownConnection(message, hint=hint)

    def stored_connection(self, conn_id: str) -> Connection | None:
        """Return a connection of the store, None if it has none."""
        row = self._store.connection(conn_id)
        return None if row is None else self._stored_connection(row)

    def stored_connections(self) -> list[Connection]:
        """Return all connections of the store.

        Raises:
            VaultError: One cannot be decrypted.
        """
        return [self._stored_connection(row) for row in self._store.connections()]

    def connections(self) -> list[Found]:
        """Return all connections that can be listed, in the order of their ids."""
        found = {each.name: each for each in self._listed("connections")}
        for row in self._store.connections():
            if row.conn_id not in found:
                found[row.conn_id] = self._listed_connection(row)
        return [found[name] for name in sorted(found)]

    def set_connection(self, *connections: Connection) -> None:
        """Keep connections in the store, in one commit.

        Raises:
            VaultError: They cannot be encrypted.
            UsageError: An id is none.
        """
        rows = []
        for connection in connections:
            check_name(connection.conn_id, "connection")
            fields = connection.to_dict()
            hidden: dict[str, Any] = {
                name: fields.pop(name) for name in ("password", "extra") if name in fields
            }
            secrets = b""
            if hidden:
                hidden["of"] = f"connection {connection.conn_id}"
                secrets = self._encrypt(msgspec.json.encode(hidden))
            rows.append(ConnectionRow(connection.conn_id, msgspec.json.encode(fields), secrets))
        self._store.save_connections(rows)

    def delete_connection(self, conn_id: str) -> bool:
        """Delete a connection from the store and return whether it was there."""
        return self._store.delete_connection(conn_id)

    def connection_secrets(self, connection: Connection) -> list[str]:
        """Return what of a connection is masked, by the project's words too."""
        more = find_secrets(connection.extra, self._settings.secrets.names)
        return list(dict.fromkeys((*connection.secrets(), *more)))

    # Variables

    def variable(self, key: str) -> str:
        """Return a variable.

        Raises:
            UnknownVariable: It is nowhere; says where it was looked for, and what is near.
            VaultError: It cannot be decrypted, or a back-end failed.
        """
        value: str = self.find_variable(key).value
        return value

    def find_variable(self, key: str) -> Found:
        """Return a variable with where it was found; raises as ``variable`` does."""
        for source in self._sources:
            found = source.variable(key)
            if found is not None:
                return Found(key, source.name, found)
        row = self._store.variable(key)
        if row is not None:
            return Found(key, STORE, self._stored_variable(row), "", row.description)
        message = f"there is no variable {key!r} in {self._places()}"
        hint = did_you_mean(key, self._names("variables")) or (
            f"ostinato variables set {key} VALUE, or give a default"
            if self._given is None
            else f"give variables={{{key!r}: …}}"
        )
        raise UnknownVariable(message, hint=hint)

    def stored_variables(self) -> list[Found]:
        """Return all variables of the store.

        Raises:
            VaultError: One cannot be decrypted.
        """
        return [
            Found(row.key, STORE, self._stored_variable(row), "", row.description)
            for row in self._store.variables()
        ]

    def variables(self) -> list[Found]:
        """Return all variables that can be listed, in the order of their names."""
        found = {each.name: each for each in self._listed("variables")}
        for row in self._store.variables():
            if row.key not in found:
                found[row.key] = self._listed_variable(row)
        return [found[name] for name in sorted(found)]

    def set_variable(self, key: str, value: str, description: str | None = None) -> None:
        """Keep a variable in the store.

        Args:
            key: Its name.
            value: Its text.
            description: For people; None leaves the one that is there.

        Raises:
            VaultError: It cannot be encrypted.
            UsageError: The name is none.
        """
        self.set_variables({key: (value, description)})

    def set_variables(self, entries: Mapping[str, tuple[str, str | None]]) -> None:
        """Keep variables in the store, in one commit; values are text and description."""
        if self._given is not None:
            self._given.variables.update({key: value for key, (value, _) in entries.items()})
            return
        rows = []
        for key, (value, description) in entries.items():
            check_name(key, "variable")
            if description is None:
                known = self._store.variable(key)
                description = known.description if known is not None else ""
            content = {"of": f"variable {key}", "value": value}
            secrets = self._encrypt(msgspec.json.encode(content))
            rows.append(VariableRow(key, description, secrets))
        self._store.save_variables(rows)

    def delete_variable(self, key: str) -> bool:
        """Delete a variable from the store and return whether it was there."""
        if self._given is not None:
            return self._given.variables.pop(key, None) is not None
        return self._store.delete_variable(key)

    def variable_secrets(self, key: str, value: str) -> list[str]:
        """Return what of a variable is masked: all, or what has a secret's name in its JSON."""
        words = self._settings.secrets.names
        secrets = [value] if is_secret_name(key, words) else []
        if value.lstrip()[:1] in ("{", "["):
            try:
                content = msgspec.json.decode(value)
            except msgspec.MsgspecError:
                return secrets
            # A variable may hold a connection, or texts that are secret one by one.
            secrets += find_secrets({key: content}, words)
        return list(dict.fromkeys(secrets))

    def shadow(self, kind: str, name: str) -> str:
        """Return where a name is found before the store, empty if nowhere.

        Args:
            kind: ``connections`` or ``variables``.
            name: Of the entry.
        """
        for source in self._sources:
            if source is self._given:
                continue
            try:
                found = source.connection(name) if kind == "connections" else source.variable(name)
            except OstinatoError:
                # It is there and cannot be read: whoever asks for it gets this error.
                return source.name
            if found is not None:
                return source.name
        return ""

    @property
    def secret_words(self) -> tuple[str, ...]:
        """Words of the project that make a name one of a secret."""
        return self._settings.secrets.names

    def stored_names(self, kind: str) -> list[str]:
        """Return the names of the store's ``connections`` or ``variables``."""
        if kind == "connections":
            return [row.conn_id for row in self._store.connections()]
        return [row.key for row in self._store.variables()]

    # Pools

    def pools(self) -> list[Pool]:
        """Return all pools in the order of their names; the settings win over the store."""
        pools = {
            row.name: Pool(row.name, row.slots, STORE, row.description)
            for row in self._store.pools()
        }
        for name, slots in self._settings.pools.items():
            pools[name] = Pool(name, slots, SettingsSource.name)
        return [pools[name] for name in sorted(pools)]

    def stored_pools(self) -> list[PoolRow]:
        """Return the pools of the store."""
        return self._store.pools()

    def set_pools(self, *pools: PoolRow) -> None:
        """Keep pools in the store, in one commit.

        Raises:
            UsageError: A name is none, or the slots are not 1 or more.
        """
        for pool in pools:
            check_name(pool.name, "pool")
            if pool.slots < 1:
                raise UsageError(f"pool {pool.name!r} must have 1 slot or more, not {pool.slots}")
        self._store.save_pools(pools)

    def delete_pool(self, name: str) -> bool:
        """Delete a pool from the store and return whether it was there."""
        return self._store.delete_pool(name)

    # Keys

    def rotate(self) -> tuple[int, list[str]]:
        """Encrypt all secrets of the store with a new key.

        With keys from the environment, their first one is the new one.

        Returns:
            How many secrets were encrypted anew, and what is wrong with the others.
        """
        connections, variables = self._store.connections(), self._store.variables()
        if not variables and not any(row.secrets for row in connections):
            return 0, []
        self.keys.begin_rotation()
        problems: list[str] = []

        def anew(name: str, secrets: bytes, subject: str) -> Iterator[tuple[str, bytes, bytes]]:
            try:
                data = self.keys.decrypt(secrets, subject)
            except VaultError as error:
                problems.append(str(error))
            else:
                yield name, secrets, self.keys.encrypt(data, may_make_key=False)

        changed_connections = [
            change
            for row in connections
            if row.secrets
            for change in anew(row.conn_id, row.secrets, f"connection {row.conn_id!r}")
        ]
        changed_variables = [
            change
            for row in variables
            for change in anew(row.key, row.secrets, f"variable {row.key!r}")
        ]
        self._store.replace_secrets(changed_connections, changed_variables)
        return len(changed_connections) + len(changed_variables), problems

    # What the store holds

    def _stored_connection(self, row: ConnectionRow) -> Connection:
        fields = msgspec.json.decode(row.fields, type=dict[str, Any])
        if row.secrets:
            fields |= self._decrypt(row.secrets, "connection", row.conn_id)
        return Connection.from_json(fields, row.conn_id)

    def _stored_variable(self, row: VariableRow) -> str:
        value: str = self._decrypt(row.secrets, "variable", row.key)["value"]
        return value

    def _listed_connection(self, row: ConnectionRow) -> Found:
        fields = msgspec.json.decode(row.fields, type=dict[str, Any])
        description = fields.get("description", "")
        try:
            connection = self._stored_connection(row)
        except OstinatoError as error:
            visible = Connection.from_json(fields, row.conn_id)
            return Found(row.conn_id, STORE, visible, str(error), description)
        return Found(row.conn_id, STORE, connection, "", description)

    def _listed_variable(self, row: VariableRow) -> Found:
        try:
            value = self._stored_variable(row)
        except OstinatoError as error:
            return Found(row.key, STORE, None, str(error), row.description)
        return Found(row.key, STORE, value, "", row.description)

    def _encrypt(self, data: bytes) -> bytes:
        # A key is made for the first secret only: with another one, those that are there
        # could never be read together with it.
        is_first = not any(row.secrets for row in self._store.connections()) and not (
            self._store.variables()
        )
        return self.keys.encrypt(data, may_make_key=is_first)

    def _decrypt(self, secrets: bytes, kind: str, name: str) -> dict[str, Any]:
        subject = f"{kind} {name!r}"
        content = msgspec.json.decode(self.keys.decrypt(secrets, subject), type=dict[str, Any])
        if content.pop("of", "") != f"{kind} {name}":
            message = f"{subject} holds the secrets of another one: somebody changed the store"
            raise VaultError(message, hint="set it anew")
        return content

    # Where things are looked for

    def _listed(self, kind: str) -> Iterator[Found]:
        seen: set[str] = set()
        for source in self._sources:
            try:
                names = source.names(kind)
            except OstinatoError as error:
                yield Found(f"({source.name})", source.name, None, str(error))
                continue
            for name in sorted(names - seen):
                seen.add(name)
                try:
                    value: Any = (
                        source.connection(name) if kind == "connections" else source.variable(name)
                    )
                except OstinatoError as error:
                    yield Found(name, source.name, None, str(error))
                else:
                    description = value.description if isinstance(value, Connection) else ""
                    yield Found(name, source.name, value, "", description)

    def _names(self, kind: str) -> set[str]:
        names = {*self.stored_names(kind)}
        for source in self._sources:
            names |= source.names(kind)
        return names

    def _places(self) -> str:
        if self._given is not None:
            return "what was given or in the environment"
        names = [source.name for source in self._sources]
        return f"{', '.join(names)} or {STORE}"


class GivenSource:
    """Connections and variables that somebody hands over, as tests do.

    Args:
        connections: By id: a ``Connection``, a URI, JSON, or fields.
        variables: By name; what is no text is kept as JSON.
    """

    name = "what was given"

    def __init__(self, connections: Mapping[str, Any], variables: Mapping[str, Any]) -> None:
        self.connections = {
            conn_id: msgspec.structs.replace(content, conn_id=conn_id)
            if isinstance(content, Connection)
            else Connection.parse(content, conn_id)
            for conn_id, content in connections.items()
        }
        self.variables = {key: as_text(value) for key, value in variables.items()}

    def connection(self, conn_id: str) -> Connection | None:
        """Return a connection, None if it is not there."""
        return self.connections.get(conn_id)

    def variable(self, key: str) -> str | None:
        """Return a variable, None if it is not there."""
        return self.variables.get(key)

    def names(self, kind: str) -> set[str]:
        """Return the names that are there."""
        return set(self.connections if kind == "connections" else self.variables)


def check_name(name: str, kind: str) -> None:
    """Refuse what nobody could write as a name.

    Raises:
        UsageError: It is empty, too long, or holds what cannot be seen.
    """
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable() or name != name.strip():
        message = f"{name[:50]!r} cannot be the name of a {kind}"
        hint = f"1 to {MAX_NAME_LENGTH} characters that can be seen"
        raise UsageError(message, hint=hint)
