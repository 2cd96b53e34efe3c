"""This module is where connections and variables are looked for, apart from the store."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import msgspec

from ostinato.client.vault_files import environment_names, names_in_environment, read_entries
from ostinato.errors import InvalidConnection, OstinatoError, SettingsError, VaultError
from ostinato.model.connection import Connection
from ostinato.project.interpolation import fill, fill_uri
from ostinato.project.settings import Settings

#: Seconds for which an answer of a back-end is used again.
CACHED_S = 30.0


class SecretsBackend(Protocol):
    """A secrets back-end: another place where connections and variables are kept.

    The methods are those of Airflow's back-ends. A method may be missing, and one that lists
    names may be added: ``conn_ids()`` and ``variable_keys()``.
    """

    def get_conn_value(self, conn_id: str) -> str | None:
        """Return a connection as URI or JSON, None if it is not there."""
        ...

    def get_variable(self, key: str) -> str | None:
        """Return a variable, None if it is not there."""
        ...


class Source(Protocol):
    """One of the places where things are looked for, one after the other."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def connection(self, conn_id: str) -> Connection | None:
        """Return a connection, None if it is not there."""
        ...

    def variable(self, key: str) -> str | None:
        """Return a variable, None if it is not there."""
        ...

    def names(self, kind: str) -> set[str]:
        """Return the names that are there, as far as the source tells."""
        ...


class EnvironmentSource:
    """Environment variables: ``OSTINATO_CONN_*``, ``AIRFLOW_CONN_*`` and the same with ``VAR``.

    Args:
        environ: The variables.
    """

    name = "the environment"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def connection(self, conn_id: str) -> Connection | None:
        """Return a connection, None if it is not there."""
        text = self._find("connections", conn_id)
        return Connection.parse(text, conn_id) if text else None

    def variable(self, key: str) -> str | None:
        """Return a variable, None if it is not there."""
        return self._find("variables", key)

    def names(self, kind: str) -> set[str]:
        """Return the names that are there, in small letters."""
        return names_in_environment(kind, self._environ)

    def _find(self, kind: str, name: str) -> str | None:
        for variable in environment_names(kind, name):
            if (text := self._environ.get(variable)) is not None:
                return text
        return None


class SettingsSource:
    """``ostinato.yaml``: its ``connections`` and ``variables``.

    Args:
        settings: What holds.
        environ: What references stand for.
    """

    name = "ostinato.yaml"

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ

    def connection(self, conn_id: str) -> Connection | None:
        """Return a connection, None if it is not there."""
        content = self._settings.connections.get(conn_id)
        if content is None:
            return None
        subject = f"connection {conn_id!r} of {self.name}"
        if isinstance(content, str):
            is_uri = not content.lstrip().startswith("{")
            filled = (fill_uri if is_uri else fill)(content, self._environ, subject=subject)
            return Connection.parse(filled, conn_id)
        fields = dict(content)
        if isinstance(fields.get("uri"), str):
            fields["uri"] = fill_uri(fields["uri"], self._environ, subject=subject)
            uri = fields.pop("uri")
            return Connection.from_json(
                {"uri": uri, **fill(fields, self._environ, subject=subject)}, conn_id
            )
        return Connection.from_json(fill(fields, self._environ, subject=subject), conn_id)

    def variable(self, key: str) -> str | None:
        """Return a variable, None if it is not there."""
        if key not in self._settings.variables:
            return None
        subject = f"variable {key!r} of {self.name}"
        return as_text(fill(self._settings.variables[key], self._environ, subject=subject))

    def names(self, kind: str) -> set[str]:
        """Return the names that are there."""
        return set(getattr(self._settings, kind))


class FileBackend:
    """The built-in back-end: a JSON, YAML or .env file, read again when it has changed.

    Args:
        file: Path of the file.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._version: tuple[int, int] | None = None
        self._entries: dict[str, dict[str, Any]] = {}

    def get_conn_value(self, conn_id: str) -> str | None:
        """Return a connection as URI or JSON, None if it is not there."""
        content = self._read("connections").get(conn_id)
        if content is None or isinstance(content, str):
            return content
        return msgspec.json.encode(content).decode()

    def get_variable(self, key: str) -> str | None:
        """Return a variable, None if it is not there."""
        variables = self._read("variables")
        return as_text(variables[key]) if key in variables else None

    def conn_ids(self) -> set[str]:
        """Return the ids of its connections."""
        return set(self._read("connections"))

    def variable_keys(self) -> set[str]:
        """Return the names of its variables."""
        return set(self._read("variables"))

    def _read(self, kind: str) -> dict[str, Any]:
        try:
            status = self._file.stat()
        except OSError as error:
            message = f"the secrets file {self._file} cannot be read: {error.strerror}"
            raise VaultError(message) from None
        version = (status.st_mtime_ns, status.st_ino)
        if version != self._version:
            self._entries = {
                kind: read_entries(self._file, kind) for kind in ("connections", "variables")
            }
            self._version = version
        return self._entries[kind]


class BackendSource:
    """A secrets back-end as a source; keeps its answers for a moment.

    Args:
        name: What people call it.
        backend: What is asked.
        monotonic_s: Tells the time.
        cached_s: Seconds for which an answer is kept.
    """

    def __init__(
        self,
        name: str,
        backend: SecretsBackend,
        monotonic_s: Callable[[], float],
        *,
        cached_s: float = CACHED_S,
    ) -> None:
        self.name = name
        self._cached_s = cached_s
        self._backend = backend
        self._monotonic_s = monotonic_s
        self._answers: dict[tuple[str, tuple[str, ...]], tuple[float, Any]] = {}

    def connection(self, conn_id: str) -> Connection | None:
        """Return a connection, None if it is not there."""
        text = self._ask("get_conn_value", conn_id)
        if text is None:
            return None
        if not isinstance(text, str):
            message = f"the secrets back-end {self.name} gave no text for connection {conn_id!r}"
            raise InvalidConnection(message)
        return Connection.parse(text, conn_id)

    def variable(self, key: str) -> str | None:
        """Return a variable, None if it is not there."""
        value = self._ask("get_variable", key)
        return None if value is None else as_text(value)

    def names(self, kind: str) -> set[str]:
        """Return the names that are there; nothing where the back-end lists none."""
        listed = self._ask("conn_ids" if kind == "connections" else "variable_keys")
        return set(listed or ())

    def _ask(self, method: str, *arguments: str) -> Any:
        key = (method, arguments)
        now_s = self._monotonic_s()
        kept = self._answers.get(key)
        if kept is not None and now_s < kept[0]:
            return kept[1]
        ask = getattr(self._backend, method, None)
        try:
            answer = ask(*arguments) if ask is not None else None
        except OstinatoError:
            raise
        except Exception as error:
            message = f"the secrets back-end {self.name} failed: {type(error).__name__}: {error}"
            raise VaultError(message) from error
        self._answers[key] = (now_s + self._cached_s, answer)
        return answer


def open_backends(settings: Settings, root: Path, monotonic_s: Callable[[], float]) -> list[Source]:
    """Return the back-ends that the settings name.

    Args:
        settings: What holds.
        root: Of the project; paths are relative to it, and modules are found in it.
        monotonic_s: Tells the time.

    Raises:
        SettingsError: One cannot be made.
    """
    sources: list[Source] = []
    for given in settings.secrets.backends:
        if "file" in given:
            name = str(given["file"])
            backend = FileBackend(root / Path(name).expanduser())
            # It notices changes by itself.
            sources.append(BackendSource(name, backend, monotonic_s, cached_s=0.0))
        else:
            name = str(given["class"])
            arguments = {key: value for key, value in given.items() if key != "class"}
            sources.append(BackendSource(name, _make(name, arguments, root), monotonic_s))
    return sources


def as_text(value: Any) -> str:
    """Return a variable's value as it is kept: text as it is, all else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _make(name: str, arguments: dict[str, Any], root: Path) -> SecretsBackend:
    module_name, colon, class_name = name.partition(":")
    if not colon:
        message = f"secrets back-end {name!r} is no class"
        raise SettingsError(message, hint="write module:Class")
    if str(root) not in sys.path:
        sys.path.append(str(root))
    try:
        backend: SecretsBackend = getattr(import_module(module_name), class_name)(**arguments)
    except Exception as error:
        message = f"secrets back-end {name!r} cannot be made: {type(error).__name__}: {error}"
        raise SettingsError(message) from error
    return backend
