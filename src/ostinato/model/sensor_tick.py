"""This module is what goes into a tick of an event sensor and what comes out, as plain data."""

from typing import Any

from msgspec import Struct


class EndedRun(Struct, frozen=True, omit_defaults=True):
    """A run that a ``run_status`` sensor ticks for.

    Attributes:
        id: Its id as text.
        name: For people, such as ``etl#17``.
        flow: Name of its flow.
        state: Label of its state.
        reason: Why it ended as it did, or empty.
        params: Its parameters.
        tags: Its tags.
        logical_date_us, started_us, ended_us: Moments.
        run_name: What people call it, by the template of its flow; or empty.
    """

    id: str
    name: str
    flow: str
    state: str
    reason: str = ""
    params: dict[str, Any] = {}
    tags: tuple[str, ...] = ()
    logical_date_us: int = 0
    started_us: int = 0
    ended_us: int = 0
    run_name: str = ""


class TickInput(Struct, frozen=True, omit_defaults=True):
    """What a sensor's function is told.

    Attributes:
        cursor: What it kept last, None before the first time.
        last_tick_us: End of its last tick that did not fail, 0 for none.
        last_run_key: Of the newest run that it asked for with a key, or empty.
        run: Which a ``run_status`` sensor ticks for.
    """

    cursor: str | None = None
    last_tick_us: int = 0
    last_run_key: str = ""
    run: EndedRun | None = None


class AskedRun(Struct, frozen=True, omit_defaults=True):
    """A run that a sensor asks for.

    Attributes:
        flow: Name of its flow.
        run_key: There is one run of the flow for it; None for a run each time.
        params: Values of the flow's parameters.
        tags: Beside those of the flow and the sensor.
        date_us: Logical date; None for the moment of the tick.
    """

    flow: str
    run_key: str | None = None
    params: dict[str, Any] = {}
    tags: tuple[str, ...] = ()
    date_us: int | None = None


class TickResult(Struct, frozen=True, omit_defaults=True):
    """What came of a tick that did not fail.

    Attributes:
        asked: Runs, in the order in which they were asked for.
        cursor: What is kept from now on; None to keep what there was.
        reason: Why it asks for nothing, or empty.
        output: What it printed and logged, its end if it is long.
    """

    asked: tuple[AskedRun, ...] = ()
    cursor: str | None = None
    reason: str = ""
    output: str = ""
