"""This module answers what attempts ask about other runs than their own."""

from collections.abc import Callable, Mapping
from typing import Any

from ostinato.coordinator.live_run import LiveRun
from ostinato.engine.task_run import TaskRun
from ostinato.errors import RunNotFound
from ostinato.model.identity import RunId
from ostinato.store.protocol import Store
from ostinato.store.records import RunRow


class EarlierRuns:
    """Answer the calls whose answer lies in the store.

    Args:
        store: Where the runs lie.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        #: By method; each takes the run, the task run and the call's arguments by name.
        self.answers: Mapping[str, Callable[..., Any]] = {
            "previous_success": self._previous_success,
            "pull_elsewhere": self._pull,
        }

    def _previous_success(self, run: LiveRun, _: TaskRun) -> tuple[int, int, int, int] | None:
        found = self._store.previous_success(run.row)
        if found is None:
            return None
        return found.interval_start_us, found.interval_end_us, found.started_us, found.ended_us

    def _pull(
        self, run: LiveRun, _: TaskRun, *, task_id: str, key: str, path: str | None, **where: str
    ) -> dict[str, Any]:
        run_id = self._run(run.row, task_id, key, **where)
        found = self._store.values(run_id, task_id, path=path, key=key) if run_id else []
        is_mapped = any(each for each, _value in found)
        return {"values": [value for _path, value in found], "is_mapped": is_mapped}

    def _run(self, own: RunRow, task_id: str, key: str, *, run_id: str, flow: str) -> RunId:
        if not run_id:
            return self._store.newest_run_with_value(flow, task_id, key, own)
        found = self._store.find_run(run_id)
        if found is None:
            raise RunNotFound(f"there is no run {run_id} to pull from")
        return found.id
