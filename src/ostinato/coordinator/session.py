"""This module is the local session: ``flow.run()`` executes here and now, recorded."""

import atexit
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.authoring.function_flows import FunctionFlow
from ostinato.authoring.parameter_models import validated
from ostinato.authoring.step_places import are_processes_needed
from ostinato.authoring.steps import Outcome, current_outcome
from ostinato.client.parameters import parse_moment_us, validate_params
from ostinato.clock import Clock, SystemClock, VirtualClock
from ostinato.coordinator.here import Runner
from ostinato.coordinator.run_handle import Run
from ostinato.engine.timetable import next_tick_us
from ostinato.errors import FlowSuspended
from ostinato.executors.code_host import CodeHost
from ostinato.model.flow import FlowDefinition
from ostinato.model.manifest import Manifest, encode_manifest, version_of
from ostinato.model.selection import narrow, select_tasks
from ostinato.project.discovery import Project, find_project
from ostinato.project.loading import Loaded
from ostinato.project.target import Target
from ostinato.runtime.values import decode_value
from ostinato.store.protocol import Store
from ostinato.store.sqlite import open_store

if TYPE_CHECKING:
    from ostinato.authoring.ports import BuiltFlow
    from ostinato.authoring.steps import StepFlow


#: Executor of a flow's body that is called: the thread that calls.
CALLER = "caller"


#: Seconds after which who waits for a moment looks at the clock again.
LOOK_AGAIN_S = 30.0


class EmbeddedSession:
    """Run flows in this process, which embeds the coordinator by the user's choice.

    Stores stay open until the process ends, so that runs can be asked for their results.
    """

    def __init__(self) -> None:
        self._stores: dict[Path, Store] = {}
        atexit.register(self.close)

    def close(self) -> None:
        """Close all stores."""
        for store in self._stores.values():
            store.close()
        self._stores.clear()

    def run(
        self,
        dag: "BuiltFlow",
        *,
        params: Mapping[str, Any],
        date: datetime | str | None = None,
        executor: str = "",
        resources: Mapping[str, Any] | None = None,
        select: str = "",
    ) -> Run:
        """Run a flow to its end.

        Args:
            dag: The flow.
            params: Values of its parameters.
            date: Logical date; now by default.
            executor: Default executor of this run; the flow's or the project's if empty.
            resources: Objects that replace the flow's resources, by name.
            select: Which tasks to run; all if empty.

        Raises:
            ParameterError: The parameters do not fit the flow.
            StoreError: The store cannot be written.
        """
        with self._started(
            dag,
            params=params,
            date=date,
            executor=executor,
            resources=resources or {},
            select=select,
        ) as (runner, run):
            runner.drive()
        return run

    def call(self, flow: "StepFlow", arguments: Mapping[str, Any]) -> Any:
        """Run a flow that is a function in this thread, and return or raise what it does.

        Args:
            flow: The flow.
            arguments: Of the function, by name.

        Raises:
            ParameterError: They do not fit the flow.
            FlowSuspended: It waits for a person, and holds nothing meanwhile.
            StoreError: The store cannot be written.
        """
        outcome, run = self._execute(flow, arguments)
        if run.state == "succeeded":
            return outcome.value
        if outcome.error is not None:
            raise outcome.error
        if run.state == "running":
            message = f"{run.name} is suspended: it waits for a person"
            raise FlowSuspended(
                message,
                hint=f"ostinato inputs shows what is asked; ostinato resume '{run.name}' goes on",
            )
        run.raise_for_state()
        return None

    def serve(
        self,
        flow: "StepFlow",
        *,
        params: Mapping[str, Any],
        runs: int | None,
        clock: Clock | None = None,
    ) -> None:
        """Run a flow in this thread at each moment of its schedule, until it is interrupted.

        Args:
            flow: The flow.
            params: Values of its parameters.
            runs: After how many moments to end; None for never.
            clock: Tells when they have come.

        Raises:
            InvalidArgument: Its schedule has no moments.
            ParameterError: The parameters do not fit.
            StoreError: The store cannot be written.
        """
        clock = clock or SystemClock()
        definition = flow.dag.definition
        validate_params(definition, params)
        timezone = definition.timezone or self._project(definition).settings.timezone
        count = 0
        try:
            while runs is None or count < runs:
                tick_us = next_tick_us(definition.schedule, timezone, clock.now_us())
                _say(f"{flow.name}: the next run is at {_moment(tick_us)}")
                _wait_until(clock, tick_us)
                self._serve_tick(flow, params, tick_us)
                count += 1
        except KeyboardInterrupt:
            _say(f"{flow.name}: no longer served")

    def _serve_tick(self, flow: "StepFlow", params: Mapping[str, Any], tick_us: int) -> None:
        key = f"schedule:{tick_us}"
        outcome, run = self._execute(flow, params, date_us=tick_us, logical_key=key)
        if not outcome.is_executed:
            _say(f"{run.name} was started already")
            return
        _say(f"{run.name} {run.state}" + (f": {run.reason}" if run.reason else ""))
        if outcome.error is not None and not isinstance(outcome.error, Exception):
            # Ctrl-C in the middle of the body.
            raise outcome.error

    def _execute(
        self, flow: "StepFlow", params: Mapping[str, Any], **more: Any
    ) -> tuple[Outcome, Run]:
        """Execute a flow in this thread, and return how it ended."""
        outcome = Outcome()
        token = current_outcome.set(outcome)
        try:
            with self._started(flow.dag, params=params, executor=CALLER, **more) as (runner, run):
                _serve(runner)
        finally:
            current_outcome.reset(token)
        return outcome, run

    def _project(self, definition: FlowDefinition) -> Project:
        file = definition.source.file
        path = Path(file).resolve() if file and Path(file).exists() else None
        return find_project(Target(path=path))

    @contextmanager
    def _started(
        self,
        dag: "BuiltFlow",
        *,
        params: Mapping[str, Any],
        date: datetime | str | None = None,
        executor: str = "",
        resources: Mapping[str, Any] | None = None,
        select: str = "",
        date_us: int | None = None,
        logical_key: str | None = None,
    ) -> Iterator[tuple[Runner, Run]]:
        definition = dag.definition
        file = definition.source.file
        project = self._project(definition)
        values = validate_params(definition, params)
        if dag.parameter_model is not None:
            validated(dag.parameter_model, values, dag.name)
        flow = narrow(definition, select_tasks(definition, select)) if select else definition
        flows = {**_flows_beside(dag), dag.name: dag}
        others = [each.definition for name, each in flows.items() if name != dag.name]
        manifest = Manifest(project=project.name, flows=(flow, *others))
        data = encode_manifest(manifest)
        version = version_of(data)
        name = executor or definition.executor or project.settings.executor
        host = None
        needs_processes = executor == CALLER and are_processes_needed()
        if name == "process" or any(task.policy.executor == "process" for task in flow.tasks):
            needs_processes = True
        if needs_processes:
            loaded = Loaded(flows=flows, manifest=manifest, data=data, version=version)
            host = CodeHost.fork(lambda: loaded, resources=resources or {})
        store = self._open(project)
        store.save_manifest(version, project.name, data)
        try:
            with Runner(
                project,
                store,
                host,
                executor=executor or None,
                flows=flows,
                resources=resources,
                has_caller=executor == CALLER,
            ) as runner:
                row = runner.create(
                    flow,
                    version,
                    params=values,
                    date_us=parse_moment_us(date, flow.timezone or project.settings.timezone)
                    if date_us is None
                    else date_us,
                    trigger="script" if logical_key is None else "schedule",
                    logical_key=logical_key,
                    target=f"{file}:{dag.name}" if file else "",
                )
                root = str(project.values_root)
                yield runner, Run(store, row.id, lambda value: decode_value(value, root))
        finally:
            if host is not None:
                host.close()

    def _open(self, project: Project) -> Store:
        store = self._stores.get(project.store_path)
        if store is None:
            store = open_store(project.store_path, durability=project.settings.store.durability)
            self._stores[project.store_path] = store
        return store


def _flows_beside(dag: "BuiltFlow") -> "dict[str, BuiltFlow]":
    """Return the flows at the top of the modules that hold a flow: its tasks may run them."""
    found: dict[str, BuiltFlow] = {}
    for module in [*sys.modules.values()]:
        # Some packages put other objects in the place of their modules.
        names: dict[str, Any] = getattr(module, "__dict__", {})
        if any(value is dag or _flow_of(value) is dag for value in names.values()):
            flows = [_flow_of(value) or value for value in names.values()]
            found.update({flow.name: flow for flow in flows if isinstance(flow, type(dag))})
    return found


def _flow_of(value: object) -> "BuiltFlow | None":
    """Return what the engine sees of a flow that is a function, None of anything else."""
    return value.dag if isinstance(value, FunctionFlow) else None


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _moment(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _wait_until(clock: Clock, at_us: int) -> None:
    """Return when a moment has come, also where the machine's clock is set meanwhile."""
    if isinstance(clock, VirtualClock):
        clock.advance_to(at_us)
        return
    while (left_us := at_us - clock.now_us()) > 0:
        time.sleep(min(left_us / 1e6, LOOK_AGAIN_S))


def _serve(runner: Runner) -> None:
    """Execute the body of a flow in this thread, while another one drives the run."""
    caller = runner.caller
    assert caller is not None
    failures: list[BaseException] = []

    def drive() -> None:
        try:
            runner.drive()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that called
            failures.append(error)
            caller.refuse(str(error))
        finally:
            caller.release()

    thread = threading.Thread(target=drive, name="coordinator", daemon=True)
    thread.start()
    try:
        caller.serve()
    except BaseException:
        # The user ends the script: the run stays as it is recorded, until it is resumed.
        runner.stop()
        raise
    finally:
        thread.join()
    if failures:
        raise failures[0]
