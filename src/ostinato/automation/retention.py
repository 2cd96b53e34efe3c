"""This module deletes what is old, in the background."""

import logging
import threading
from collections import Counter
from collections.abc import Callable

from ostinato.client.retention import Retention
from ostinato.clock import Clock, SystemClock
from ostinato.errors import StoreError
from ostinato.model.health import PartHealth

logger = logging.getLogger(__name__)

#: Seconds until the first time, behind the start of the process, and from one time to the next.
FIRST_S, EVERY_S = 60.0, 3600.0

#: Seconds until the next try once the store has failed.
FAILED_S = 300.0

#: A pause is so many times as long as what was deleted before it took: others write meanwhile.
PAUSE_PER_STEP = 4.0

#: Seconds that a pause takes at least.
_MIN_PAUSE_S = 0.001


class Pruner:
    """Delete what is old, once an hour; a part of a scheduler.

    A second one does no harm: each step is a commit that either of them can make.

    Args:
        retention: Deletes it.
        clock: Measures how long that takes.
        is_active: Whether it is this one that does it, of several.
    """

    name = "retention"

    def __init__(
        self,
        retention: Retention,
        *,
        clock: Clock | None = None,
        is_active: Callable[[], bool] = lambda: True,
    ) -> None:
        self._retention = retention
        self._clock = clock or SystemClock()
        self._is_active = is_active
        self._stopped = threading.Event()
        self._problem = ""

    def serve(self) -> None:
        """Delete what is old from time to time, until it is stopped."""
        pause_s = FIRST_S
        while not self._stopped.wait(pause_s):
            pause_s = self._look()

    def stop(self) -> None:
        """Have ``serve`` return soon."""
        self._stopped.set()

    def drain(self) -> None:
        """Have ``serve`` return soon: nothing is ever half done."""
        self.stop()

    def health(self) -> PartHealth:
        """Return how it is."""
        return PartHealth(detail=self._problem)

    def _look(self) -> float:
        try:
            is_active = self._is_active()
        except StoreError as error:
            self._problem = str(error)
            return FAILED_S
        return self.turn() if is_active else EVERY_S

    def turn(self) -> float:
        """Delete what is old, and return the seconds until the next time."""
        counts: Counter[str] = Counter()
        try:
            before_s = self._clock.monotonic_s()
            for step in self._retention.prune():
                counts[step.what] += step.number
                took_s = self._clock.monotonic_s() - before_s
                if self._stopped.wait(max(took_s * PAUSE_PER_STEP, _MIN_PAUSE_S)):
                    break
                before_s = self._clock.monotonic_s()
        except (StoreError, OSError) as error:
            if not self._problem:
                logger.error("what is old is not deleted: %s", error)
            self._problem = str(error)
            return FAILED_S
        self._problem = ""
        if counts:
            logger.info("deleted what is old: %s", described(counts))
        return EVERY_S


def described(counts: Counter[str]) -> str:
    """Return what was deleted, for people.

    >>> described(Counter({"runs": 12, "rows": 3400}))
    '12 runs, 3,400 rows'
    """
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
