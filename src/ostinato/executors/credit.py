"""This module decides how many attempts an executor takes at a time, from how long they last."""

#: Seconds of work that are taken at once: enough to share a commit, short enough that little
#: is repeated after a crash.
WORK_S = 0.010

#: Attempts that are taken at once at most.
MOST = 64

#: Share of the newest duration in the running mean.
_NEWEST = 0.2


class Credit:
    """Adapt a number of attempts to their mean duration: 64 that are short, one that lasts."""

    def __init__(self) -> None:
        # The first attempts are taken one by one, until it is known how long they last.
        self._mean_s = WORK_S

    def learn(self, duration_s: float) -> None:
        """Take the duration of an attempt into account."""
        if duration_s > self._mean_s:
            # One that lasts counts at once: the next must not wait behind others like it.
            self._mean_s += (duration_s - self._mean_s) * 0.5
        else:
            self._mean_s += (duration_s - self._mean_s) * _NEWEST

    @property
    def attempts(self) -> int:
        """How many attempts are about ``WORK_S`` of work: 1 to ``MOST``."""
        if self._mean_s <= WORK_S / MOST:
            return MOST
        return max(1, int(WORK_S / self._mean_s))
