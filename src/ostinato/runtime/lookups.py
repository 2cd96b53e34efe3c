"""This module is what templates find under ``var`` and ``conn``: looked up as they are used."""

from typing import TYPE_CHECKING, Any, Protocol

from ostinato.errors import UnknownConnection

if TYPE_CHECKING:
    from ostinato.model.connection import Connection


class Outside(Protocol):
    """What answers the look-ups; an attempt's context does."""

    def variable(self, key: str, *, default: Any = ..., json: bool = False) -> Any:
        """Return a variable."""
        ...

    def connection(self, conn_id: str) -> "Connection":
        """Return a connection."""
        ...


class Variables:
    """Variables by name: ``{{ var.value.bucket }}``, ``{{ var.value.get("bucket", "none") }}``.

    Args:
        outside: Knows them.
        is_json: Whether what they hold is decoded.
    """

    def __init__(self, outside: Outside, *, is_json: bool) -> None:
        self._outside = outside
        self._is_json = is_json

    def get(self, key: str, default: Any = None) -> Any:
        """Return a variable, or the default where there is none.

        Args:
            key: Of the variable; names with dots are written so.
            default: Given where there is none.
        """
        return self._outside.variable(key, default=default, json=self._is_json)

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):  # what Python and Jinja ask every object for
            raise AttributeError(key)
        return self[key]

    def __getitem__(self, key: str) -> Any:
        return self._outside.variable(key, json=self._is_json)


class VariableForms:
    """What ``var`` is: the variables as text, and as what they hold as JSON.

    Args:
        outside: Knows them.
    """

    def __init__(self, outside: Outside) -> None:
        self.value = Variables(outside, is_json=False)
        self.json = Variables(outside, is_json=True)


class Connections:
    """Connections by id: ``{{ conn.warehouse.host }}``.

    Args:
        outside: Knows them.
    """

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    def get(self, conn_id: str, default: Any = None) -> Any:
        """Return a connection, or the default where there is none.

        Args:
            conn_id: Of the connection.
            default: Given where there is none.
        """
        try:
            return self._outside.connection(conn_id)
        except UnknownConnection:
            return default

    def __getattr__(self, conn_id: str) -> Any:
        if conn_id.startswith("__"):  # what Python and Jinja ask every object for
            raise AttributeError(conn_id)
        return self[conn_id]

    def __getitem__(self, conn_id: str) -> Any:
        return self._outside.connection(conn_id)
