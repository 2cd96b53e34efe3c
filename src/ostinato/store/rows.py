"""This module turns rows of the tables into records and back."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec.structs import astuple

from ostinato.engine.events import decode_event, encode_event
from ostinato.errors import InternalError
from ostinato.model.identity import RunId
from ostinato.model.state import RunState
from ostinato.model.value import StoredValue, ValueFormat
from ostinato.store.cursors import write_position
from ostinato.store.records import (
    AttemptRow,
    EventRow,
    LoggedEvent,
    NewRun,
    RunRow,
    TaskRunRow,
    ValueRow,
)

#: Map paths whose keys are remembered: each is written several times while its task run lives.
REMEMBERED_PATHS = 8_192

#: Characters of a parameter by which runs can be found; an index cannot hold any length.
MAX_FOUND_VALUE = 500

_TAGS = RunRow.__struct_fields__.index("tags")
_STATE = RunRow.__struct_fields__.index("state")

_json = msgspec.json.Encoder()
_tags_decoder = msgspec.json.Decoder(tuple[str, ...])


@lru_cache(REMEMBERED_PATHS)
def path_key(path: str) -> bytes:
    """Return a map path so that it sorts by index: four bytes for each.

    >>> path_key("2") < path_key("10") < path_key("10.0")
    True
    """
    if not path:
        return b""
    return b"".join(int(part).to_bytes(4, "big") for part in path.split("."))


def run_parameters(row: RunRow) -> tuple[object, ...]:
    """Return a run in the order of ``insert_run``."""
    # Hot path: ten thousand schedules may be due at once.
    columns = astuple(row)
    tags = _json.encode(row.tags).decode() if row.tags else "[]"
    return (
        *columns[:_TAGS],
        tags,
        *columns[_TAGS + 1 : _STATE],
        int(row.state),
        *columns[_STATE + 1 :],
    )


def run_row(columns: Sequence[Any]) -> RunRow:
    """Return a run from the columns of ``select_runs``."""
    tags = _tags_decoder.decode(columns[_TAGS]) if columns[_TAGS] != "[]" else ()
    state = RunState(columns[_STATE])
    before, between, after = columns[:_TAGS], columns[_TAGS + 1 : _STATE], columns[_STATE + 1 :]
    return RunRow(*(*before, tags, *between, state, *after))


def created_run(new: NewRun, *, id: int, number: int, created_us: int, owner: int) -> RunRow:
    """Return the row of a run that is created.

    Args:
        new: What was asked for.
        id: Its id.
        number: Its number within its flow.
        created_us: When.
        owner: Id of the coordinator that owns it; 0 for none.
    """
    *asked, name, priority = astuple(new)
    # What is asked for stands together, and its name and priority at the end, where they came.
    own = (RunState.QUEUED, "", created_us, 0, 0, owner, 0)
    return RunRow(*(id, number, *asked, *own, name, priority))


def scalar_parameters(row: RunRow) -> list[tuple[int, str, str]]:
    """Return (run, name, JSON) of those parameters of a run by which it can be found."""
    return [(row.id, name, value) for name, value in searchable_parameters(row.params)]


def searchable_parameters(data: bytes) -> list[tuple[str, str]]:
    """Return (name, JSON) of those parameters by which a run can be found.

    Args:
        data: All of them, as a JSON object.
    """
    if data == b"{}":
        return []
    params = msgspec.json.decode(data)
    if not isinstance(params, dict):
        raise InternalError(f"the parameters of a run are {type(params).__name__}, not an object")
    return [
        (name, text)
        for name, value in params.items()
        if value is None or isinstance(value, str | int | float | bool)
        if len(text := _json.encode(value).decode()) <= MAX_FOUND_VALUE
    ]


def task_run_parameters(rows: Sequence[TaskRunRow]) -> list[tuple[object, ...]]:
    """Return task runs in the order of ``upsert_task_run``."""
    # Hot path: for each change of a task run. SQLite's module takes plain numbers fastest: an
    # enum or a bool costs it a search for an adapter (0.3 µs each).
    return [
        (row[0], row[1], path_key(row[2]), row[2], int(row[3]), *row[4:15], int(row[15]), *row[16:])
        for row in rows
    ]


def event_parameters(rows: Sequence[EventRow]) -> list[tuple[object, ...]]:
    """Return events in the order of ``insert_event``."""
    return [
        (run_id, task_id, path, at_us, encode_event(event))
        for run_id, task_id, path, at_us, event in rows
    ]


def value_parameters(row: ValueRow) -> tuple[object, ...]:
    """Return a value in the order of ``upsert_value``."""
    run_id, task_id, path, generation, attempt, value = row
    return (
        run_id,
        task_id,
        path_key(path),
        value.key,
        path,
        generation,
        attempt,
        value.format.value,
        value.size_bytes,
        value.data,
        value.location,
        value.type_name,
        value.preview,
    )


def stored_value(columns: Sequence[Any]) -> tuple[str, StoredValue]:
    """Return (path, value) from the columns of ``select_values``."""
    path, key, value_format, *rest = columns
    return path, StoredValue(key, ValueFormat(value_format), *rest)


def logged_event(columns: Sequence[Any]) -> LoggedEvent:
    """Return an event from the columns of ``select_events``."""
    *position, run_id, task_id, path, at_us, raw = columns
    try:
        event = decode_event(raw)
    except msgspec.DecodeError:
        # Of a newer version: kept raw, so that nothing of the log is lost.
        event = None
    cursor = write_position(*position)
    return LoggedEvent(cursor, RunId(run_id), task_id, path, at_us, event, raw)


def void_values_parameters(row: AttemptRow) -> tuple[object, ...]:
    """Return what an earlier attempt stored, in the order of ``delete_values``."""
    return row.run_id, row.task_id, path_key(row.path), row.generation, row.attempt
