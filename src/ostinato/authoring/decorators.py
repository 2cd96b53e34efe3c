"""This module holds ``@dag``, ``@task`` and ``@task_group``."""

from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, Unpack, overload

from ostinato.authoring.cache_policies import CachePolicy, KeyFunction
from ostinato.authoring.flow_functions import FlowFunction
from ostinato.authoring.function_flows import FunctionFlow
from ostinato.authoring.group_functions import GroupFunction
from ostinato.authoring.operators.bash_function import BashFunctionOperator
from ostinato.authoring.operators.branch import BranchPythonOperator
from ostinato.authoring.operators.python import FunctionOperator, PythonOperator
from ostinato.authoring.operators.sensor import PythonSensor
from ostinato.authoring.operators.short_circuit import ShortCircuitOperator
from ostinato.authoring.places import calling_place, relative_place
from ostinato.authoring.policies import Duration, Policies
from ostinato.authoring.task_functions import TaskFunction, check_options
from ostinato.errors import InvalidArgument

P = ParamSpec("P")
R = TypeVar("R")


class StepPolicies(Policies, total=False):
    """What a task takes whose calls are steps of flows that are functions.

    Attributes:
        cache: Under which key results are kept for other runs: a policy, its text such as
            ``inputs+code``, or True for these two. Prefect: ``cache_policy``.
        cache_expiration: How long they are kept; for ever by default.
        cache_key_fn: Returns the key of the context and the arguments; None keeps nothing.
        refresh_cache: Whether it is executed nevertheless, and its result kept anew.
    """

    cache: CachePolicy | str | bool | None
    cache_policy: CachePolicy | str | bool | None
    cache_expiration: Duration | None
    cache_key_fn: KeyFunction | None
    refresh_cache: bool | None


class TaskDecorator:
    """What ``task`` is: a decorator, with others for special kinds of tasks."""

    @overload
    def __call__(self, function: Callable[P, R], /) -> TaskFunction[P, R]: ...

    @overload
    def __call__(
        self,
        function: None = None,
        /,
        *,
        task_id: str | None = None,
        multiple_outputs: bool = False,
        **policies: Unpack[StepPolicies],
    ) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...

    def __call__(self, function: Any = None, /, **options: Any) -> Any:
        """Make a task of a function.

        Args:
            function: The function, where the decorator is written without parentheses.
            options: ``task_id``, ``multiple_outputs`` and policies.

        Example:
            ``@task(retries=3)`` above ``def load(rows: list[str]) -> int: ...``
        """
        return _decorate(PythonOperator, function, options)

    @overload
    def branch(self, function: Callable[P, R], /) -> TaskFunction[P, R]: ...

    @overload
    def branch(
        self,
        function: None = None,
        /,
        *,
        task_id: str | None = None,
        **policies: Unpack[Policies],
    ) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...

    def branch(self, function: Any = None, /, **options: Any) -> Any:
        """Make a task that chooses: it returns the ids of what runs behind it.

        Args:
            function: The function, where the decorator is written without parentheses.
            options: ``task_id`` and policies.
        """
        return _decorate(BranchPythonOperator, function, options)

    @overload
    def short_circuit(self, function: Callable[P, R], /) -> TaskFunction[P, R]: ...

    @overload
    def short_circuit(
        self,
        function: None = None,
        /,
        *,
        task_id: str | None = None,
        ignore_downstream_trigger_rules: bool = True,
        **policies: Unpack[Policies],
    ) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...

    def short_circuit(self, function: Any = None, /, **options: Any) -> Any:
        """Make a task that skips what is downstream if it returns something falsy.

        Args:
            function: The function, where the decorator is written without parentheses.
            options: ``task_id``, ``ignore_downstream_trigger_rules`` and policies.
        """
        return _decorate(ShortCircuitOperator, function, options)

    @overload
    def sensor(self, function: Callable[P, R], /) -> TaskFunction[P, R]: ...

    @overload
    def sensor(
        self,
        function: None = None,
        /,
        *,
        task_id: str | None = None,
        poke_interval: Duration = ...,
        timeout: Duration = ...,
        soft_fail: bool = False,
        mode: Literal["reschedule", "poke"] = "reschedule",
        **policies: Any,
    ) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...

    def sensor(self, function: Any = None, /, **options: Any) -> Any:
        """Make a task that waits until the function returns something true.

        Args:
            function: The function, where the decorator is written without parentheses.
            options: ``task_id``, what ``Sensor`` takes, and policies.
        """
        return _decorate(PythonSensor, function, options)

    @overload
    def bash(self, function: Callable[P, R], /) -> TaskFunction[P, R]: ...

    @overload
    def bash(
        self,
        function: None = None,
        /,
        *,
        task_id: str | None = None,
        env: Mapping[str, Any] | None = None,
        append_env: bool = False,
        cwd: str | Path | None = None,
        skip_on_exit_code: int | Container[int] | None = 99,
        **policies: Unpack[Policies],
    ) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...

    def bash(self, function: Any = None, /, **options: Any) -> Any:
        """Make a task that runs the shell command that the function returns.

        Args:
            function: The function, where the decorator is written without parentheses.
            options: ``task_id``, what ``BashOperator`` takes, and policies.
        """
        return _decorate(BashFunctionOperator, function, options)

    @overload
    def virtualenv(self, function: Callable[P, R], /) -> TaskFunction[P, R]: ...

    @overload
    def virtualenv(
        self,
        function: None = None,
        /,
        *,
        task_id: str | None = None,
        requirements: str | Sequence[str] = (),
        python_version: str | None = None,
        system_site_packages: bool = False,
        env_vars: Mapping[str, str] | None = None,
        inherit_env: bool = True,
        skip_on_exit_code: int | Container[int] | None = None,
        venv_cache_path: str | Path | None = None,
        **policies: Unpack[Policies],
    ) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...

    def virtualenv(self, function: Any = None, /, **options: Any) -> Any:
        """Make a task whose function is called in an environment of its own, made by uv.

        Args:
            function: The function, where the decorator is written without parentheses.
            options: ``task_id``, what ``PythonVirtualenvOperator`` takes, and policies.
        """
        # Few flows need it, and it loads much.
        from ostinato.authoring.operators.other_python import (  # noqa: PLC0415 - see above
            PythonVirtualenvOperator,
        )

        return _decorate(PythonVirtualenvOperator, function, options)

    def external_python(
        self,
        *,
        python: str | Path,
        task_id: str | None = None,
        env_vars: Mapping[str, str] | None = None,
        inherit_env: bool = True,
        skip_on_exit_code: int | Container[int] | None = None,
        **policies: Unpack[Policies],
    ) -> Callable[[Callable[P, R]], TaskFunction[P, R]]:
        """Make a task whose function is called in a Python that is there.

        Args:
            python: Path of the interpreter.
            task_id: Its id instead of the function's name.
            env_vars: Environment variables.
            inherit_env: Whether they add to those of the attempt instead of replacing them.
            skip_on_exit_code: Exit code, or several, by which the function skips the task.
            policies: How it is run, see ``Policies``.
        """
        # Few flows need it, and it loads much.
        from ostinato.authoring.operators.other_python import (  # noqa: PLC0415 - see above
            ExternalPythonOperator,
        )

        options = {
            "python": python,
            "env_vars": env_vars,
            "inherit_env": inherit_env,
            "skip_on_exit_code": skip_on_exit_code,
            **policies,
        }
        named = {} if task_id is None else {"task_id": task_id}
        made: Callable[[Callable[P, R]], TaskFunction[P, R]] = _decorate(
            ExternalPythonOperator, None, {**options, **named}
        )
        return made


#: Make a task of a function: ``@task``, ``@task(retries=3)``, ``@task.branch`` and so on.
task = TaskDecorator()


@overload
def setup(function: Callable[P, R], /) -> TaskFunction[P, R]: ...


@overload
def setup(
    function: None = None,
    /,
    *,
    task_id: str | None = None,
    multiple_outputs: bool = False,
    **policies: Unpack[Policies],
) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...


def setup(function: Any = None, /, **options: Any) -> Any:
    """Make a setup of a function or of a task: what is in its scope runs only if it succeeded.

    Args:
        function: The function or ``@task``, where the decorator is written without parentheses.
        options: ``task_id``, ``multiple_outputs`` and policies.

    Example:
        ``@setup`` above ``def create_cluster() -> str: ...``
    """
    return _mark(function, options, FunctionOperator.as_setup)


@overload
def teardown(function: Callable[P, R], /) -> TaskFunction[P, R]: ...


@overload
def teardown(
    function: None = None,
    /,
    *,
    on_failure_fail_run: bool = False,
    on_failure_fail_dagrun: bool = False,
    task_id: str | None = None,
    multiple_outputs: bool = False,
    **policies: Unpack[Policies],
) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...


def teardown(
    function: Any = None,
    /,
    *,
    on_failure_fail_run: bool = False,
    on_failure_fail_dagrun: bool = False,
    **options: Any,
) -> Any:
    """Make a teardown of a function or of a task: it runs if its setup ran, whatever came of that.

    Its setups are those that it waits for directly: ``create() >> work() >> delete()`` with
    ``create() >> delete()``, or what ``.as_teardown(setups=...)`` names.

    Args:
        function: The function or ``@task``, where the decorator is written without parentheses.
        on_failure_fail_run: Whether its failure fails the run.
        on_failure_fail_dagrun: The same, as Airflow calls it.
        options: ``task_id``, ``multiple_outputs`` and policies.

    Example:
        ``@teardown(on_failure_fail_run=True)`` above ``def delete_cluster(name): ...``
    """
    fails = on_failure_fail_run or on_failure_fail_dagrun

    def mark(operator: FunctionOperator) -> object:
        return operator.as_teardown(on_failure_fail_run=fails)

    return _mark(function, options, mark)


@overload
def task_group(function: Callable[..., Any], /) -> GroupFunction: ...


@overload
def task_group(
    *,
    group_id: str | None = None,
    prefix_group_id: bool = True,
    default_args: Mapping[str, Any] | None = None,
    tooltip: str = "",
) -> Callable[[Callable[..., Any]], GroupFunction]: ...


def task_group(function: Any = None, /, **options: Any) -> Any:
    """Make a task group of a function that declares its tasks.

    Args:
        function: The function, where the decorator is written without parentheses.
        options: ``group_id`` and what else ``TaskGroup`` takes.

    Example:
        ``@task_group`` above ``def clean(rows): return drop_nulls(trim(rows))``
    """

    def decorate(decorated: Callable[..., Any]) -> GroupFunction:
        return GroupFunction(decorated, options)

    return decorate if function is None else decorate(function)


@overload
def dag(function: Callable[..., Any], /) -> FlowFunction: ...


@overload
def dag(name: str = "", /, **options: Any) -> Callable[[Callable[..., Any]], FlowFunction]: ...


def dag(function: Any = None, /, **options: Any) -> Any:
    """Make a flow of a function that declares its tasks.

    Calling the function declares the flow and returns it as a ``DAG``; its parameters become
    those of the flow, and its docstring the flow's.

    Args:
        function: The function, where the decorator is written without parentheses, or the
            flow's name.
        options: What ``DAG`` takes.

    Example:
        ``@dag(schedule="@daily")`` above ``def etl(day: str = "today"): load(extract(day))``
    """
    if isinstance(function, str):
        options["name"] = function

    def decorate(decorated: Callable[..., Any]) -> FlowFunction:
        return FlowFunction(decorated, options)

    return decorate if function is None or isinstance(function, str) else decorate(function)


def _mark(
    function: Any, options: dict[str, Any], mark: Callable[[FunctionOperator], object]
) -> Any:
    def decorate(decorated: Any) -> TaskFunction[Any, Any]:
        if isinstance(decorated, GroupFunction):
            message = f"{decorated!r} cannot be setup or teardown"
            hint = "decorate the tasks in it"
            raise InvalidArgument(message, place=relative_place(calling_place()), hint=hint)
        if isinstance(decorated, TaskFunction):
            return (decorated.override(**options) if options else decorated).marked(mark)
        made: TaskFunction[Any, Any] = _decorate(PythonOperator, decorated, options)
        return made.marked(mark)

    return decorate if function is None else decorate(function)


def _decorate(
    operator_class: type[FunctionOperator], function: Any, options: dict[str, Any]
) -> Any:
    check_options(operator_class, {k: v for k, v in options.items() if k != "task_id"})

    def decorate(decorated: Callable[P, R]) -> TaskFunction[P, R]:
        if isinstance(decorated, type | staticmethod | classmethod):
            message = f"@task makes tasks of functions, not of {decorated!r}"
            raise InvalidArgument(message, place=relative_place(calling_place()))
        return TaskFunction(decorated, operator_class, options)

    return decorate if function is None else decorate(function)


@overload
def flow(function: Callable[P, R], /) -> FunctionFlow[P, R]: ...


@overload
def flow(
    function: None = None, /, **options: Any
) -> Callable[[Callable[P, R]], FunctionFlow[P, R]]: ...


def flow(function: Any = None, /, **options: Any) -> Any:
    """Make a flow of a function: each call of a task in it is a durable step.

    Args:
        function: The function, where the decorator is written without parentheses.
        options: Arguments of ``DAG``, and of its body: ``retries``, ``retry_delay``,
            ``timeout`` and so on.

    Example:
        ``@flow(retries=2)`` above ``def etl(day: str): load(transform(extract(day)))``
    """
    if function is not None:
        made: FunctionFlow[Any, Any] = FunctionFlow(function, options)
        return made
    return lambda function: FunctionFlow(function, options)
