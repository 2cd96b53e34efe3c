"""This module is the local session: ``flow.run()`` executes here and now, recorded."""

import atexit
import getpass
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.authoring.dag import DAG
from ostinato.authoring.parameter_models import validated
from ostinato.authoring.steps import Outcome, current_outcome
from ostinato.client.answers import answer_command
from ostinato.client.local import LocalClient
from ostinato.client.new_runs import LOCAL, SERVICE, code_version
from ostinato.client.parameters import parse_moment_us, validate_params
from ostinato.clock import Clock, SystemClock
from ostinato.coordinator.here import Runner
from ostinato.coordinator.new_runs import known_manifest, leave_run
from ostinato.coordinator.run_handle import Run
from ostinato.coordinator.serving import Server
from ostinato.coordinator.step_forks import are_processes_needed
from ostinato.coordinator.triggered_runs import Asked, target_in_file
from ostinato.errors import AnswerError, FlowSuspended
from ostinato.executors.code_host import CodeHost
from ostinato.model.deferral import InputRequest
from ostinato.model.flow import FlowDefinition
from ostinato.model.manifest import Manifest, encode_manifest, version_of
from ostinato.model.selection import narrow, select_tasks
from ostinato.project.discovery import Project, find_project
from ostinato.project.loading import Loaded
from ostinato.project.target import Target
from ostinato.runtime.values import decode_value
from ostinato.store.opening import open_store_of
from ostinato.store.protocol import Store
from ostinato.store.records import RunRow

if TYPE_CHECKING:
    from ostinato.authoring.ports import BuiltFlow
    from ostinato.authoring.steps import StepFlow


#: Executor of a flow's body that is called: the thread that calls.
CALLER = "caller"


#: Shows a run: where it is recorded, its project, itself and its definition.
Show = Callable[[Store, Project, RunRow, FlowDefinition], AbstractContextManager[None]]


class EmbeddedSession:
    """Run flows in this process, which embeds the coordinator by the user's choice.

    Stores stay open until the process ends, so that runs can be asked for their results.

    Args:
        show: Shows a run while a block executes; None where nobody looks.
    """

    def __init__(self, show: Show | None = None) -> None:
        self._show = show
        self._stores: dict[str, Store] = {}
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
        outcome, run = self.execute(flow, arguments)
        if run.state == "succeeded":
            return outcome.value
        if outcome.error is not None:
            raise outcome.error
        if run.state in ("paused", "running"):
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
        tags: tuple[str, ...] = (),
        clock: Clock | None = None,
    ) -> None:
        """Run a flow in this thread at each moment of its schedule, until it is interrupted.

        Args:
            flow: The flow.
            params: Values of its parameters.
            runs: After how many moments to end; None for never.
            tags: Of the runs of its moments.
            clock: Tells when they have come.

        Raises:
            InvalidArgument: Its schedule has no moments.
            ParameterError: The parameters do not fit.
            StoreError: The store cannot be written.
        """
        clock = clock or SystemClock()
        project = self._project(flow.dag.definition)
        store = self._open(project)
        Server(self, flow, project, store, clock=clock, params=params, tags=tags).serve(runs)

    def start(
        self,
        flow: "BuiltFlow | str",
        *,
        params: Mapping[str, Any],
        date: datetime | str | None,
        key: str,
    ) -> Run:
        """Ask for a run of a flow, which waits for who serves it.

        Args:
            flow: The flow, or the name of one that has run or is served.
            params: Values of its parameters.
            date: Logical date; now by default.
            key: Whoever asks for a run of the flow with it gets the same run.

        Raises:
            ParameterError: They do not fit the flow.
            UnknownFlow: There is no flow of this name.
            StoreError: The store cannot be written.
        """
        if isinstance(flow, str):
            project = find_project(None)
            store = self._open(project)
            manifest = known_manifest(store, project, flow)
            definition = next(each for each in manifest.flows if each.name == flow)
        else:
            definition = flow.definition
            project = self._project(definition)
            store = self._open(project)
            manifest = _manifest(project, flow, definition, _flows_beside(flow))
        values = validate_params(definition, params)
        model = None if isinstance(flow, str) else flow.parameter_model
        if model is not None:
            validated(model, values, definition.name)
        date_us = parse_moment_us(date, definition.timezone or project.settings.timezone)
        logical_key = f"api:{key}" if key else ""
        row = leave_run(
            store,
            project,
            manifest,
            Asked(definition, values, date_us, logical_key, "", trigger="script"),
            code=code_version(project),
            now_us=SystemClock().now_us(),
        )
        return _handle(store, project, row)

    def answer(self, run: str, answer: Any, *, by: str) -> None:
        """Answer a run that waits for a person.

        Args:
            run: As people name it.
            answer: What is asked; models become what JSON can say.
            by: Who answers; empty for who runs this process.

        Raises:
            RunNotFound: There is no such run.
            AnswerError: It waits for nobody, or the answer does not fit.
        """
        project = find_project(None)
        store = self._open(project)
        client = LocalClient(store, values_root=project.values_root, logs_root=project.logs_root)
        row = client.run(run)
        waiting = client.inputs(row.id)
        if not waiting:
            raise AnswerError(f"run {row.flow}#{row.number} waits for nobody")
        plain = answer.model_dump(mode="json") if hasattr(answer, "model_dump") else answer
        client.answer(row.id, waiting[0].task_id, waiting[0].path, plain, by or getpass.getuser())

    def execute(
        self, flow: "StepFlow", params: Mapping[str, Any], **more: Any
    ) -> tuple[Outcome, Run]:
        """Execute a flow in this thread, and return how it ended.

        Args:
            flow: The flow.
            params: Values of its parameters.
            more: Of ``_started``.
        """
        with self._started(flow.dag, params=params, executor=CALLER, **more) as started:
            return _outcome_of(*started)

    def take_up(self, flow: "StepFlow", row: RunRow) -> tuple[Outcome, Run]:
        """Go on, in this thread, with a run that nobody drives, and return how it ended.

        Args:
            flow: Its flow.
            row: The run.

        Raises:
            RunOwned: Somebody drives it by now.
            ParameterError: It has not started, and its parameters do not fit.
        """
        params = msgspec.json.decode(row.params)
        with self._started(flow.dag, params=params, executor=CALLER, again=row) as started:
            return _outcome_of(*started)

    def _project(self, definition: FlowDefinition) -> Project:
        file = definition.source.file
        path = Path(file).resolve() if file and Path(file).exists() else None
        if path is not None and path.is_dir():
            # A flow that a script made of a folder: the folder need not look like one.
            path = path / "METADATA.yml"
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
        interval_us: tuple[int, int] | None = None,
        tags: tuple[str, ...] = (),
        again: RunRow | None = None,
    ) -> Iterator[tuple[Runner, Run]]:
        definition = dag.definition
        project = self._project(definition)
        values = validate_params(definition, params)
        if dag.parameter_model is not None:
            validated(dag.parameter_model, values, dag.name)
        flow = narrow(definition, select_tasks(definition, select)) if select else definition
        flows = {**_flows_beside(dag), dag.name: dag}
        manifest = _manifest(project, dag, flow, flows)
        data = encode_manifest(manifest)
        version = version_of(data)
        name = executor or definition.executor or project.settings.executor
        host = None
        needs_processes = name in (CALLER, "thread") and are_processes_needed(dag)
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
                on_question=_say_question,
            ) as runner:
                row = (
                    runner.resume(again.id, flow)
                    if again is not None
                    else runner.create(
                        flow,
                        version,
                        params=values,
                        date_us=parse_moment_us(date, flow.timezone or project.settings.timezone)
                        if date_us is None
                        else date_us,
                        trigger="script" if logical_key is None else "schedule",
                        logical_key=logical_key,
                        interval_us=interval_us,
                        tags=tags,
                        target=target_in_file(definition),
                        home=LOCAL if logical_key is None else SERVICE,
                    )
                )
                show = self._show if again is None and logical_key is None else None
                with show(store, project, row, flow) if show is not None else nullcontext():
                    yield runner, _handle(store, project, row)
        finally:
            if host is not None:
                host.close()

    def _open(self, project: Project) -> Store:
        place = project.store_url or str(project.store_path)
        store = self._stores.get(place)
        if store is None:
            store = open_store_of(project)
            self._stores[place] = store
        return store


def _outcome_of(runner: Runner, run: Run) -> tuple[Outcome, Run]:
    """Drive a runner's run, executing its body in this thread, and return how it ended."""
    outcome = Outcome()
    token = current_outcome.set(outcome)
    try:
        _serve(runner)
    except KeyboardInterrupt:
        note = f"left {run.name} unfinished: ostinato resume '{run.name}' goes on with it"
        sys.stderr.write(f"{note}\n")
        raise
    finally:
        current_outcome.reset(token)
    return outcome, run


def _say_question(row: RunRow, name: str, request: InputRequest) -> None:
    """Say what people are asked, where no picture of the run shows it."""
    if sys.stdout.isatty():
        return
    run = f"{row.flow}#{row.number}"
    sys.stderr.write(f"{run} {name} waits for a person: {request.title}\n")
    sys.stderr.write(f"  {answer_command(run, name, request)}\n")
    sys.stderr.flush()


def _handle(store: Store, project: Project, row: RunRow) -> Run:
    root = str(project.values_root)
    return Run(store, row.id, lambda value: decode_value(value, root))


def _manifest(
    project: Project,
    dag: "BuiltFlow",
    flow: FlowDefinition,
    flows: "Mapping[str, BuiltFlow]",
) -> Manifest:
    others = [each.definition for name, each in flows.items() if name != dag.name]
    return Manifest(project=project.name, flows=(flow, *others))


def _flows_beside(dag: "BuiltFlow") -> "dict[str, BuiltFlow]":
    """Return the flows at the top of the modules that hold a flow: its tasks may run them."""
    found: dict[str, BuiltFlow] = {}
    for module in [*sys.modules.values()]:
        # Some packages put other objects in the place of their modules.
        names: dict[str, Any] = getattr(module, "__dict__", {})
        flows = [graph for value in names.values() if (graph := _graph(value)) is not None]
        if any(flow is dag for flow in flows):
            found.update({flow.name: flow for flow in flows})
    return found


def _graph(value: object) -> "BuiltFlow | None":
    """Return the graph of what may be a flow."""
    # Where nobody has such a flow, what defines it is not imported: 25 ms.
    functions = sys.modules.get("ostinato.authoring.function_flows")
    if functions is not None and isinstance(value, functions.FunctionFlow):
        dag: BuiltFlow = value.dag
        return dag
    return value if isinstance(value, DAG) else None


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
