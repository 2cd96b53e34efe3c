"""This module declares event sensors: functions with a cursor that ask for runs."""

from enum import StrEnum

from msgspec import Struct

from ostinato.model.flow import Source

#: Seconds between two ticks of a sensor that says nothing.
DEFAULT_INTERVAL_S = 30.0

#: Seconds that a tick may take where the sensor says nothing.
DEFAULT_TIMEOUT_S = 60.0


class SensorKind(StrEnum):
    """Say what makes a sensor tick."""

    POLLING = "polling"
    RUN_STATUS = "run_status"


class SensorDefinition(Struct, frozen=True, omit_defaults=True):
    """A function with a cursor that asks for runs.

    Attributes:
        name: Unique in its project.
        kind: What makes it tick.
        flows: Names of the flows whose runs it may ask for; none for one that asks for nothing.
        minimum_interval_s: Seconds between the end of a tick and the next one.
        timeout_s: Seconds that a tick may take.
        is_paused: Whether it waits to be resumed when it is first seen.
        states: Labels of the states of runs that a ``run_status`` sensor ticks for.
        monitored: Names of the flows whose runs those are; none for all.
        tags: Of the runs that it asks for.
        doc: Markdown for people.
        source: Where it is declared.
    """

    name: str
    kind: SensorKind = SensorKind.POLLING
    flows: tuple[str, ...] = ()
    minimum_interval_s: float = DEFAULT_INTERVAL_S
    timeout_s: float = DEFAULT_TIMEOUT_S
    is_paused: bool = False
    states: tuple[str, ...] = ()
    monitored: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    doc: str = ""
    source: Source = Source()
