"""This module keeps the moments that engines have asked for."""

from heapq import heappop, heappush

from ostinato.engine.commands import SetTimer


class Timers:
    """Order timers of all runs by time; a void one is ignored by its engine when it fires."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, SetTimer]] = []
        self._count = 0

    def add(self, run_id: int, timer: SetTimer) -> None:
        """Keep a timer of a run."""
        self._count += 1
        heappush(self._heap, (timer.at_us, self._count, run_id, timer))

    @property
    def next_us(self) -> int | None:
        """Microseconds since the epoch of the earliest timer, None if there is none."""
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now_us: int) -> list[tuple[int, SetTimer]]:
        """Take what is due, as (run id, timer), earliest first."""
        due: list[tuple[int, SetTimer]] = []
        while self._heap and self._heap[0][0] <= now_us:
            _, _, run_id, timer = heappop(self._heap)
            due.append((run_id, timer))
        return due
