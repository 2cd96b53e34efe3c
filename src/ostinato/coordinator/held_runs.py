"""This module holds runs back of whose flow as many are under way as may be."""

from ostinato.coordinator.live_run import LiveRun
from ostinato.engine import events as ev
from ostinato.model.state import RunState


class HeldRuns:
    """Runs of a coordinator that have not begun; they begin in the order of logical date.

    Args:
        live: All runs of the coordinator by id.
    """

    def __init__(self, live: dict[int, LiveRun]) -> None:
        self._live = live
        self._held: dict[int, LiveRun] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._held

    def hold(self, run: LiveRun, event: ev.Input | None) -> bool:
        """Hold a run back that is about to begin; False if its flow has no limit."""
        is_held = isinstance(event, ev.RunStarted) and run.plan.flow.max_active_runs > 0
        if is_held:
            self._held[run.id] = run
        return is_held

    def startable(self) -> list[LiveRun]:
        """Return the runs that may begin, and hold them no longer."""
        found: list[LiveRun] = []
        under_way: dict[str, int] = {}
        for run in self._live.values():
            if run.machine.state is not RunState.QUEUED and not run.machine.is_terminal:
                under_way[run.row.flow] = under_way.get(run.row.flow, 0) + 1
        for run in sorted(self._held.values(), key=_by_date):
            flow = run.row.flow
            if run.machine.state is not RunState.QUEUED:
                # It was cancelled meanwhile.
                del self._held[run.id]
            elif under_way.get(flow, 0) < run.plan.flow.max_active_runs:
                under_way[flow] = under_way.get(flow, 0) + 1
                del self._held[run.id]
                found.append(run)
        return found


def _by_date(run: LiveRun) -> tuple[int, int]:
    return run.row.logical_date_us, run.id
