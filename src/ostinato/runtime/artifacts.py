"""This module publishes artifacts: what a task or a flow has to show to people."""

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec

from ostinato.authoring.places import calling_place, relative_place
from ostinato.errors import InvalidArgument, UsageError
from ostinato.runtime.context import TaskContext, current_context

#: An artifact is for people; what is larger is data, and a task returns it.
MAX_BYTES = 1024 * 1024

_KEY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def create_table_artifact(
    table: Any, key: str | None = None, description: str | None = None
) -> int:
    """Publish a table, and return the id of the artifact.

    Args:
        table: A list of rows that are dicts or lists, a dict of columns, or a data frame.
        key: What the artifacts of many runs have in common; each is a version of it then.
        description: For people.

    Raises:
        InvalidArgument: The key is none, or the table is too large.
        UsageError: No task or flow executes here.
    """
    columns, rows = _table(table)
    return _publish("table", key, description, {"columns": columns, "rows": rows})


def create_markdown_artifact(
    markdown: str, key: str | None = None, description: str | None = None
) -> int:
    """Publish a text in Markdown, and return the id of the artifact.

    Args:
        markdown: The text.
        key: What the artifacts of many runs have in common.
        description: For people.
    """
    return _publish("markdown", key, description, {"markdown": markdown})


def create_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None
) -> int:
    """Publish a link, and return the id of the artifact.

    Args:
        link: An address.
        link_text: What is shown for it.
        key: What the artifacts of many runs have in common.
        description: For people.
    """
    return _publish("link", key, description, {"link": link, "text": link_text or link})


def create_image_artifact(
    image_url: str, key: str | None = None, description: str | None = None
) -> int:
    """Publish an image that can be reached at an address, and return the id of the artifact.

    Args:
        image_url: The address.
        key: What the artifacts of many runs have in common.
        description: For people.
    """
    return _publish("image", key, description, {"image_url": image_url})


def create_file_artifact(
    file: str | Path, key: str | None = None, description: str | None = None
) -> int:
    """Keep a copy of a file with the run, and return the id of the artifact.

    Args:
        file: Its path; a relative one starts at the working directory.
        key: What the artifacts of many runs have in common.
        description: For people.

    Raises:
        ExecutionError: The file cannot be read.
    """
    context = _context()
    _check_key(key)
    return context.keep_file(Path(file), key=key or "", description=description or "")


def create_progress_artifact(
    progress: float, key: str | None = None, description: str | None = None
) -> int:
    """Publish how far something is, and return the id to change it by.

    Args:
        progress: In percent.
        key: What the artifacts of many runs have in common.
        description: For people.
    """
    return _publish("progress", key, description, {"progress": _percent(progress)})


def update_progress_artifact(
    artifact_id: int, progress: float, description: str | None = None
) -> int:
    """Say how far something is by now.

    Args:
        artifact_id: As ``create_progress_artifact`` returned it.
        progress: In percent.
        description: For people; the earlier one by default.

    Raises:
        UsageError: There is no such artifact, or no task or flow executes here.
    """
    data = msgspec.json.encode({"progress": _percent(progress)})
    _context().update_artifact(artifact_id, description, data)
    return artifact_id


def _publish(kind: str, key: str | None, description: str | None, data: Mapping[str, Any]) -> int:
    context = _context()
    _check_key(key)
    encoded = msgspec.json.encode(data, enc_hook=str)
    if len(encoded) > MAX_BYTES:
        raise InvalidArgument(
            f"the {kind} takes {len(encoded):,} bytes, more than the {MAX_BYTES:,} of an artifact",
            place=relative_place(calling_place()),
            hint="return the data from the task, and publish a summary of it",
        )
    return context.publish(kind, key or "", description or "", encoded)


def _check_key(key: str | None) -> None:
    if key is not None and not _KEY.fullmatch(key):
        message = f"artifact key {key!r} is not made of small letters, digits and single dashes"
        raise InvalidArgument(message, place=relative_place(calling_place()))


def _percent(progress: float) -> float:
    if not 0 <= progress <= 100:
        message = f"progress is in percent, from 0 to 100, not {progress}"
        raise InvalidArgument(message, place=relative_place(calling_place()))
    return float(progress)


def _table(table: Any) -> tuple[list[str], list[list[Any]]]:
    """Return names of columns, empty if they have none, and rows."""
    if hasattr(table, "to_dicts"):
        table = table.to_dicts()
    elif hasattr(table, "to_dict"):
        table = table.to_dict("records")
    if isinstance(table, Mapping):
        columns = [str(name) for name in table]
        return columns, [list(row) for row in zip_longest(*table.values())]
    if not isinstance(table, Sequence) or isinstance(table, str | bytes):
        message = f"a table is a list of rows or a dict of columns, not {type(table).__name__}"
        raise InvalidArgument(message, place=relative_place(calling_place()))
    if table and all(isinstance(row, Mapping) for row in table):
        names = list(dict.fromkeys(name for row in table for name in row))
        return [str(name) for name in names], [[row.get(name) for name in names] for row in table]
    return [], [list(row) if isinstance(row, list | tuple) else [row] for row in table]


def _context() -> TaskContext:
    context = current_context.get()
    if context is None:
        message = "artifacts are published by tasks and flows that run"
        raise UsageError(message, place=relative_place(calling_place()))
    return context
