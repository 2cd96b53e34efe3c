"""This module measures the whole service by what its processes say in the store."""

from collections import Counter
from collections.abc import Iterable

from ostinato.client.local import LocalClient
from ostinato.clock import Clock
from ostinato.errors import StoreError
from ostinato.model.measure import Labels, Measure, gauge


class ServiceMeasures:
    """Implements ``Measured`` for the service as a whole; it asks the store.

    Args:
        client: Asks the store.
        project: Whose runs.
        clock: Of which the heartbeats are.
    """

    def __init__(self, client: LocalClient, project: str, clock: Clock) -> None:
        self._client = client
        self._project = project
        self._clock = clock

    def measures(self) -> Iterable[Measure]:
        """Yield the numbers of this moment; few of them if the store does not answer."""
        try:
            found = list(self._measures())
        except StoreError:
            found = []
        yield gauge("store_is_reachable", "Whether the store answers.", {(): float(bool(found))})
        yield from found

    def _measures(self) -> Iterable[Measure]:
        waiting: Counter[Labels] = Counter()
        for each in self._client.claimable(self._project):
            waiting[("flow", each.flow),] += each.waiting
        yield gauge("waiting_runs", "Runs that wait for a worker.", waiting)
        alive = [row for row in self._client.coordinators() if row.is_alive]
        processes: Counter[Labels] = Counter()
        runs: Counter[Labels] = Counter()
        ages: dict[Labels, float] = {}
        for row in alive:
            kind: Labels = (("kind", row.kind),)
            processes[kind] += 1
            runs[kind] += row.run_count
            if row.heartbeat_us:
                age_s = max(self._clock.now_us() - row.heartbeat_us, 0) / 1e6
                ages[kind] = max(ages.get(kind, 0.0), age_s)
        is_active = self._client.active_scheduler(self._project) is not None
        description = "Whether a scheduler fires schedules; the others stand by."
        yield gauge("scheduler_is_active", description, {(): float(is_active)})
        yield gauge("processes", "Living processes of the service, by kind.", processes)
        yield gauge("owned_runs", "Runs that living processes drive, by their kind.", runs)
        yield gauge(
            "heartbeat_age_seconds",
            "Since the oldest heartbeat of a living process, by kind; on PostgreSQL.",
            ages,
        )
