"""This module says of which moments somebody is told, and by what."""

from enum import StrEnum

from msgspec import Struct

from ostinato.model.failure import Failure


class Moment(StrEnum):
    """Name a moment in the life of a task run or a run that somebody can be told of."""

    START = "start"
    SUCCESS = "success"
    FAILURE = "failure"
    RETRY = "retry"
    SKIP = "skip"
    RUN_SUCCESS = "run_success"
    RUN_FAILURE = "run_failure"
    RUN_CANCEL = "run_cancel"
    DEADLINE = "deadline"

    @property
    def is_of_run(self) -> bool:
        """Whether it is a moment of the run and not of one of its task runs."""
        return self in _OF_RUN


_OF_RUN = frozenset({Moment.RUN_SUCCESS, Moment.RUN_FAILURE, Moment.RUN_CANCEL, Moment.DEADLINE})


class NoticeState(StrEnum):
    """Say where a notice stands: it waits, or it ended in one of three ways."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
    DROPPED = "dropped"


class Callback(Struct, frozen=True, omit_defaults=True):
    """What is called at a moment; the callable itself stays with the operator or the flow.

    Attributes:
        moment: When.
        name: Of the callable, for people.
        tries: How often it is tried, where it fails.
        channel: Name of the channel of ``ostinato.yaml`` that it sends to, or empty.
        title: Template of a message's first line; empty for the usual one.
        body: Template of a message; empty for the usual one.
    """

    moment: Moment
    name: str
    tries: int = 1
    channel: str = ""
    title: str = ""
    body: str = ""


class NoticeFacts(Struct, frozen=True, omit_defaults=True):
    """What a notice tells of the moment, as it was then.

    Attributes:
        state: Name of the state that the task run or run was in.
        reason: Why, or empty.
        failure: What went wrong, or None.
        try_number: 1 plus the failures of the task run before; 0 for a run.
        started_us, ended_us: Of the attempt or the run; 0 while they have not come.
        tries: How often the notice is tried, where it fails.
        callback: Index among the callbacks of its task or flow; -1 for an alert.
        title: Template of an alert's first line; empty for the usual one.
        body: Template of an alert; empty for the usual one.
    """

    state: str
    reason: str = ""
    failure: Failure | None = None
    try_number: int = 0
    started_us: int = 0
    ended_us: int = 0
    tries: int = 1
    callback: int = -1
    title: str = ""
    body: str = ""


#: What templates of messages can use: the names of a task's context and those of a notice.
MESSAGE_NAMES = frozenset(
    {
        *("attempt", "command", "conn", "dag_id", "data_interval_end", "data_interval_start"),
        *("ds", "ds_nodash", "duration", "ended_at", "error", "exception", "failure", "flow"),
        *("logical_date", "macros", "map_index", "map_path", "max_tries", "moment", "now"),
        *("params", "partition_key", "project", "reason", "run", "run_id", "run_name"),
        *("run_number", "started_at", "state", "task_id", "task_run", "trigger", "try_number"),
        *("ts", "ts_nodash", "var"),
    }
)
