"""When schedules fire, and which data a moment of theirs stands for."""

from ostinato.engine.timetable.intervals import (
    check_schedule,
    data_interval,
    next_tick_us,
)
from ostinato.engine.timetable.reading import Ticks, ticks_of
from ostinato.engine.timetable.zones import zone_of
from ostinato.model.schedule import PRESETS

__all__ = [
    "PRESETS",
    "Ticks",
    "check_schedule",
    "data_interval",
    "next_tick_us",
    "ticks_of",
    "zone_of",
]
