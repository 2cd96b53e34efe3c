"""This module says of which moments somebody is told, and by what."""

from enum import StrEnum

from msgspec import Struct


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
