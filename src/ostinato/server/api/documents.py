"""This module is the documents that callers send and get; their schemas are the OpenAPI document.

Names and values are those of the command line's JSON. Ids of runs are text, for they are larger
than what JavaScript counts exactly.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from ostinato.client.answers import WaitingInput
from ostinato.client.flows import ServedFlow
from ostinato.client.records import CoordinatorRow, LoggedEvent, RunRow
from ostinato.client.views import TaskRunView
from ostinato.model.schedule_tick import ScheduleRow, ScheduleTickRow
from ostinato.model.sensor_state import SensorState, TickRow

#: Longest page of a list.
MAX_PAGE = 1000

Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE, description="How many at most.")]
Cursor = Annotated[
    str, Meta(max_length=500, description="next_cursor of the page before; empty for the first.")
]
RunStateName = Literal[
    "queued", "running", "paused", "cancelling", "succeeded", "failed", "cancelled"
]
TaskRunStateName = Literal[
    "pending",
    "queued",
    "running",
    "retrying",
    "deferred",
    "succeeded",
    "failed",
    "skipped",
    "upstream_failed",
    "cancelled",
    "removed",
]


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """What callers send; an unknown name is refused."""


class Problem(Struct, frozen=True):
    """Why a request is not answered as it was meant."""

    code: str
    message: str
    hint: str


class Parameter(Struct, frozen=True):
    """A value that a run is given; ``schema`` is JSON Schema."""

    name: str
    schema: dict[str, Any]
    default: Any
    is_required: bool
    description: str


class Flow(Struct, frozen=True):
    """A flow whose code is served."""

    name: str
    manifest_version: str
    schedule: str
    timezone: str
    parameters: list[Parameter]
    tasks: list[str]
    tags: list[str]
    owner: str
    doc: str
    max_active_runs: int
    served_at: datetime | None


class FlowList(Struct, frozen=True):
    """All flows whose code is served, by name."""

    items: list[Flow]


class Run(Struct, frozen=True):
    """A run."""

    id: str
    name: str
    run_name: str
    project: str
    flow: str
    number: int
    state: RunStateName
    reason: str
    params: dict[str, Any]
    trigger: str
    tags: list[str]
    key: str | None
    logical_date: datetime | None
    data_interval_start: datetime | None
    data_interval_end: datetime | None
    partition: str
    manifest_version: str
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


class RunPage(Struct, frozen=True):
    """Runs, newest first; ``next_cursor`` is empty on the last page."""

    items: list[Run]
    next_cursor: str


class RunQuery(Request, frozen=True):
    """Which runs are asked for; what is left out asks for all."""

    flow: str = ""
    state: tuple[RunStateName, ...] = ()
    trigger: str = ""
    tag: str = ""
    param: Annotated[
        tuple[str, ...], Meta(description="NAME=VALUE; the value as JSON, or as plain text.")
    ] = ()
    created_from: datetime | None = None
    created_to: datetime | None = None
    cursor: Cursor = ""
    limit: Limit = 50


class NewRun(Request, frozen=True):
    """A run that is asked for."""

    params: dict[str, Any] = {}
    date: Annotated[
        str, Meta(description="Logical date, ISO 8601, in the flow's time zone; empty for now.")
    ] = ""
    key: Annotated[
        str,
        Meta(
            max_length=500,
            description="There is one run of the flow with it: asking again returns the first.",
        ),
    ] = ""
    tags: list[str] = []


class Failure(Struct, frozen=True):
    """What went wrong in an attempt."""

    kind: str
    message: str
    summary: str


class TaskRun(Struct, frozen=True):
    """A task run that has left ``pending``."""

    task_id: str
    map_path: list[int]
    map_name: str
    state: TaskRunStateName
    attempt: int
    failures: int
    generation: int
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    due_at: datetime | None
    reason: str
    failure: Failure | None


class TaskRunPage(Struct, frozen=True):
    """Task runs of a run, by task and index; ``next_cursor`` is empty on the last page."""

    items: list[TaskRun]
    next_cursor: str


class TaskRunQuery(Request, frozen=True):
    """Which task runs of a run are asked for."""

    task: str = ""
    state: tuple[TaskRunStateName, ...] = ()
    cursor: Cursor = ""
    limit: Limit = 100


class Event(Struct, frozen=True):
    """What happened to a run; ``data`` is as the event log has it, by ``type``."""

    cursor: str
    run_id: str
    task_id: str
    path: str
    at: datetime | None
    type: str
    data: dict[str, Any]


class EventPage(Struct, frozen=True):
    """Events in the order of the log; go on from ``next_cursor``."""

    items: list[Event]
    next_cursor: str


class EventQuery(Request, frozen=True):
    """Which events are asked for."""

    after: Annotated[
        str,
        Meta(max_length=500, description="A cursor; `newest` for those that come from now on."),
    ] = ""
    run: Annotated[str, Meta(description="Of this run alone.")] = ""
    limit: Limit = 100


class Input(Struct, frozen=True):
    """A task run that waits for a person."""

    run_id: str
    task_id: str
    path: str
    title: str
    message: str
    schema: dict[str, Any]
    since: datetime | None
    until: datetime | None


class InputList(Struct, frozen=True):
    """What waits for a person, oldest run first."""

    items: list[Input]


class InputQuery(Request, frozen=True):
    """Whose questions are asked for."""

    run: str = ""


class Answer(Request, frozen=True):
    """What a person answers to a task run that waits."""

    task: str
    answer: Any
    path: Annotated[str, Meta(description="Its index, such as 3.17; empty where not mapped.")] = ""
    by: str = "api"


class Retry(Request, frozen=True):
    """What is to be executed again; nothing named stands for all that failed."""

    tasks: Annotated[
        list[str], Meta(description="Tasks, load[3], or selections, with all that is downstream.")
    ] = []
    only: Annotated[list[str], Meta(description="The same, without what is downstream.")] = []
    failed_only: Annotated[bool, Meta(description="Of all that, only what failed.")] = False


class Coordinator(Struct, frozen=True):
    """A process that drives runs, or fires schedules."""

    id: str
    kind: str
    host: str
    pid: int
    started_at: datetime | None
    is_alive: bool


class CoordinatorList(Struct, frozen=True):
    """All processes that drive runs or fire schedules."""

    items: list[Coordinator]


class Schedule(Struct, frozen=True):
    """The schedule of a flow, and how it stands."""

    flow: str
    schedule: str
    timezone: str
    is_paused: bool
    changed_by: str
    last_tick_at: datetime | None
    next_at: datetime | None


class ScheduleList(Struct, frozen=True):
    """The schedules of all flows that are served, by the name of the flow."""

    items: list[Schedule]


class ScheduleTick(Struct, frozen=True):
    """A moment of a schedule, and what came of it."""

    at: datetime | None
    decided_at: datetime | None
    outcome: str
    run_id: str | None
    reason: str


class ScheduleTickList(Struct, frozen=True):
    """Ticks of a schedule, newest first."""

    items: list[ScheduleTick]


class ScheduleTickQuery(Request, frozen=True):
    """How many ticks are asked for."""

    limit: Limit = 20


class SensorTick(Struct, frozen=True):
    """What came of a sensor; ``times`` in a row if it skipped for one reason."""

    number: int
    started_at: datetime | None
    ended_at: datetime | None
    times: int
    outcome: str
    reason: str
    new_runs: int
    known_runs: int
    run_ids: list[str]
    output: str


class SensorTickList(Struct, frozen=True):
    """Ticks of a sensor, newest first."""

    items: list[SensorTick]


class Sensor(Struct, frozen=True):
    """A sensor or a source of messages, and how it stands."""

    name: str
    is_paused: bool
    cursor: str | None
    failures: int
    last_tick_at: datetime | None


class SensorList(Struct, frozen=True):
    """All sensors and sources that a scheduler has seen, by name."""

    items: list[Sensor]


class SensorQuery(Request, frozen=True):
    """Which sensor is meant; names of sources may hold any character."""

    name: str


class SensorTickQuery(Request, frozen=True):
    """Whose ticks are asked for, and how many."""

    name: str
    limit: Limit = 20


class Message(Struct, frozen=True):
    """A message that was taken: it makes its runs once, however often it is sent."""

    id: str


def moment(at_us: int) -> datetime | None:
    """Return a moment for people; None if it has not come."""
    return datetime.fromtimestamp(at_us / 1e6, UTC) if at_us else None


def sensor_document(state: SensorState) -> Sensor:
    """Return a sensor as callers see it."""
    return Sensor(
        state.name, state.is_paused, state.cursor, state.failures, moment(state.ticked_us)
    )


def sensor_tick_document(tick: TickRow) -> SensorTick:
    """Return a tick of a sensor as callers see it."""
    return SensorTick(
        number=tick.number,
        started_at=moment(tick.started_us),
        ended_at=moment(tick.ended_us),
        times=tick.times,
        outcome=tick.outcome,
        reason=tick.reason,
        new_runs=tick.runs,
        known_runs=tick.known,
        run_ids=tick.run_ids.split(",") if tick.run_ids else [],
        output=tick.output,
    )


def flow_document(served: ServedFlow) -> Flow:
    """Return a flow as callers see it."""
    flow = served.definition
    return Flow(
        name=flow.name,
        manifest_version=served.version,
        schedule=flow.schedule,
        timezone=flow.timezone,
        parameters=[
            Parameter(each.name, each.schema, each.default, each.is_required, each.description)
            for each in flow.parameters
        ],
        tasks=[task.id for task in flow.tasks],
        tags=list(flow.tags),
        owner=flow.owner,
        doc=flow.doc,
        max_active_runs=flow.max_active_runs,
        served_at=moment(served.served_us),
    )


def run_document(row: RunRow) -> Run:
    """Return a run as callers see it."""
    return Run(
        id=str(row.id),
        name=f"{row.flow}#{row.number}",
        run_name=row.name,
        project=row.project,
        flow=row.flow,
        number=row.number,
        state=row.state.label,  # type: ignore[arg-type]  # the labels are those of the literal
        reason=row.reason,
        params=msgspec.json.decode(row.params),
        trigger=row.trigger,
        tags=list(row.tags),
        key=row.logical_key,
        logical_date=moment(row.logical_date_us),
        data_interval_start=moment(row.interval_start_us),
        data_interval_end=moment(row.interval_end_us),
        partition=row.partition,
        manifest_version=row.manifest_version,
        created_at=moment(row.created_us),
        started_at=moment(row.started_us),
        ended_at=moment(row.ended_us),
    )


def task_run_document(view: TaskRunView) -> TaskRun:
    """Return a task run as callers see it."""
    failed = view.failure
    return TaskRun(
        task_id=view.task_id,
        map_path=[int(part) for part in view.path.split(".")] if view.path else [],
        map_name=view.map_name,
        state=view.state.label,  # type: ignore[arg-type]  # the labels are those of the literal
        attempt=view.attempt,
        failures=view.failures,
        generation=view.generation,
        queued_at=moment(view.queued_us),
        started_at=moment(view.started_us),
        ended_at=moment(view.ended_us),
        due_at=moment(view.due_us),
        reason=view.reason,
        failure=None if failed is None else Failure(failed.kind, failed.message, failed.summary),
    )


def event_document(logged: LoggedEvent) -> Event:
    """Return an event as callers see it; one of a newer version without its data."""
    data: dict[str, Any] = {} if logged.event is None else msgspec.to_builtins(logged.event)
    kind = data.pop("type", "unknown")
    for name in ("at_us", "task_id", "path", "v"):
        data.pop(name, None)
    return Event(
        cursor=logged.cursor,
        run_id=str(logged.run_id),
        task_id=logged.task_id,
        path=logged.path,
        at=moment(logged.at_us),
        type=kind,
        data=data,
    )


def input_document(asked: WaitingInput) -> Input:
    """Return a question as callers see it."""
    return Input(
        run_id=str(asked.run_id),
        task_id=asked.task_id,
        path=asked.path,
        title=asked.request.title,
        message=asked.request.message,
        schema=asked.request.schema,
        since=moment(asked.since_us),
        until=moment(asked.due_us),
    )


def schedule_document(served: ServedFlow, row: ScheduleRow | None) -> Schedule:
    """Return a schedule as callers see it; without a row no scheduler has seen it."""
    flow = served.definition
    return Schedule(
        flow=flow.name,
        schedule=flow.schedule,
        timezone=flow.timezone,
        is_paused=row is not None and row.is_paused,
        changed_by="" if row is None else row.changed_by,
        last_tick_at=None if row is None else moment(row.last_tick_us),
        next_at=None if row is None else moment(row.next_us),
    )


def tick_document(row: ScheduleTickRow) -> ScheduleTick:
    """Return a tick as callers see it."""
    return ScheduleTick(
        at=moment(row.tick_us),
        decided_at=moment(row.at_us),
        outcome=row.outcome,
        run_id=str(row.run_id) if row.run_id else None,
        reason=row.reason,
    )


def coordinator_document(row: CoordinatorRow) -> Coordinator:
    """Return a process as callers see it."""
    return Coordinator(
        id=str(row.id),
        kind=row.kind,
        host=row.host,
        pid=row.pid,
        started_at=moment(row.started_us),
        is_alive=row.is_alive,
    )
