"""This module is what the store keeps, as rows in memory."""

from typing import NamedTuple

from msgspec import Struct

from ostinato.engine.events import Event
from ostinato.model.identity import RunId
from ostinato.model.state import RunState
from ostinato.model.value import StoredValue

#: Home of runs that workers claim.
SERVICE = "service"


class NewRun(Struct, frozen=True):
    """A run to be created.

    Attributes:
        project: Name of its project.
        flow: Name of its flow.
        manifest_version: Definitions that it is pinned to.
        params: Its parameters as JSON.
        trigger: What asked for it: ``manual``, ``schedule``, ``api``, ``script`` ...
        home: ``local`` for ``ostinato run`` and scripts, ``service`` otherwise.
        logical_key: Unique in (project, flow); asking again returns the first run. None for none.
        logical_date_us: The moment it stands for.
        interval_start_us, interval_end_us: Its data interval.
        partition: Partition key, or empty.
        tags: For searching.
        target: What a code host loads to find the flow, such as a file; empty in a project.
        code: The code version, such as the git commit, and packages, as JSON; empty if unknown.
        name: What people call it, beside ``flow#17``; or empty.
        priority: Of the runs that wait for a worker, larger ones are claimed first.
    """

    project: str
    flow: str
    manifest_version: str
    params: bytes = b"{}"
    trigger: str = "manual"
    home: str = "local"
    logical_key: str | None = None
    logical_date_us: int = 0
    interval_start_us: int = 0
    interval_end_us: int = 0
    partition: str = ""
    tags: tuple[str, ...] = ()
    target: str = ""
    code: str = ""
    name: str = ""
    priority: int = 0


class RunRow(Struct, frozen=True):
    """A run as it is stored.

    Attributes:
        id: 63-bit id.
        number: 1, 2, 3 ... within its flow, for ``flow#17``.
        state: Where it stands.
        reason: Why it ended as it did, or empty.
        created_us, started_us, ended_us: Moments, 0 while they have not come.
        owner: Id of the coordinator that owns it, 0 for none; an ended run has none.
        generation: How often parts of it were cleared.
        The rest is as in ``NewRun``.
    """

    id: RunId
    number: int
    project: str
    flow: str
    manifest_version: str
    params: bytes
    trigger: str
    home: str
    logical_key: str | None
    logical_date_us: int
    interval_start_us: int
    interval_end_us: int
    partition: str
    tags: tuple[str, ...]
    target: str
    code: str
    state: RunState
    reason: str
    created_us: int
    started_us: int
    ended_us: int
    owner: int
    generation: int
    name: str = ""
    priority: int = 0


class RunUpdate(NamedTuple):
    """What changes in a run's row; in the order of the statement's parameters."""

    state: int
    reason: str
    started_us: int
    ended_us: int
    generation: int
    run_id: int
    name: str = ""


class TaskRunRow(NamedTuple):
    """A task run's row; in the order of the table's columns.

    ``chosen`` is JSON or None, ``failure`` a msgpack ``Failure`` or None, ``inputs`` the
    rendered arguments as JSON or None, ``wait`` and ``step`` what ``encode_wait`` and
    ``encode_step`` wrote. ``path`` is written ``3.17``. ``map_name`` is what people call its
    index, or empty.
    """

    run_id: int
    task_id: str
    path: str
    state: int
    attempt: int
    generation: int
    failures: int
    losses: int
    queued_us: int
    first_started_us: int
    started_us: int
    ended_us: int
    due_us: int
    length: int | None
    chosen: str | None
    stop: int
    failure: bytes | None
    inputs: str | None
    reason: str
    wait: bytes | None = None
    step: bytes | None = None
    map_name: str = ""


class AttemptRow(NamedTuple):
    """An attempt that was followed by another one or cleared; columns in the table's order."""

    run_id: int
    task_id: str
    path: str
    generation: int
    attempt: int
    state: str
    started_us: int
    ended_us: int
    failure: bytes | None


class ExpansionRow(NamedTuple):
    """The length of a mapped task or group; ``lengths`` is a JSON list."""

    run_id: int
    container_id: str
    path: str
    lengths: str


class ValueRow(NamedTuple):
    """A stored value of a task run."""

    run_id: int
    task_id: str
    path: str
    generation: int
    attempt: int
    value: StoredValue


class NoticeRow(NamedTuple):
    """A callback or an alert that is to be executed, or was; columns in the table's order.

    ``facts`` is a msgpack ``NoticeFacts``, ``failure`` a msgpack ``Failure`` or None,
    ``message`` the title and body of what was sent as JSON or None. ``rule`` and ``topic``
    are empty for a callback, ``due_us`` is when it is to be executed next.
    """

    id: int
    run_id: int
    task_id: str
    path: str
    generation: int
    attempt: int
    moment: str
    recipient: str
    rule: str
    topic: str
    state: str
    tries: int
    created_us: int
    due_us: int
    ended_us: int
    owner: int
    facts: bytes
    failure: bytes | None = None
    message: str | None = None


class ArtifactRow(NamedTuple):
    """What a task published for people; columns in the table's order.

    ``data`` is JSON. ``version`` counts those of the same key, 0 without a key; what is
    written has it from the store. ``path`` is the place of a step, or the index of a task.
    """

    id: int
    run_id: int
    task_id: str
    path: str
    kind: str
    key: str
    version: int
    description: str
    data: bytes
    created_us: int
    updated_us: int


class CacheRow(NamedTuple):
    """A result that is kept for other runs; columns in the table's order.

    ``value`` is a msgpack ``StoredValue``, None for a result of None.
    """

    key: str
    source: str
    created_us: int
    expires_us: int
    value: bytes | None


class ShareRow(NamedTuple):
    """What a coordinator may take of a budget; columns in the table's order.

    Attributes:
        budget: Name of the limit.
        owner: The coordinator.
        granted: Slots that it may take.
        wanted: Slots that it could use.
        least: The fewest with which one of those that wait for it can start.
        served_us: When it got slots the last time.
        lost_us: When it was first seen to be gone; 0 while it lives.
    """

    budget: str
    owner: int
    granted: int
    wanted: int
    least: int
    served_us: int
    lost_us: int


class BudgetAsk(NamedTuple):
    """What a coordinator asks of a budget.

    Attributes:
        budget: Name of the limit.
        slots: How many there are, for all coordinators together.
        used: How many are taken.
        wanted: How many it could use, taken ones included.
        least: The fewest with which one of those that wait can start; 0 if none waits.
    """

    budget: str
    slots: int
    used: int
    wanted: int
    least: int


class Share(NamedTuple):
    """What a coordinator was given of a budget.

    Attributes:
        budget: Name of the limit.
        granted: Slots that are its own.
        due: Slots that should be; what it has above them goes to others as soon as it is free.
        is_shared: Whether others want or hold some of it.
    """

    budget: str
    granted: int
    due: int
    is_shared: bool


class EventRow(NamedTuple):
    """An event that is to be appended; ``task_id`` and ``path`` are empty for the run's own."""

    run_id: int
    task_id: str
    path: str
    at_us: int
    event: Event


class LoggedEvent(Struct, frozen=True):
    """An event as it is read back.

    Attributes:
        cursor: Opaque position; give it back to read on from there.
        run_id: Of its run.
        task_id: Of its task, or empty.
        path: Its map path as text.
        at_us: Recorded time.
        event: The event; None where its tag is unknown to this version.
        raw: The encoded event.
    """

    cursor: str
    run_id: RunId
    task_id: str
    path: str
    at_us: int
    event: Event | None
    raw: bytes


class CoordinatorLease(Struct, frozen=True):
    """The right to commit for the runs that a coordinator owns.

    Attributes:
        id: Of the coordinator, unique in the store.
        epoch: Fencing number; a commit with an older one is refused.
    """

    id: int
    epoch: int


class CoordinatorRow(Struct, frozen=True):
    """A coordinator as others see it.

    Attributes:
        id, epoch: As in its lease.
        pid: Its process.
        host: Its machine.
        started_us: When it registered.
        wake_address: Path of its datagram socket, or empty.
        kind: What it is: ``run``, ``worker``, ``scheduler`` ...
        name: What people call it, or empty.
        version: Release of Ostinato that it runs.
        heartbeat_us: When it last said that it lives; 0 where its lock alone says so.
        run_count: How many runs it owns.
        is_alive: Whether it may still act, at the moment of reading.
    """

    id: int
    epoch: int
    pid: int
    host: str
    started_us: int
    wake_address: str
    kind: str
    name: str
    version: str
    heartbeat_us: int
    run_count: int
    is_alive: bool


class Claimable(NamedTuple):
    """Runs of a flow that wait for a worker."""

    flow: str
    manifest_version: str
    waiting: int


class RunRequest(Struct, frozen=True):
    """Something asked of the owner of a run.

    Attributes:
        id: Of the request.
        run_id: Of the run.
        kind: ``cancel`` or ``answer``.
        by: Who asked.
        task_id, path: Of the task run that it is about; empty for the run itself.
        payload: What it brings, as JSON.
    """

    id: int
    run_id: RunId
    kind: str
    by: str
    task_id: str = ""
    path: str = ""
    payload: bytes = b""


class ConnectionRow(NamedTuple):
    """A connection as it is stored.

    Attributes:
        conn_id: Its name.
        fields: JSON of what may be seen.
        secrets: Encrypted JSON of the rest; empty where there is none.
        updated_us: When it was written; the store stamps it.
    """

    conn_id: str
    fields: bytes
    secrets: bytes
    updated_us: int = 0


class VariableRow(NamedTuple):
    """A variable as it is stored.

    Attributes:
        key: Its name.
        description: For people.
        secrets: Its encrypted value.
        updated_us: When it was written; the store stamps it.
    """

    key: str
    description: str
    secrets: bytes
    updated_us: int = 0


class ServedFlowRow(NamedTuple):
    """A flow whose code is served, and the version of the definitions that is in force."""

    flow: str
    manifest_version: str
    served_us: int


class PoolRow(NamedTuple):
    """A pool as it is stored.

    Attributes:
        name: Of the pool.
        slots: How many attempts run at a time.
        description: For people.
        updated_us: When it was written; the store stamps it.
    """

    name: str
    slots: int
    description: str = ""
    updated_us: int = 0


class Batch:
    """Collect what is committed together; everything or nothing is written.

    One object is reused by its coordinator: ``clear`` empties it after a commit.
    """

    __slots__ = (
        "artifacts",
        "attempts",
        "cached",
        "events",
        "expansions",
        "handled",
        "notices",
        "runs",
        "task_runs",
        "values",
    )

    def __init__(self) -> None:
        self.events: list[EventRow] = []
        self.task_runs: list[TaskRunRow] = []
        self.expansions: list[ExpansionRow] = []
        self.attempts: list[AttemptRow] = []
        self.values: list[ValueRow] = []
        self.runs: list[RunUpdate] = []
        self.notices: list[NoticeRow] = []
        self.artifacts: list[ArtifactRow] = []
        #: Results that are kept, which ends the claims on their keys.
        self.cached: list[CacheRow] = []
        #: Ids of requests that this batch answers.
        self.handled: list[int] = []

    def __bool__(self) -> bool:
        return bool(
            self.events
            or self.task_runs
            or self.expansions
            or self.attempts
            or self.values
            or self.runs
            or self.notices
            or self.artifacts
            or self.cached
            or self.handled
        )

    def clear(self) -> None:
        """Empty the batch."""
        for rows in (
            self.events,
            self.task_runs,
            self.expansions,
            self.attempts,
            self.values,
            self.runs,
            self.notices,
            self.artifacts,
            self.cached,
            self.handled,
        ):
            rows.clear()
