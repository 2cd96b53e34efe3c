"""This module is what a coordinator and the process of an attempt say to each other.

Frames are msgpack, length-prefixed on a socket. An attempt is named by its ``token``: a
number that its coordinator gives to each dispatch and never uses twice.
"""

from typing import Any

import msgspec
from msgspec import Struct

from ostinato.model.alert import Channel
from ostinato.model.deferral import Deferral, Resumption, TriggerSpec
from ostinato.model.failure import Failure
from ostinato.model.identity import MapPath, TaskRunKey
from ostinato.model.notice import Moment, NoticeFacts
from ostinato.model.policy import Policy
from ostinato.model.step import StepInfo
from ostinato.model.value import StoredValue


class RunInfo(Struct, frozen=True, tag="run", array_like=True):
    """What all attempts of a run share; sent once to each child before its first attempt.

    Attributes:
        run_id: Of the run.
        number: Within its flow.
        project: Name of the project.
        flow: Name of the flow.
        params: Parameters as JSON.
        logical_date_us, interval_start_us, interval_end_us: In microseconds since the epoch.
        timezone: IANA name of the flow's zone.
        trigger: What asked for the run.
        partition: Partition key, or empty.
        values_root: Folder for large values.
        logs_root: Folder for logs.
        started_us: When the run started.
        data_root: Folder of the project's data.
        name: What people call it, or empty.
        is_traced: Whether its attempts are spans of a trace, and are told its name.
    """

    run_id: int
    number: int
    project: str
    flow: str
    params: bytes
    logical_date_us: int
    interval_start_us: int
    interval_end_us: int
    timezone: str
    trigger: str
    partition: str
    values_root: str
    logs_root: str
    started_us: int
    data_root: str = ""
    name: str = ""
    is_traced: bool = False


class MappedValues(Struct, frozen=True, tag="mapped", array_like=True):
    """The results of a mapped task, which its reader fetches page by page.

    Attributes:
        task_id: Of the mapped task.
        prefix: Indices that its task runs share with the reader.
        count: How many there are: one for each task run that succeeded, in order of index.
        first: The first few of them, None where a result was None; the reader calls ``pull``
            for the others.
    """

    task_id: str
    prefix: MapPath
    count: int
    first: tuple[StoredValue | None, ...] = ()


class SingleValue(Struct, frozen=True, tag="single", array_like=True):
    """The result of one task run; None stands for the result None."""

    value: StoredValue | None


InputValue = SingleValue | MappedValues


class NoticeSpec(Struct, frozen=True, tag="notice", array_like=True):
    """A callback or an alert that is executed as an attempt of its own.

    Attributes:
        id: Of the notice; with ``number`` it names the log.
        number: 1 plus the times that it was executed before.
        moment: What it tells of.
        facts: What was so at that moment.
        channel: Where it goes, or where its callback sends to; None for neither.
        is_sent: Whether messages really go out.
    """

    id: int
    number: int
    moment: Moment
    facts: NoticeFacts
    channel: Channel | None = None
    is_sent: bool = True


class StepCall(Struct, frozen=True, tag="step_call", array_like=True):
    """The call of a step that is executed as an attempt of its own.

    Attributes:
        module: In which its function is found.
        function: Its name there, dotted where it is a method.
        arguments: A list of those by position, and a dict of those by name.
        since: The attempt since which the steps that it calls itself are replayed.
        is_known: Whether something is recorded of the step, which its result must replace.
        is_retry: Whether its flow is tried again, and with it what has failed in it.
        retry_if: The condition of the task on errors, pickled; empty if it has none.
    """

    module: str
    function: str
    arguments: StoredValue
    since: int = 0
    is_known: bool = False
    is_retry: bool = False
    retry_if: bytes = b""


class AttemptSpec(Struct, frozen=True, tag="attempt", array_like=True):
    """An attempt to execute.

    Attributes:
        token: Names the attempt on this connection and in every answer.
        run_id: Of its run, whose ``RunInfo`` was sent before.
        task_id: Of its task.
        path: Its indices.
        attempt: Number of the dispatch; names its files.
        try_number: 1 plus the failures before it, as users count.
        generation: How often the task run was cleared.
        lengths: For each index of ``path``, the lengths of the mapped arguments around it.
        inputs: Stored values by "task_id" or "task_id/key".
        timeout_s: Seconds that it may take; 0 for no limit.
        memory_bytes: Memory that it may ask for; 0 for no limit.
        is_fresh: Whether it must have a process of its own, forked for it.
        first_started_us: When the first attempt of this generation started, 0 for this one.
        resumption: What it goes on with after a deferral; None to execute from the start.
        notice: What is told, where this is no attempt of the task run but of a notice on it;
            ``task_id`` is empty where it is on the run.
        step: What is called, where this is a step of a flow that is a function.
    """

    token: int
    run_id: int
    task_id: str
    path: MapPath = ()
    attempt: int = 1
    try_number: int = 1
    generation: int = 0
    lengths: tuple[tuple[int, ...], ...] = ()
    inputs: dict[str, InputValue] = {}
    timeout_s: float = 0.0
    memory_bytes: int = 0
    is_fresh: bool = False
    first_started_us: int = 0
    resumption: Resumption | None = None
    notice: NoticeSpec | None = None
    step: StepCall | None = None

    @property
    def name(self) -> str:
        """Task and indices, for messages."""
        return str(TaskRunKey(self.task_id, self.path))

    @property
    def subject(self) -> str:
        """What is executed, for messages."""
        if self.step is not None:
            return f"step {self.name!r}"
        if self.notice is None:
            return f"task {self.task_id!r}"
        return "the alert" if self.notice.facts.callback < 0 else "the callback"


class RunAttempts(Struct, frozen=True, tag="attempts", array_like=True):
    """Several attempts for one child; it executes them in order."""

    attempts: tuple[AttemptSpec, ...]


class Cancel(Struct, frozen=True, tag="cancel", array_like=True):
    """Stop an attempt: one that runs gets an exception, one that waits is revoked."""

    token: int
    reason: str


class GiveBack(Struct, frozen=True, tag="give_back", array_like=True):
    """Revoke those of some attempts that still wait; what has begun goes on."""

    tokens: tuple[int, ...]


class Drain(Struct, frozen=True, tag="drain", array_like=True):
    """Finish what was sent, then exit."""


class Reply(Struct, frozen=True, tag="reply", array_like=True):
    """The answer to a ``Call``; ``error`` is empty when it went well."""

    id: int
    value: Any = None
    error: str = ""


ToChild = RunInfo | RunAttempts | Cancel | GiveBack | Drain | Reply


class CachingNote(Struct, frozen=True, array_like=True):
    """What became of a result that is kept for other runs.

    Attributes:
        key: Under which it is kept; empty if it is not.
        expires_s: Seconds for which it is kept; 0 for ever.
        source: Where it was taken from, such as ``etl#17 load``; empty for its own.
    """

    key: str = ""
    expires_s: float = 0.0
    source: str = ""


class Succeeded(Struct, frozen=True, tag="succeeded", array_like=True):
    """An attempt returned.

    Attributes:
        token: Of the attempt.
        started_us, ended_us: Around the user's code.
        values: Stored values; a result of None stores nothing.
        length: Items of the result, where the definition says ``measured``.
        chosen: Ids that a branch chose, else None.
        stop: Whether a short circuit stops what is downstream.
        inputs: The rendered arguments as JSON, shortened; None if there are none.
        caching: Of a task whose results are kept for other runs.
    """

    token: int
    started_us: int
    ended_us: int
    values: tuple[StoredValue, ...] = ()
    length: int | None = None
    chosen: tuple[str, ...] | None = None
    stop: bool = False
    inputs: str | None = None
    caching: CachingNote | None = None


class Failed(Struct, frozen=True, tag="failed", array_like=True):
    """An attempt raised, or was stopped.

    Attributes:
        token: Of the attempt.
        started_us, ended_us: Around the user's code.
        failure: What went wrong.
        may_retry: False where the task said that no retry helps.
        retry_after_s: Delay that the task asked for; None for the policy's.
        inputs: As in ``Succeeded``.
        error: Of a step: the exception, pickled, for the flow that called it.
    """

    token: int
    started_us: int
    ended_us: int
    failure: Failure
    may_retry: bool = True
    retry_after_s: float | None = None
    inputs: str | None = None
    error: bytes = b""


class Skipped(Struct, frozen=True, tag="skipped", array_like=True):
    """An attempt raised ``Skip``; ``error`` as in ``Failed``."""

    token: int
    started_us: int
    ended_us: int
    reason: str = ""
    inputs: str | None = None
    error: bytes = b""


class Deferred(Struct, frozen=True, tag="deferred", array_like=True):
    """An attempt asks to be continued later.

    Attributes:
        token: Of the attempt.
        started_us, ended_us: Around the user's code.
        until_us: The moment, or that until which a trigger or a person may take; 0 for no end.
        deferral: What it waits for; None for the moment alone.
        inputs: As in ``Succeeded``.
    """

    token: int
    started_us: int
    ended_us: int
    until_us: int
    deferral: Deferral | None = None
    inputs: str | None = None


class StartTriggers(Struct, frozen=True, tag="triggers", array_like=True):
    """Wait for conditions; each trigger is named by a token as attempts are."""

    triggers: tuple[tuple[int, TriggerSpec], ...]


class StopTrigger(Struct, frozen=True, tag="stop_trigger", array_like=True):
    """Nobody waits for this trigger any more."""

    token: int


ToTriggers = StartTriggers | StopTrigger | Reply


class Fired(Struct, frozen=True, tag="fired", array_like=True):
    """A trigger has found its condition met.

    Attributes:
        token: Of the trigger.
        payload: What it returned, as JSON.
    """

    token: int
    payload: bytes


class Broken(Struct, frozen=True, tag="broken", array_like=True):
    """A trigger raised, cannot be made, or blocked the loop that it shares."""

    token: int
    failure: Failure


TriggerReport = Fired | Broken


class Lost(Struct, frozen=True, tag="lost", array_like=True):
    """An attempt's process is gone; made by the executor, never by a child.

    Attributes:
        token: Of the attempt.
        reason: What is known: exit code, signal, time-out.
        has_started: Whether its code may have begun.
    """

    token: int
    reason: str
    has_started: bool = True


class Revoked(Struct, frozen=True, tag="revoked", array_like=True):
    """An attempt was taken back before its code began."""

    token: int


class Opened(Struct, frozen=True, tag="opened", array_like=True):
    """A child has opened a resource, and wants to close it before it ends."""


class Call(Struct, frozen=True, tag="call", array_like=True):
    """A running attempt asks its coordinator for something and waits for the ``Reply``.

    Attributes:
        id: Names the call on this connection.
        token: Of the attempt; a stale one is refused.
        method: One of ``CALLS``.
        args: Its arguments by name.
    """

    id: int
    token: int
    method: str
    args: dict[str, Any] = {}


class KeptResult(Struct, frozen=True, array_like=True):
    """Under which key the result of a step is kept for other runs.

    Attributes:
        key: It was claimed by ``cached``.
        expires_s: Seconds for which it is kept; 0 for ever.
    """

    key: str
    expires_s: float = 0.0


class RecordedStep(Struct, frozen=True, array_like=True):
    """A step of a flow that is a function, as it ended.

    Attributes:
        path: Its place among the calls of the flow.
        task_id: Of its task.
        state: Number of its ``TaskRunState``.
        attempt: Number of its last try; names its files.
        started_us, ended_us: Around the last try.
        info: What a replay compares.
        value: Its result; a result of None stores nothing.
        failure: What went wrong, or None.
        inputs: Its arguments as JSON, shortened.
        kept: Where its result is kept for other runs, or None.
        name: What people call it, or empty.
    """

    path: MapPath
    task_id: str
    state: int
    attempt: int
    started_us: int
    ended_us: int
    info: StepInfo
    value: StoredValue | None = None
    failure: Failure | None = None
    inputs: str | None = None
    kept: KeptResult | None = None
    name: str = ""


class PlacedStep(Struct, frozen=True, array_like=True):
    """A step that its flow wants to be executed as attempts of its own.

    Attributes:
        path: Its place among the calls of the flow.
        task_id: Of its task.
        policy: What its attempts follow.
        call: What is executed.
        info: What a replay compares.
        attempt: Number of its first attempt; those that follow count on.
        inputs: Its arguments as JSON, shortened.
        name: What people call it, or empty.
        kept: Where its result is kept for other runs, or None.
    """

    path: MapPath
    task_id: str
    policy: Policy
    call: StepCall
    info: StepInfo
    attempt: int = 1
    inputs: str | None = None
    name: str = ""
    kept: KeptResult | None = None


#: ``pull(task_id, prefix, key, offset, limit)`` returns a page of a task's results below a
#: prefix of indices (of a task that is not mapped: a list of one), each a ``StoredValue`` or
#: None; ``push(value)`` stores one under its key and answers after the commit. Over a socket
#: a ``StoredValue`` travels as a builtin dict.
#: ``name(text)`` says what people call this index; it is durable with the attempt's end.
#: ``name_run(text)`` says what people call the run; durable likewise.
#: ``pull_elsewhere(task_id, key, path, run_id, flow)`` returns ``{"values": [...],
#: "is_mapped": bool}`` of another run, or of the newest run of a flow up to the logical date
#: that has such a value; ``previous_success()`` returns start and end of the data and of the
#: flow's last earlier run that succeeded, in microseconds, or None.
#: ``connection(conn_id)`` returns ``{"connection": fields, "secrets": texts to be masked}``,
#: ``variable(key)`` ``{"value": text, "secrets": ...}``, and where there is none both return
#: ``{"missing": [message, hint]}``; ``set_variable(key, value)`` answers after the commit
#: ``{"shadow": place that wins over the store, or empty, "secrets": ...}``,
#: ``delete_variable(key)`` whether it was there.
#: ``trigger_run(flow, params, date_us, logical_key)`` returns ``{"run_id", "name", "is_own":
#: whether this task run asked for it first}`` of a run that is durable and will be driven;
#: of a flow that is not loaded and whose ``definition`` is given, who serves it will drive it;
#: ``run_state(run_id, is_waiting, timeout_s)`` returns ``{"name", "state", "is_over", "reason",
#: "run_name"}``, of a run that is driven here and waited for once it has ended;
#: ``states_elsewhere(flow, dates_us, task_ids, group, must_exist)`` returns for each logical
#: date the states of that flow's newest run, or of tasks in it; none where there is no run.
#: ``step(record)`` records a ``RecordedStep`` and answers after the commit; ``steps(cursor,
#: limit)`` returns a page of those that are recorded, and the cursor of the next page;
#: ``step_lasts(task_id, path, at_us)`` tells people of one that executes.
#: ``place(step)`` has a ``PlacedStep`` executed by the executor that its policy names, and returns
#: the ``RecordedStep`` once that is durable; or None, if who asks shall execute it itself.
#: ``leave(path)`` says that nobody waits for such a step any more: it is cancelled.
#: ``subflow(definition, params, place, again, token)`` returns ``{"spec", "info"}``, an attempt of
#: the subflow's run to be executed by who asks, or ``{"run_id", "state", "reason"}`` if it has
#: ended; ``subflow_ended(run_id, report)`` takes how that attempt ended and returns the same;
#: ``in_subflow(token, method, args)`` is a call of that attempt.
#: ``cached(key, token, is_refreshed)`` returns ``{"source", "value"}`` of a result that is kept,
#: or ``{"is_claimed": whether it is for who asks to compute it}``; ``cache_release(key, token)``
#: gives up a claim.
#: ``publish(task_id, path, number, kind, key, description, data)`` keeps an artifact, the n-th
#: of that place, and answers its id after the commit; ``update_artifact(artifact_id,
#: description, data)`` replaces what it holds.
#: ``pause(record, deferral, until_us)`` waits, beneath a step, for a person, and returns the
#: ``Resumption``; without an answer it lasts until the moment, 0 for ever.
CALLS = (
    "pull",
    "push",
    "name",
    "name_run",
    "pull_elsewhere",
    "previous_success",
    "connection",
    "variable",
    "set_variable",
    "delete_variable",
    "trigger_run",
    "run_state",
    "states_elsewhere",
    "step",
    "steps",
    "step_lasts",
    "place",
    "leave",
    "pause",
    "subflow",
    "subflow_ended",
    "in_subflow",
    "cached",
    "cache_release",
    "publish",
    "update_artifact",
)

#: Calls that are answered when something has ended, which may take as long as it likes.
LONG_CALLS = frozenset({"place", "pause", "subflow", "subflow_ended", "in_subflow"})

#: How an attempt's code can end.
Ended = Succeeded | Failed | Skipped | Deferred
Report = Ended | Lost | Revoked
FromChild = Ended | Revoked | Opened | Call
FromTriggers = TriggerReport | Call

_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
decode_to_child = msgspec.msgpack.Decoder(ToChild).decode
decode_from_child = msgspec.msgpack.Decoder(FromChild).decode
decode_to_triggers = msgspec.msgpack.Decoder(ToTriggers).decode
decode_from_triggers = msgspec.msgpack.Decoder(FromTriggers).decode
