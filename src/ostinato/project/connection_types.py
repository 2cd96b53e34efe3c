"""This module tells the types of connections before anything is connected, or decrypted."""

from collections.abc import Iterable, Mapping
from typing import Any

#: What begins the names of environment variables that hold a connection.
_PREFIXES = ("AIRFLOW_CONN_", "OSTINATO_CONN_")


def connection_types(
    settings: Mapping[str, str | Mapping[str, Any]], environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the types of connections by id, of those whose type can be seen.

    What lies encrypted in the store, or is a reference, is left out: no secret is looked at.

    Args:
        settings: What ``ostinato.yaml`` says of connections.
        environ: The environment.

    >>> connection_types({"shop": "duckdb:///a.db", "lake": {"type": "postgres"}}, {})
    {'shop': 'duckdb', 'lake': 'postgres'}
    """
    found: dict[str, str] = {}
    for conn_id, content in settings.items():
        found[conn_id] = _type_of(content)
    for prefix in _PREFIXES:
        for name, text in environ.items():
            if name.startswith(prefix):
                found[name.removeprefix(prefix).lower()] = _type_of(text)
    return {conn_id: kind for conn_id, kind in found.items() if kind}


def connections_of(environ: Iterable[str]) -> set[str]:
    """Return the ids, in small letters, of the connections that environment variables hold.

    >>> connections_of(["OSTINATO_CONN_SHOP", "HOME"])
    {'shop'}
    """
    return {
        name.removeprefix(prefix).lower()
        for name in environ
        for prefix in _PREFIXES
        if name.startswith(prefix) and name != prefix
    }


def _type_of(content: str | Mapping[str, Any]) -> str:
    if isinstance(content, str):
        scheme, separator, _ = content.strip().partition("://")
        return scheme.lower() if separator and scheme.replace("-", "").isalnum() else ""
    kind = content.get("type") or content.get("conn_type")
    return str(kind).lower() if kind else _type_of(str(content.get("uri") or ""))
