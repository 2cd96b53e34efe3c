"""This module computes the ticks of cron expressions."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, tzinfo

from ostinato.engine.timetable.zones import REPEATED, is_near_change, moment_of, us_of
from ostinato.errors import InvalidArgument
from ostinato.model.schedule import PRESETS


class CronTicks:
    """The ticks of an expression: a fixed time of day fires once on days with changed clocks.

    Args:
        schedule: Expression of five fields, or a preset with ticks.
        zone: In which it is read.

    Raises:
        InvalidArgument: It cannot be read, or it never fires.
    """

    def __init__(self, schedule: str, zone: tzinfo) -> None:
        # Loaded only for a flow with a cron schedule.
        from cronsim import CronSim, CronSimError  # noqa: PLC0415 - see above

        self._schedule = schedule
        self._expression = expression = PRESETS.get(schedule, schedule)
        self._zone = zone
        self._simulate: Callable[..., Iterator[datetime]] = CronSim
        try:
            CronSim(expression, moment_of(0))
        except CronSimError as error:
            raise InvalidArgument(f"{schedule!r} is no schedule: {error}") from None

    def next_us(self, after_us: int) -> int | None:
        """Return the first tick after a moment."""
        moment = start = moment_of(after_us)
        if is_near_change(self._zone, moment):
            # An expression with a fixed time is searched by local time, which is not monotonic
            # here: begin before the repeated hour and pass over what is too early.
            latest_us = self.latest_us(after_us)
            start = (moment if latest_us is None else moment_of(latest_us)) - REPEATED
        for tick in self._simulate(self._expression, start.astimezone(self._zone)):
            tick_us = us_of(tick)
            if tick_us > after_us:
                return tick_us
        # cronsim refuses what no month has; this is its limit of 50 years without a tick.
        return None  # pragma: no cover - see above

    def latest_us(self, at_us: int) -> int | None:
        """Return the latest tick at or before a moment."""
        moment = moment_of(at_us)
        start = moment + timedelta(microseconds=1)
        if is_near_change(self._zone, moment):
            # As above: begin behind the repeated hour and pass over what is too late.
            start += REPEATED
        for tick in self._simulate(self._expression, start.astimezone(self._zone), reverse=True):
            tick_us = us_of(tick)
            if tick_us <= at_us:
                return tick_us
        return None  # pragma: no cover - as above
