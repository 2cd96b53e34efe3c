"""This module is the local session: ``flow.run()`` executes here and now, recorded."""

import atexit
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.authoring.parameter_models import validated
from ostinato.authoring.steps import Outcome, current_outcome
from ostinato.client.parameters import parse_moment_us, validate_params
from ostinato.coordinator.here import Runner
from ostinato.coordinator.run_handle import Run
from ostinato.executors.code_host import CodeHost
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
            StoreError: The store cannot be written.
        """
        outcome = Outcome()
        token = current_outcome.set(outcome)
        try:
            with self._started(flow.dag, params=arguments, executor=CALLER) as (runner, run):
                _serve(runner)
        finally:
            current_outcome.reset(token)
        if run.state == "succeeded":
            return outcome.value
        if outcome.error is not None:
            raise outcome.error
        run.raise_for_state()
        return None

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
    ) -> Iterator[tuple[Runner, Run]]:
        definition = dag.definition
        file = definition.source.file
        path = Path(file).resolve() if file and Path(file).exists() else None
        project = find_project(Target(path=path))
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
        if name == "process" or any(task.policy.executor == "process" for task in flow.tasks):
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
                    date_us=parse_moment_us(date, flow.timezone or project.settings.timezone),
                    trigger="script",
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
        if any(value is dag for value in names.values()):
            flows = [value for value in names.values() if isinstance(value, type(dag))]
            found.update({flow.name: flow for flow in flows})
    return found


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
