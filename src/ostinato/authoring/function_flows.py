"""This module holds flows that are functions: each call of a task in them is a durable step."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, ParamSpec, TypeVar

from ostinato.authoring import session
from ostinato.authoring.dag import DAG, Scheduled
from ostinato.authoring.futures import resolve_futures
from ostinato.authoring.groups import open_group
from ostinato.authoring.not_run import NotRun
from ostinato.authoring.operators.python import FunctionOperator
from ostinato.authoring.parameters import REQUIRED
from ostinato.authoring.places import calling_place, relative_place
from ostinato.authoring.policies import POLICY_NAMES
from ostinato.authoring.ports import Context, RunHandle
from ostinato.authoring.run_names import NameFunction, called_name
from ostinato.authoring.signals import Suspended
from ostinato.authoring.signatures import UNTYPED, name_of, signature_of
from ostinato.authoring.step_scopes import number_tasks
from ostinato.authoring.steps import current_outcome, current_steps
from ostinato.errors import InvalidArgument, UsageError
from ostinato.model.step import BODY

P = ParamSpec("P")
R = TypeVar("R")

#: Options that may be functions.
_NAMING = ("run_name", "flow_run_name")

#: Policies of a flow that are those of its body; Prefect's names beside ours.
_OF_THE_BODY = {
    "retries": "retries",
    "retry_delay": "retry_delay",
    "retry_delay_seconds": "retry_delay",
    "retry_if": "retry_if",
    "retry_jitter": "retry_jitter",
    "retry_exponential_backoff": "retry_exponential_backoff",
    "max_retry_delay": "max_retry_delay",
    "timeout": "timeout",
    "timeout_seconds": "timeout",
    "isolation": "isolation",
    "compute": "compute",
    "pool": "pool",
    "priority": "priority",
    "lost_attempts": "lost_attempts",
}


class FlowBody(FunctionOperator):
    """Execute the function of a flow, whose calls of tasks are steps.

    Args:
        task_id: Always the same.
        python_callable: The function.
        op_kwargs: What stands for the flow's parameters.
        policies: Of the flow.
    """

    operator_name = "flow"
    #: Names a run, where its flow has a function for that.
    naming: NameFunction | None = None

    @property
    def result_type(self) -> Any:
        """What the function is annotated to return."""
        return self.signature.returns

    def execute(self, context: Context) -> Any:
        """Call the function; what it returns is the flow's result.

        Args:
            context: Of the attempt.
        """
        outcome = current_outcome.get()
        if outcome is not None:
            outcome.is_executed = True
        if self.naming is not None:
            context.name_run(called_name(self.naming, self.op_kwargs))
        try:
            result = resolve_futures(self.call(context))
        except BaseException as error:
            if outcome is not None and not isinstance(error, Suspended):
                outcome.error = error
            raise
        if outcome is not None:
            outcome.value = result
        return result

    def await_result(self, coroutine: Any) -> Any:
        """Run a coroutine function's body on a loop whose tasks are numbered.

        Args:
            coroutine: What the function returned.
        """

        async def numbered() -> Any:
            number_tasks(asyncio.get_running_loop())
            return await coroutine

        steps = current_steps.get()
        with asyncio.Runner(loop_factory=steps.new_loop if steps is not None else None) as runner:
            return runner.run(numbered())


class FunctionFlow(Generic[P, R]):
    """A function that is a flow: a call runs it, now, recorded.

    Args:
        function: The flow.
        options: Arguments of ``DAG`` and policies of its body.

    Attributes:
        function: The plain function, for unit tests and type checkers.
        name: Unique in its project.
    """

    __name__: str

    def __init__(self, function: Callable[P, R], options: Mapping[str, Any]) -> None:
        self.function = function
        self._options = dict(options)
        self.place = calling_place()
        functools.update_wrapper(self, function, updated=())
        self._dag = self._declare()
        self.name = self._dag.name

    @property
    def fn(self) -> Callable[P, R]:
        """The plain function; Prefect's name."""
        return self.function

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        return inspect.iscoroutinefunction(self.function)

    @property
    def dag(self) -> DAG:
        """The flow as the engine sees it: one task, the body."""
        return self._dag

    def to_json(self) -> str:
        """Return what it is made of as JSON, in the form of ``ostinato graph --format json``."""
        return self._dag.to_json()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the flow here and now, and return what the function returns.

        In another flow it is a subflow, with a run of its own. While a file is loaded nothing
        runs; to use what is returned then is an error.

        Args:
            args: Of the function.
            kwargs: Of the function.

        Raises:
            ParameterError: If they do not fit.
        """
        if session.registry.get() is not None:
            return NotRun(self.name)
        if open_group.get() is not None:
            message = f"flow {self.name!r} is called where the tasks of a graph are declared"
            raise UsageError(
                message,
                place=relative_place(calling_place()),
                hint="call it from a flow that is a function, or use TriggerRunOperator",
            )
        steps = current_steps.get()
        if steps is not None:
            return steps.call_flow(self, args, kwargs)
        call = functools.partial(
            session.local_session().call, self, self.name_arguments(args, kwargs)
        )
        # Where a loop runs already, the flow has a thread and a loop of its own.
        return asyncio.to_thread(call) if self.is_async else call()

    def run(
        self,
        *,
        executor: str | None = None,
        date: datetime | str | None = None,
        params: Mapping[str, Any] | None = None,
        **more_params: Any,
    ) -> RunHandle:
        """Run the flow to its end, here and now, recorded, and return the run.

        Args:
            executor: Where the body executes; in this thread by default.
            date: Logical date; now by default.
            params: Parameters by name; for names that this method takes itself.
            more_params: Parameters by name.
        """
        return self._dag.run(executor=executor, date=date, params={**(params or {}), **more_params})

    def start(
        self,
        *,
        date: datetime | str | None = None,
        key: str = "",
        params: Mapping[str, Any] | None = None,
        **more_params: Any,
    ) -> RunHandle:
        """Ask for a run of the flow and do not wait for it; see ``start_flow``.

        Args:
            date: Logical date; now by default.
            key: Whoever asks for a run of the flow with it gets the same run.
            params: Parameters by name; for names that this method takes itself.
            more_params: Parameters by name.
        """
        return self._dag.start(date=date, key=key, params={**(params or {}), **more_params})

    def serve(
        self,
        schedule: Scheduled = None,
        *,
        cron: str | None = None,
        interval: timedelta | float | None = None,
        rrule: str | None = None,
        timezone: str = "",
        params: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        runs: int | None = None,
        name: str = "",
        tags: Sequence[str] = (),
    ) -> None:
        """Run the flow here at each moment of a schedule, until Ctrl-C.

        Runs of it that are started elsewhere are executed here too, and what a server that was
        killed has left goes on; without a schedule it does only that.

        A moment that passes while a run goes on is made up for once. Of several processes that
        serve the same flow, one has the run of a moment.

        Args:
            schedule: As that of ``DAG``; by default the flow's own.
            cron: A cron expression; another name of ``schedule``.
            interval: Time between runs, a number for seconds; another name of ``schedule``.
            rrule: A recurrence rule; another name of ``schedule``.
            timezone: Zone in which it is read; by default the flow's.
            params: Values of the flow's parameters.
            parameters: Another name of ``params``.
            runs: After how many moments, or runs that were started, to end; never by default.
            name: A tag of the runs of its moments; Prefect's name of a deployment.
            tags: More of them.

        Raises:
            InvalidArgument: If it is no schedule.
            ParameterError: If the parameters do not fit.
        """
        if session.registry.get() is not None:
            # A file that is loaded for its definitions serves nothing.
            return
        if isinstance(interval, int | float):
            interval = timedelta(seconds=interval)
        wanted = schedule or cron or interval or rrule
        given: dict[str, Any] = {"schedule": wanted, "timezone": timezone}
        served = self.with_options(**{name: value for name, value in given.items() if value})
        values = {**(parameters or {}), **(params or {})}
        own_tags = tuple(dict.fromkeys([*([name] if name else []), *tags]))
        session.local_session().serve(served, params=values, runs=runs, tags=own_tags)

    def with_options(self, **options: Any) -> "FunctionFlow[P, R]":
        """Return the same flow with other options.

        Args:
            options: As ``@flow`` takes them.
        """
        return FunctionFlow(self.function, {**self._options, **options})

    def name_arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by name.

        Args:
            args: By position.
            kwargs: By name.

        Raises:
            InvalidArgument: If they do not fit the function.
        """
        try:
            _, named = signature_of(self.function).assign(args, kwargs)
        except TypeError as err:
            message = f"{self.name}() {err}"
            raise InvalidArgument(message, place=relative_place(calling_place())) from None
        return named

    def _declare(self) -> DAG:
        signature = signature_of(self.function)
        own = name_of(self.function)
        if signature.takes_any_positional or signature.takes_any_keyword:
            message = f"{own}() has *args or **kwargs, but a flow's parameters have names"
            raise InvalidArgument(message, place=relative_place(self.place))
        options = {k: v for k, v in self._options.items() if k not in _OF_THE_BODY}
        policies = {_OF_THE_BODY[k]: v for k, v in self._options.items() if k in _OF_THE_BODY}
        assert policies.keys() <= POLICY_NAMES
        naming = next((options.pop(key) for key in _NAMING if callable(options.get(key))), None)
        name = options.pop("name", "") or own
        options.setdefault("doc_md", signature.doc)
        dag = DAG(name, **options)
        with dag:
            parameters = {
                key: dag.add_parameter(
                    key,
                    REQUIRED if parameter.default is parameter.empty else parameter.default,
                    signature.types.get(key, UNTYPED),
                )
                for key, parameter in signature.parameters.items()
            }
            body = FlowBody(BODY, python_callable=self.function, op_kwargs=parameters, **policies)
            body.naming = naming
        return dag

    def __repr__(self) -> str:
        return f"<flow {self.name!r}>"
