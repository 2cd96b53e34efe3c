"""This module is what is kept of event sensors and of the sources of messages."""

from enum import StrEnum
from typing import NamedTuple


class TickOutcome(StrEnum):
    """Say what came of a tick."""

    REQUESTED = "requested"
    SKIPPED = "skipped"
    FAILED = "failed"


class SensorState(NamedTuple):
    """What is kept of a sensor, or of a source of messages; columns in the table's order.

    Attributes:
        project: Whose it is.
        name: Of the sensor, or the label of the source.
        is_paused: Whether it waits to be resumed.
        cursor: What it kept last, None before the first time.
        number: Of ticks that it has had, and of changes by people: a tick that began before
            another one ended is not kept.
        ticked_us: End of its last tick, 0 for none.
        succeeded_us: End of its last tick that did not fail, 0 for none.
        last_run_key: Of the newest run that was asked for with a key, or empty.
        failures: Ticks that failed in a row.
    """

    project: str
    name: str
    is_paused: bool
    cursor: str | None
    number: int
    ticked_us: int
    succeeded_us: int
    last_run_key: str
    failures: int


class TickRow(NamedTuple):
    """A tick as it is kept; columns in the table's order.

    Attributes:
        number: Of the tick, within its sensor.
        started_us, ended_us: When it began and ended.
        times: How many in a row it stands for: those that skip for one reason are one row.
        outcome: A ``TickOutcome``.
        reason: Why nothing was asked for, or what went wrong.
        runs: How many runs are new.
        known: How many were asked for before.
        run_ids: Ids of the first of the new runs, with commas between them.
        output: What its function printed and logged, the end of it.
    """

    number: int
    started_us: int
    ended_us: int
    times: int
    outcome: str
    reason: str = ""
    runs: int = 0
    known: int = 0
    run_ids: str = ""
    output: str = ""


class ReceivedMessage(NamedTuple):
    """A message that was acknowledged and has started no run yet; columns in the table's order.

    Attributes:
        id: Grows in the order of receipt.
        project: Whose it is.
        source: Label of the source that it came from.
        message_id: Names it: one that is sent twice is one.
        received_us: When it came.
        body: JSON.
    """

    id: int
    project: str
    source: str
    message_id: str
    received_us: int
    body: bytes
