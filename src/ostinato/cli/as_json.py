"""This module gives runs, task runs, values and events the form that programs read."""

from collections.abc import Mapping
from typing import Any

import click
import msgspec
from msgspec import UNSET

from ostinato.cli.display import iso
from ostinato.client.answers import WaitingInput
from ostinato.client.views import AttemptView, NoticeView, TaskRunView, ValueView
from ostinato.model.failure import Failure
from ostinato.model.log import LogRecord
from ostinato.model.manifest import DefinitionProblem
from ostinato.model.state import TaskRunState
from ostinato.store.records import ArtifactRow, RunRow

Json = dict[str, Any]


def echo(data: Any) -> None:
    """Print data as JSON on one line."""
    click.echo(encoded(data))


def encoded(data: Any) -> str:
    """Return data as JSON on one line."""
    return msgspec.json.encode(data).decode()


def plain(data: msgspec.Struct) -> Json:
    """Return a record as it is."""
    fields: Json = msgspec.to_builtins(data)
    return fields


def artifact(row: ArtifactRow) -> Json:
    """Return what a task published."""
    return {
        "id": str(row.id),
        "run_id": str(row.run_id),
        "task_id": row.task_id,
        "path": row.path,
        "kind": row.kind,
        "key": row.key,
        "version": row.version,
        "description": row.description,
        "data": msgspec.json.decode(row.data),
        "created_at": iso(row.created_us),
        "updated_at": iso(row.updated_us),
    }


def run(row: RunRow, *, is_interrupted: bool = False) -> Json:
    """Return a run."""
    return {
        "id": str(row.id),
        "name": f"{row.flow}#{row.number}",
        "run_name": row.name,
        "project": row.project,
        "flow": row.flow,
        "number": row.number,
        "state": row.state.label,
        "is_interrupted": is_interrupted,
        "reason": row.reason,
        "params": msgspec.json.decode(row.params),
        "trigger": row.trigger,
        "tags": list(row.tags),
        "logical_date": iso(row.logical_date_us),
        "data_interval_start": iso(row.interval_start_us),
        "data_interval_end": iso(row.interval_end_us),
        "partition": row.partition,
        "manifest_version": row.manifest_version,
        "target": row.target,
        "code": msgspec.json.decode(row.code) if row.code else {},
        "created_at": iso(row.created_us),
        "started_at": iso(row.started_us),
        "ended_at": iso(row.ended_us),
    }


def counts(by_task: Mapping[str, Mapping[TaskRunState, int]]) -> dict[str, int]:
    """Return how many task runs of a run are in each state."""
    total: dict[str, int] = {}
    for states in by_task.values():
        for state, number in states.items():
            total[state.label] = total.get(state.label, 0) + number
    return total


def task_run(view: TaskRunView) -> Json:
    """Return a task run."""
    return {
        "task_id": view.task_id,
        "map_path": [int(part) for part in view.path.split(".")] if view.path else [],
        "map_name": view.map_name,
        "state": view.state.label,
        "attempt": view.attempt,
        "failures": view.failures,
        "generation": view.generation,
        "queued_at": iso(view.queued_us),
        "started_at": iso(view.started_us),
        "ended_at": iso(view.ended_us),
        "due_at": iso(view.due_us),
        "reason": view.reason,
        "answered_by": view.answered_by,
        "failure": None if view.failure is None else failure(view.failure),
        "inputs": None if view.inputs is None else _inputs(view.inputs),
    }


def attempt(view: AttemptView) -> Json:
    """Return an earlier attempt."""
    return {
        "attempt": view.attempt,
        "generation": view.generation,
        "state": view.state,
        "started_at": iso(view.started_us),
        "ended_at": iso(view.ended_us),
        "failure": None if view.failure is None else failure(view.failure),
    }


def failure(data: Failure) -> Json:
    """Return what went wrong, with its one-line summary."""
    plain: Json = msgspec.to_builtins(data)
    return {"summary": data.summary, **plain}


def value(view: ValueView) -> Json:
    """Return a value; its content only where it is JSON."""
    plain: Json = {
        "map_path": [int(part) for part in view.path.split(".")] if view.path else [],
        "key": view.key,
        "format": view.format,
        "size_bytes": view.size_bytes,
        "type_name": view.type_name,
    }
    if view.content is not UNSET:
        return {**plain, "content": view.content}
    return {**plain, "preview": view.preview, "location": view.location}


def notice(view: NoticeView) -> Json:
    """Return a callback or an alert."""
    return {
        "id": str(view.id),
        "task_id": view.task_id,
        "map_path": [int(part) for part in view.path.split(".")] if view.path else [],
        "attempt": view.attempt,
        "moment": view.moment,
        "recipient": view.recipient,
        "rule": view.rule,
        "state": view.state,
        "tries": view.tries,
        "created_at": iso(view.created_us),
        "due_at": iso(view.due_us),
        "ended_at": iso(view.ended_us),
        "failure": None if view.failure is None else failure(view.failure),
        "title": view.title,
        "body": view.body,
    }


def log_line(task: str, attempt_number: int, record: LogRecord) -> Json:
    """Return a line of a log."""
    return {
        "task_run": task,
        "attempt": attempt_number,
        "seq": record.seq,
        "at": iso(record.at_us),
        "level": record.level,
        "source": record.source,
        "message": record.message,
    }


def waiting_input(row: RunRow, asked: WaitingInput) -> Json:
    """Return a task run that waits for a person."""
    return {
        "run": f"{row.flow}#{row.number}",
        "run_id": str(row.id),
        "task_id": asked.task_id,
        "map_path": [int(part) for part in asked.path.split(".")] if asked.path else [],
        "title": asked.request.title,
        "message": asked.request.message,
        "schema": asked.request.schema,
        "since": iso(asked.since_us),
        "until": iso(asked.due_us),
        "is_suspended": asked.holds_nothing,
    }


def problem(data: DefinitionProblem) -> Json:
    """Return why something cannot be used."""
    return {
        "code": data.code,
        "severity": data.severity,
        "file": data.file,
        "line": data.line,
        "column": data.column,
        "message": data.message,
        "hint": data.hint,
    }


def _inputs(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        # Shortened in the middle: no longer JSON, but still worth reading.
        return text
