"""This module runs a flow in memory: nothing is left behind, and no time passes.

The engine, the coordinator and the store are the real ones; only the store lies in memory,
attempts execute in this process, and the clock is moved on instead of waiting: a retry after
an hour comes at once, an hour later.
"""

import shutil
import tempfile
import time
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from ostinato.authoring.function_flows import FunctionFlow
from ostinato.authoring.parameter_models import validated
from ostinato.authoring.steps import current_steps
from ostinato.authoring.suggestions import did_you_mean
from ostinato.client.answers import check_answer
from ostinato.client.local import notice_view
from ostinato.client.parameters import parse_moment_us, validate_params
from ostinato.client.vault import GivenSource
from ostinato.client.views import NoticeView
from ostinato.clock import VirtualClock
from ostinato.coordinator.here import Runner
from ostinato.coordinator.run_handle import Run
from ostinato.engine import events as ev
from ostinato.engine.occurrences import Occurrence
from ostinato.errors import UnknownTask
from ostinato.model.deferral import Deferral, Resumption
from ostinato.model.identity import RunId, TaskRunKey
from ostinato.model.manifest import Manifest, encode_manifest, version_of
from ostinato.model.selection import narrow, select_tasks
from ostinato.project.alert_settings import AlertSettings
from ostinato.project.discovery import Project
from ostinato.project.settings import Settings
from ostinato.runtime.step_time import pass_time
from ostinato.runtime.values import decode_value
from ostinato.store.protocol import Store
from ostinato.store.records import LoggedEvent
from ostinato.store.sqlite import open_store

if TYPE_CHECKING:
    from ostinato.authoring.dag import DAG

#: Virtual time of a run whose test does not say when it is.
DEFAULT_START = datetime(2025, 1, 1, tzinfo=UTC)

_EVENT_PAGE = 10_000


class MemoryRun(Run):
    """A run in memory, with what a test asks of it beyond a ``Run``.

    Use it as a context manager, or leave it to the garbage collector.
    """

    def __init__(
        self, store: Store, run_id: RunId, folder: Path, after: "MemoryRun | None" = None
    ) -> None:
        super().__init__(store, run_id, lambda value: decode_value(value, str(folder)))
        self._memory = store
        self._folder = folder
        # Whose store it is frees it; so long, that run is kept.
        self._after = after
        self._free: weakref.finalize[..., MemoryRun] = (
            weakref.finalize(self, _free, store, folder) if after is None else after._free
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the store and the folder of large values."""
        self._free()

    @property
    def home(self) -> tuple[Store, Path]:
        """The store and the folder of large values."""
        return self._memory, self._folder

    @property
    def ended_us(self) -> int:
        """When it ended, in virtual microseconds since the epoch."""
        return self._row.ended_us

    @property
    def states(self) -> dict[str, str]:
        """State by task; of a mapped task one entry for each index, such as ``load[3]``."""
        return {str(TaskRunKey(view.task_id, view.map_path)): view.state for view in self.task_runs}

    @property
    def order(self) -> list[str]:
        """Every attempt in the order in which they were dispatched, such as ``load[3]``."""
        return [
            str(TaskRunKey(event.task_id, event.path))
            for event in self.events
            if isinstance(event, ev.AttemptStarted)
        ]

    def attempts(self, task_id: str, *, map_index: int | tuple[int, ...] | None = None) -> int:
        """Return how many attempts a task run took."""
        return self.task_run(task_id, map_index=map_index).attempt

    def starts_of(self, task_id: str) -> list[datetime]:
        """Return when each attempt of a task was dispatched, in virtual time."""
        return [
            datetime.fromtimestamp(event.at_us / 1e6, UTC)
            for event in self.events
            if isinstance(event, ev.AttemptStarted) and event.task_id == task_id
        ]

    @property
    def notices(self) -> list[NoticeView]:
        """Its callbacks and alerts, in the order in which they were caused.

        Alerts are written and not sent: ``title`` and ``body`` say what would have been.
        """
        return [notice_view(row) for row in self._memory.notices(self._run_id)]

    @property
    def duration(self) -> timedelta:
        """Virtual time from the start of the run to its end."""
        row = self._row
        return timedelta(microseconds=row.ended_us - row.started_us)

    @property
    def events(self) -> list[ev.Event]:
        """Everything that was recorded, in order."""
        logged: list[LoggedEvent] = []
        cursor = ""
        while page := self._memory.events(after=cursor, run_id=self._run_id, limit=_EVENT_PAGE):
            logged.extend(page)
            cursor = page[-1].cursor
        return [each.event for each in logged if each.event is not None]


def run(
    flow: "DAG | FunctionFlow[..., Any]",
    *,
    params: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
    date: datetime | str | None = None,
    start: datetime = DEFAULT_START,
    select: str = "",
    pools: Mapping[str, int] | None = None,
    timezone: str = "UTC",
    connections: Mapping[str, Any] | None = None,
    variables: Mapping[str, Any] | None = None,
    answers: Mapping[str, Any] | None = None,
    flows: "Iterable[DAG | FunctionFlow[..., Any]]" = (),
    after: MemoryRun | None = None,
    alerts: Mapping[str, Any] | None = None,
) -> MemoryRun:
    """Run a flow in memory under virtual time.

    Args:
        flow: What ``@dag``, ``DAG`` or ``@flow`` made. In a function with ``@flow``,
            ``time.sleep`` and ``asyncio.sleep`` take virtual time too, and submitted steps
            execute where they are submitted, beside one another in virtual time.
        params: Values of its parameters.
        resources: Objects that replace its resources, by name.
        date: Logical date; the virtual now by default.
        start: What the virtual clock shows at first.
        select: Which tasks to run; all if empty.
        pools: Slots by the name of the pool.
        timezone: Zone of flows that name none.
        connections: How to reach systems outside, by id: a URI, fields or a ``Connection``.
        variables: Values of variables by name; what tasks set is seen by the others.
        answers: What a person answers, by task, or by the title of what a function with
            ``@flow`` asks; one that is not there waits for its time-out.
        flows: Other flows, which tasks may run.
        after: An earlier run, which this one finds in its store: for what depends on the past.
            Time goes on where that run ended.
        alerts: ``alerts`` of ``ostinato.yaml``; they are written and not sent, and the run's
            ``notices`` show them.

    Raises:
        ParameterError: The parameters do not fit the flow.
        UsageError: A task waits for a person for ever.
        UnknownTask: There is an answer for a task that is not there.
        DefinitionError: The flow is not sound.

    Example:
        >>> from ostinato import dag, task, testing
        >>> @dag
        ... def etl():
        ...     @task
        ...     def extract():
        ...         return [1, 2]
        ...     @task
        ...     def load(rows):
        ...         return sum(rows)
        ...     load(extract())
        >>> run = testing.run(etl())
        >>> run.states
        {'extract': 'succeeded', 'load': 'succeeded'}
        >>> run.result("load")
        3
    """
    return run_occurrence(
        flow,
        None,
        params=params,
        resources=resources,
        date=date,
        start=start,
        select=select,
        pools=pools,
        timezone=timezone,
        connections=connections,
        variables=variables,
        answers=answers,
        flows=flows,
        after=after,
        alerts=alerts,
    )


def run_occurrence(
    flow: "DAG | FunctionFlow[..., Any]",
    occurrence: Occurrence | None,
    *,
    params: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
    date: datetime | str | None = None,
    start: datetime = DEFAULT_START,
    select: str = "",
    pools: Mapping[str, int] | None = None,
    timezone: str = "UTC",
    connections: Mapping[str, Any] | None = None,
    variables: Mapping[str, Any] | None = None,
    answers: Mapping[str, Any] | None = None,
    flows: "Iterable[DAG | FunctionFlow[..., Any]]" = (),
    after: MemoryRun | None = None,
    alerts: Mapping[str, Any] | None = None,
) -> MemoryRun:
    """Run a flow as ``run`` does, for a moment of its schedule or for none."""
    dag = _graph_of(flow)
    definition = dag.definition
    values = validate_params(definition, params or {})
    if dag.parameter_model is not None:
        validated(dag.parameter_model, values, dag.name)
    narrowed = narrow(definition, select_tasks(definition, select)) if select else definition
    clock = VirtualClock(int(start.timestamp() * 1_000_000))
    store: Store
    if after is None:
        folder = Path(tempfile.mkdtemp(prefix="ostinato-testing-"))
        store = open_store(":memory:", clock=clock)
    else:
        store, folder = after.home
        clock.advance_to(after.ended_us)
    project = _project(folder, pools or {}, timezone, alerts or {})
    with ExitStack() as in_vain:
        if after is None:
            in_vain.callback(_free, store, folder)
        loaded = {**{other.name: _graph_of(other) for other in flows}, dag.name: dag}
        others = [each.definition for name, each in loaded.items() if name != dag.name]
        given = answers or {}
        asked: set[str] = {task.id for each in loaded.values() for task in each.definition.tasks}
        data = encode_manifest(Manifest(project=project.name, flows=(narrowed, *others)))
        version = version_of(data)
        store.save_manifest(version, project.name, data)
        with Runner(
            project,
            store,
            None,
            executor="inline",
            clock=clock,
            flows=loaded,
            resources=resources,
            inline_for=("process", "thread"),
            given=GivenSource(connections or {}, variables or {}),
            answers=lambda name, deferral: _answer(name, deferral, given, asked),
            is_sending=False,
        ) as runner:
            row = runner.create(
                narrowed,
                version,
                params=values,
                date_us=(
                    parse_moment_us(date, narrowed.timezone or timezone)
                    if occurrence is None
                    else occurrence.logical_us
                ),
                interval_us=None if occurrence is None else occurrence[2:],
                trigger="test" if occurrence is None else "schedule",
            )
            with _sleeping_by(clock):
                runner.drive()
        # What flows that are functions ask is known only now.
        _check_names(given, asked)
        in_vain.pop_all()
    return MemoryRun(store, row.id, folder, after)


def _project(
    root: Path, pools: Mapping[str, int], timezone: str, alerts: Mapping[str, Any]
) -> Project:
    return Project(
        name="testing",
        root=root,
        settings=Settings(
            pools=dict(pools),
            timezone=timezone,
            executor="inline",
            alerts=msgspec.convert(dict(alerts), AlertSettings),
        ),
        data_dir=root,
        store_path=root / "store.db",
        values_root=root,
        logs_root=root / "logs",
        is_implicit=True,
    )


def _check_names(answers: Mapping[str, Any], asked: Collection[str]) -> None:
    for name in answers:
        if name not in asked:
            message = f"answers has a task {name!r}, which is not there"
            raise UnknownTask(message, hint=did_you_mean(name, asked))


def _answer(
    name: str, deferral: Deferral, answers: Mapping[str, Any], asked: set[str]
) -> Resumption | None:
    request = deferral.request
    names = [name] if request is None else [name, request.title]
    asked.update(names)
    for each in names:
        if each in answers:
            if request is not None:
                check_answer(request, answers[each], each)
            return Resumption(deferral.method, payload=answers[each], by="test")
    return None


def _graph_of(flow: "DAG | FunctionFlow[..., Any]") -> "DAG":
    return flow.dag if isinstance(flow, FunctionFlow) else flow


@contextmanager
def _sleeping_by(clock: VirtualClock) -> Iterator[None]:
    """Have ``time.sleep`` move a clock on in flows that are functions, and wait elsewhere."""
    sleep = time.sleep

    def sleep_in_flow(seconds: Any) -> None:
        if current_steps.get() is None:
            sleep(seconds)
        else:
            pass_time(clock, seconds)

    time.sleep = sleep_in_flow
    try:
        yield
    finally:
        time.sleep = sleep


def _free(store: Store, folder: Path) -> None:
    store.close()
    shutil.rmtree(folder, ignore_errors=True)
