"""This module is how a worker bears a store that is full, locked or slow."""

import logging
import threading

from ostinato.clock import Clock
from ostinato.errors import StoreError, StoreFull, StoreLocked
from ostinato.store.protocol import Store
from ostinato.store.records import Batch, CoordinatorLease

logger = logging.getLogger(__name__)

#: Faults after which the same batch may be committed again: nothing of it was written.
PASSING = (StoreFull, StoreLocked)

#: Seconds before the second, third ... try; the last one for all others.
PAUSES_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)

#: A store is slow whose commits take longer than this, in seconds, on average.
SLOW_S = 1.0

#: How much of the average the newest commit is.
NEWEST_PART = 0.3

#: Seconds after which a slow store is tried out again.
TRY_AGAIN_S = 5.0


class Patience:
    """Wait for a store that will do again, and know whether it is slow.

    Args:
        clock: Measures.
        giving_up: Set when nothing is to be waited for any more.
    """

    def __init__(self, clock: Clock, giving_up: threading.Event) -> None:
        self._clock = clock
        self._giving_up = giving_up
        #: What is the matter, for people; empty if all is well.
        self.trouble = ""
        self._mean_s = 0.0
        self._noted_s = 0.0
        self._tries = 0

    def bear(self, error: StoreError) -> bool:
        """Wait before another try; False if there is to be none."""
        if not isinstance(error, PASSING) or self._giving_up.is_set():
            return False
        if not self._tries:
            logger.error("nothing can be recorded, so nothing begins until it can: %s", error)
        self.trouble = str(error)
        pause_s = PAUSES_S[min(self._tries, len(PAUSES_S) - 1)]
        self._tries += 1
        return not self._giving_up.wait(pause_s)

    def note(self, took_s: float) -> None:
        """Take note of how long a commit took."""
        if self._tries:
            logger.warning("the store can be written again, after %d tries", self._tries)
            self._tries = 0
            self.trouble = ""
        was_slow = self.is_slow
        self._mean_s += NEWEST_PART * (took_s - self._mean_s)
        self._noted_s = self._clock.monotonic_s()
        if self.is_slow and not was_slow:
            self.trouble = f"the store is slow: a commit takes {self._mean_s:.1f} s"
            logger.warning("%s; no more runs are taken", self.trouble)
        elif was_slow and not self.is_slow:
            self.trouble = ""
            logger.warning("the store is fast enough again")

    @property
    def is_slow(self) -> bool:
        """Whether commits take so long that no more should be asked of the store."""
        return self._mean_s > SLOW_S

    @property
    def is_willing(self) -> bool:
        """Whether more work may be taken on; now and then though the store is slow."""
        if self._tries:
            return False
        return not self.is_slow or self._clock.monotonic_s() - self._noted_s > TRY_AGAIN_S


class Commits:
    """Commit batches of one lease, the same again where somebody bears that it failed.

    Args:
        store: Where they are written.
        lease: The right to do so.
        clock: Measures how long it takes.
        patience: Bears a store that cannot be written; None if nobody does.
    """

    def __init__(
        self, store: Store, lease: CoordinatorLease, clock: Clock, patience: Patience | None
    ) -> None:
        self._store = store
        self._lease = lease
        self._clock = clock
        self._patience = patience

    def write(self, batch: Batch) -> None:
        """Make a batch durable.

        Raises:
            StoreError: It was not written.
            OwnershipLost: Others have taken over.
        """
        patience = self._patience
        if patience is None:
            self._store.commit(batch, self._lease)
            return
        while True:
            began_s = self._clock.monotonic_s()
            try:
                self._store.commit(batch, self._lease)
            except StoreError as error:
                if not patience.bear(error):
                    raise
            else:
                patience.note(self._clock.monotonic_s() - began_s)
                return
