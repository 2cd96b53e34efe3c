"""This module finds what is different between two runs."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ostinato.client.local import LocalClient
from ostinato.client.views import TaskRunView, ValueView
from ostinato.store.records import RunRow

#: A task's time is another one from this factor and this many seconds on.
SLOWER_FACTOR, SLOWER_S = 1.5, 0.1


class Change(Struct, frozen=True):
    """What something is in each of two runs.

    Attributes:
        name: Of a parameter, a file of code or a task.
        first, second: In each run; UNSET where it is not there.
    """

    name: str
    first: Any = UNSET
    second: Any = UNSET


class TaskRunChange(Struct, frozen=True):
    """How a task run differs.

    Attributes:
        name: Task and index, such as ``load[3]``.
        first, second: In each run; None where it is not there.
        is_state_other: Whether it ended otherwise, or failed otherwise.
        are_inputs_other: Whether its rendered arguments differ.
        is_value_other: Whether its result differs.
        values: Its result in each run, None where there is none.
    """

    name: str
    first: TaskRunView | None
    second: TaskRunView | None
    is_state_other: bool = False
    are_inputs_other: bool = False
    is_value_other: bool = False
    values: tuple[ValueView | None, ValueView | None] = (None, None)


class Comparison(Struct, frozen=True):
    """What differs between two runs.

    Attributes:
        first, second: The runs.
        params: Parameters with another value.
        commits: The commit that each ran at, where that is another one.
        sources: Content hashes of source files that differ.
        task_runs: Task runs that ended otherwise, or with another result.
        durations: Seconds that the task runs of a task took together, where they differ much.
    """

    first: RunRow
    second: RunRow
    params: list[Change]
    commits: Change | None
    sources: list[Change]
    task_runs: list[TaskRunChange]
    durations: list[Change]

    @property
    def is_same(self) -> bool:
        """Whether nothing but time is different."""
        return (
            self.first.state is self.second.state
            and self.first.flow == self.second.flow
            and not (self.params or self.commits or self.sources or self.task_runs)
        )


def compare_runs(client: LocalClient, first: RunRow, second: RunRow) -> Comparison:
    """Return what differs between two runs.

    Args:
        client: Knows both.
        first: The one that is compared with.
        second: The other one.
    """
    commits = _commit(first), _commit(second)
    task_runs: list[TaskRunChange] = []
    durations: list[Change] = []
    names = sorted({*client.counts(first.id), *client.counts(second.id)})
    for task_id in names:
        views = [
            {view.path: view for view in client.task_runs(run.id, task_id=task_id)}
            for run in (first, second)
        ]
        task_runs.extend(_task_run_changes(client, (first, second), task_id, views[0], views[1]))
        took = _seconds(views[0]), _seconds(views[1])
        short, long = sorted(took)
        if all(views) and long - short >= SLOWER_S and long >= short * SLOWER_FACTOR:
            durations.append(Change(task_id, *took))
    return Comparison(
        first,
        second,
        _changes(_params(first), _params(second)),
        Change("commit", *commits) if commits[0] != commits[1] else None,
        _changes(client.sources(first), client.sources(second)),
        task_runs,
        durations,
    )


def _task_run_changes(
    client: LocalClient,
    runs: tuple[RunRow, RunRow],
    task_id: str,
    first: Mapping[str, TaskRunView],
    second: Mapping[str, TaskRunView],
) -> Iterator[TaskRunChange]:
    digests = [client.value_digests(run.id, task_id) for run in runs]
    for path in sorted({*first, *second}, key=_position):
        views = first.get(path), second.get(path)
        name = next(view.name for view in views if view is not None)
        if views[0] is None or views[1] is None:
            yield TaskRunChange(name, *views)
            continue
        is_state_other = _end(views[0]) != _end(views[1])
        are_inputs_other = views[0].inputs != views[1].inputs
        is_value_other = digests[0].get(path) != digests[1].get(path)
        if is_state_other or are_inputs_other or is_value_other:
            values: tuple[ValueView | None, ValueView | None] = (None, None)
            if is_value_other:
                values = (
                    _value(client, runs[0], task_id, path),
                    _value(client, runs[1], task_id, path),
                )
            yield TaskRunChange(
                name, *views, is_state_other, are_inputs_other, is_value_other, values
            )


def _value(client: LocalClient, run: RunRow, task_id: str, path: str) -> ValueView | None:
    return next(iter(client.values(run.id, task_id, path=path)), None)


def _end(view: TaskRunView) -> tuple[object, str]:
    """Return how a task run ended: its state, and what went wrong."""
    return view.state, view.failure.summary if view.failure is not None else ""


def _position(path: str) -> tuple[int, ...]:
    return tuple(map(int, path.split("."))) if path else ()


def _seconds(views: Mapping[str, TaskRunView]) -> float:
    return sum(
        (view.ended_us - view.started_us) / 1e6
        for view in views.values()
        if view.started_us and view.ended_us
    )


def _params(run: RunRow) -> dict[str, Any]:
    params: dict[str, Any] = msgspec.json.decode(run.params)
    return params


def _commit(run: RunRow) -> str | UnsetType:
    return msgspec.json.decode(run.code or b"{}").get("commit") or UNSET


def _changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Change]:
    names = sorted({*first, *second})
    pairs = ((name, first.get(name, UNSET), second.get(name, UNSET)) for name in names)
    return [Change(*pair) for pair in pairs if pair[1] != pair[2]]
