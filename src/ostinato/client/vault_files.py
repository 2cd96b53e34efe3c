"""This module reads and writes files of connections, variables and pools.

JSON and YAML files hold either sections (``connections``, ``variables``, ``pools``) or, as
Airflow writes them, the entries of one kind. Lines of a ``.env`` file name an entry as the
environment does (``OSTINATO_CONN_SHOP=...``), or by itself (``shop=...``).
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ostinato.errors import Place, UsageError
from ostinato.project.document import read_document

#: What a file can hold.
KINDS = ("connections", "variables", "pools")

#: Begin the names of environment variables that hold an entry, the strongest first.
PREFIXES = {
    "connections": ("OSTINATO_CONN_", "AIRFLOW_CONN_"),
    "variables": ("OSTINATO_VAR_", "AIRFLOW_VAR_"),
}

FORMATS = ("json", "yaml", "env")
_SUFFIXES = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".env": "env"}
#: How ends of lines are written in quotes, behind a backslash.
_LINE_ENDS = {"n": "\n", "r": "\r"}
_LINE = re.compile(r"(?:export\s+)?([^=\s]+)\s*=\s*(.*)")


def format_of(path: Path) -> str:
    """Return the format that a file's name tells.

    Raises:
        UsageError: It tells none.
    """
    found = _SUFFIXES.get(path.suffix.lower()) or ("env" if path.name == ".env" else "")
    if not found:
        hint = "its name ends with .json, .yaml, .yml or .env"
        raise UsageError(f"the format of {path} is unknown", hint=hint)
    return found


def read_entries(path: Path, kind: str) -> dict[str, Any]:
    """Return the entries of a kind that a file holds, by name.

    Args:
        path: The file.
        kind: One of ``KINDS``.

    Raises:
        UsageError: The file cannot be read.
        SettingsError: It is no sound YAML.
    """
    name = str(path)
    try:
        match format_of(path):
            case "json":
                content = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
            case "yaml":
                content = read_document(path, name).content
            case _:
                return _read_lines(path, kind)
    except msgspec.MsgspecError as error:
        raise UsageError(f"holds no JSON object: {error}", place=Place(name)) from None
    except UnicodeDecodeError:
        raise UsageError("is not encoded in UTF-8", place=Place(name)) from None
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", place=Place(name)) from None
    if content and all(key in KINDS and isinstance(content[key], dict | None) for key in content):
        content = content.get(kind) or {}
    return content


def write_entries(entries: Mapping[str, Any], kind: str, format: str) -> str:
    """Return the text of a file with entries of one kind, in a form that Airflow reads too.

    Args:
        entries: By name; in the format ``env`` texts, else what JSON can hold.
        kind: One of ``KINDS``.
        format: One of ``FORMATS``.
    """
    match format:
        case "json":
            return msgspec.json.format(msgspec.json.encode(entries), indent=2).decode() + "\n"
        case "yaml":
            # 12 ms, for this format only.
            import yaml  # noqa: PLC0415 - see above

            text: str = yaml.safe_dump(
                dict(entries), sort_keys=False, allow_unicode=True, default_flow_style=False
            )
            return text
        case _:
            return "".join(
                f"{_line_name(kind, name)}={_quoted(str(value))}\n"
                for name, value in entries.items()
            )


def environment_names(kind: str, name: str) -> list[str]:
    """Return the environment variables that may hold an entry, the strongest first.

    An entry's name is written in capitals; what no shell could set stands as underscores too.

    >>> environment_names("variables", "my-key")[:2]
    ['OSTINATO_VAR_MY-KEY', 'OSTINATO_VAR_MY_KEY']
    """
    exact = name.upper()
    plain = re.sub(r"\W", "_", exact, flags=re.ASCII)
    return [
        f"{prefix}{each}" for prefix in PREFIXES[kind] for each in dict.fromkeys((exact, plain))
    ]


def environment_name(kind: str, name: str) -> str:
    """Return the environment variable by which to set an entry."""
    return PREFIXES[kind][0] + re.sub(r"\W", "_", name.upper(), flags=re.ASCII)


def names_in_environment(kind: str, environ: Iterable[str]) -> set[str]:
    """Return the names of entries, in small letters, that environment variables hold."""
    return {
        variable.removeprefix(prefix).lower()
        for variable in environ
        for prefix in PREFIXES[kind]
        if variable.startswith(prefix) and variable != prefix
    }


def _read_lines(path: Path, kind: str) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            hint = "a line is NAME=value"
            raise UsageError("is no entry", place=Place(str(path), number), hint=hint)
        name, value = found[1], _unquoted(found[2])
        prefixes = PREFIXES.get(kind, ())
        others = {prefix for each in PREFIXES.values() for prefix in each} - set(prefixes)
        if own := [prefix for prefix in prefixes if name.startswith(prefix)]:
            name = name.removeprefix(own[0]).lower()
        elif name.startswith(tuple(others)):
            continue
        entries[name] = value
    return entries


def _line_name(kind: str, name: str) -> str:
    if re.fullmatch(r"[a-z0-9_]+", name):
        return environment_name(kind, name)
    if re.search(r"[=\s#]", name) or name.startswith(PREFIXES[kind]):
        message = f"the name {name!r} cannot be written as a line of a .env file"
        raise UsageError(message, hint="use JSON or YAML")
    # As it is: a name in capitals would not be read back as this one.
    return name


def _quoted(value: str) -> str:
    if re.fullmatch(r"[^\s'\"#\\]*", value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    for mark, end in _LINE_ENDS.items():
        escaped = escaped.replace(end, f"\\{mark}")
    return f'"{escaped}"'


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == "'":
        return value[1:-1]
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", lambda found: _LINE_ENDS.get(found[1], found[1]), value[1:-1])
    return value
