"""This module holds ``@dag``, ``@task`` and ``@task_group``: flows made of functions."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar, Unpack, overload

from ostinato.authoring import session
from ostinato.authoring.dag import DAG
from ostinato.authoring.groups import TaskGroup, open_group
from ostinato.authoring.operators.bash import BashOperator
from ostinato.authoring.operators.branch import BranchPythonOperator
from ostinato.authoring.operators.operator import Operator, own_arguments
from ostinato.authoring.operators.python import FunctionOperator, PythonOperator
from ostinato.authoring.operators.sensor import PythonSensor
from ostinato.authoring.operators.short_circuit import ShortCircuitOperator
from ostinato.authoring.parameters import REQUIRED, Param
from ostinato.authoring.places import calling_place, relative_place
from ostinato.authoring.policies import POLICY_NAMES, Policies
from ostinato.authoring.ports import Context
from ostinato.authoring.references import (
    MORE_ARGUMENTS,
    ElementReference,
    OptionalItemReference,
    Reference,
    ResultReference,
    SeriesReference,
    series_of,
)
from ostinato.authoring.signatures import UNTYPED, Signature, signature_of
from ostinato.authoring.suggestions import did_you_mean
from ostinato.errors import InvalidArgument

P = ParamSpec("P")
R = TypeVar("R")


class TaskFunction(Generic[P, R]):
    """A function that is a task where a flow is declared, and a plain function elsewhere.

    Args:
        function: The function.
        operator_class: What calls it.
        options: Policies and arguments of the operator.

    Attributes:
        function: The plain function, for unit tests and type checkers.
    """

    def __init__(
        self,
        function: Callable[P, R],
        operator_class: type[FunctionOperator],
        options: Mapping[str, Any],
    ) -> None:
        self.function = function
        self._operator_class = operator_class
        self._options = options
        self._task_id: str = options.get("task_id") or _name_of(function)
        self._settings = {k: v for k, v in options.items() if k != "task_id"}
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Declare a task and return what stands for its result; elsewhere, call the function.

        Args:
            args: Of the function; they may hold results of other tasks.
            kwargs: Of the function; they may hold results of other tasks.

        Raises:
            InvalidArgument: If they do not fit the function.
        """
        group = open_group.get()
        if group is None:
            return self.function(*args, **kwargs)
        surplus, named = self._bind(group, args, kwargs)
        return ResultReference(self._declare(group, surplus, named))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Be a method where it is defined in a class."""
        if instance is None:
            return self
        method = self.function.__get__(instance, owner)
        return TaskFunction(method, self._operator_class, self._options)

    def override(self, *, task_id: str | None = None, **options: Any) -> "TaskFunction[P, R]":
        """Return the same task with other policies.

        Args:
            task_id: Its id instead of the function's name.
            options: Policies and arguments of the operator.

        Raises:
            InvalidArgument: If a name is unknown.
        """
        _check_options(self._operator_class, options)
        named = {} if task_id is None else {"task_id": task_id}
        return TaskFunction(
            self.function, self._operator_class, {**self._options, **options, **named}
        )

    def partial(self, **fixed: Any) -> "PartialTask":
        """Fix some arguments; the others are then mapped over by ``expand``.

        Args:
            fixed: Arguments that are the same for all indices; they may hold results.
        """
        return PartialTask(self, fixed)

    def expand(self, **mapped: Any) -> ResultReference:
        """Map the task: one task run for each combination of the values.

        Args:
            mapped: Lists, dicts or results by argument; the last one varies fastest. The items
                of a dict are (key, value) pairs.

        Returns:
            What stands for the lazy sequence of all results.

        Raises:
            InvalidArgument: If an argument cannot be mapped over, or none is given.
        """
        return PartialTask(self, {}).expand(**mapped)

    def expand_kwargs(self, kwargs: Any) -> ResultReference:
        """Map the task: one task run for each dict of arguments.

        Args:
            kwargs: A list of dicts, or a result that is one.
        """
        return PartialTask(self, {}).expand_kwargs(kwargs)

    def declare_mapped(
        self, fixed: Mapping[str, Any], factors: Mapping[str, SeriesReference]
    ) -> ResultReference:
        """Declare the task once for all indices of what it is mapped over.

        Args:
            fixed: Arguments that are the same for all indices.
            factors: What is mapped over, by argument.
        """
        group = open_group.get()
        if group is None:
            raise self._wrong_call("is mapped where no flow is declared; call it in a loop")
        named: dict[str, Any] = dict(fixed)
        is_whole = MORE_ARGUMENTS in factors
        # Which arguments the dicts of expand_kwargs() have is known only when they are there.
        checked = {**fixed, **({} if is_whole else factors)}
        if is_whole:
            try:
                signature_of(self.function).assign((), checked)
            except TypeError as err:
                raise self._wrong_call(str(err)) from None
        else:
            named = self._bind(group, (), checked)[1]
        operator = self._declare(group, (), named)
        operator.factors = factors
        elements = {
            name: ElementReference(operator, factor, series)
            for factor, (name, series) in enumerate(factors.items())
        }
        operator.op_kwargs = {**named, **elements}
        return ResultReference(operator)

    def _bind(
        self, group: TaskGroup, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        signature = signature_of(self.function)
        try:
            surplus, named = signature.bind(args, kwargs, given=group.graph.resources)
        except TypeError as err:
            raise self._wrong_call(str(err)) from None
        # With *args, what is given by position stays so.
        return (args, dict(kwargs)) if surplus else ((), named)

    def _declare(
        self, group: TaskGroup, surplus: tuple[Any, ...], named: dict[str, Any]
    ) -> FunctionOperator:
        prefix = group.child_prefix
        free = group.graph.free_id(prefix + self._task_id)
        return self._operator_class(
            free[len(prefix) :],
            python_callable=self.function,
            op_args=surplus,
            op_kwargs=named,
            **self._settings,
        )

    def _wrong_call(self, problem: str) -> InvalidArgument:
        message = f"{self._task_id}() {problem}"
        return InvalidArgument(message, place=relative_place(calling_place()))

    def __repr__(self) -> str:
        return f"<task {self._task_id!r}>"


class PartialTask:
    """A task of which some arguments are fixed; mapped by ``expand``.

    Args:
        task_function: The task.
        fixed: Arguments that are the same for all indices.
    """

    def __init__(self, task_function: TaskFunction[Any, Any], fixed: Mapping[str, Any]) -> None:
        self._task = task_function
        self._fixed = fixed

    def expand(self, **mapped: Any) -> ResultReference:
        """Map the task: one task run for each combination of the values.

        Args:
            mapped: Lists, dicts or results by argument; the last one varies fastest.

        Raises:
            InvalidArgument: If an argument cannot be mapped over, or none is given.
        """
        return self._task.declare_mapped(self._fixed, _factors(mapped, self._fixed))

    def expand_kwargs(self, kwargs: Any) -> ResultReference:
        """Map the task: one task run for each dict of arguments.

        Args:
            kwargs: A list of dicts, or a result that is one.
        """
        series = series_of(kwargs, "expand_kwargs()")
        return self._task.declare_mapped(self._fixed, {MORE_ARGUMENTS: series})


class BashFunctionOperator(FunctionOperator, BashOperator):
    """Run the command that a function returns.

    Args:
        task_id: Unique in its group.
        python_callable: Returns the command.
        options: What ``BashOperator`` takes, and policies.
    """

    operator_name = "bash"

    def __init__(
        self, task_id: str, *, python_callable: Callable[..., Any], **options: Any
    ) -> None:
        super().__init__(task_id, python_callable=python_callable, bash_command="", **options)

    def arguments(self) -> dict[str, Any]:
        """Return the function's arguments, and the command's surroundings under names apart."""
        around = {f"bash.{name}": getattr(self, name) for name in ("env", "cwd")}
        return {**super().arguments(), **around}

    def bind(self, arguments: Mapping[str, Any]) -> Operator:
        """Return a copy for one attempt, with resolved arguments.

        Args:
            arguments: What ``arguments()`` returned, with all references replaced.
        """
        named = dict(arguments)
        around = {name: named.pop(f"bash.{name}", None) for name in ("env", "cwd")}
        bound = super().bind(named)
        bound.__dict__.update(around)
        return bound

    def execute(self, context: Context) -> str:
        """Ask the function for the command and run it.

        Args:
            context: Of the attempt.
        """
        self.bash_command = self.call(context)
        return BashOperator.execute(self, context)


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
        **policies: Unpack[Policies],
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

    def sensor(self, function: Any = None, /, **options: Any) -> Any:
        """Make a task that waits until the function returns something true.

        Args:
            function: The function, where the decorator is written without parentheses.
            options: ``task_id``, what ``Sensor`` takes, and policies.
        """
        return _decorate(PythonSensor, function, options)

    def bash(self, function: Any = None, /, **options: Any) -> Any:
        """Make a task that runs the shell command that the function returns.

        Args:
            function: The function, where the decorator is written without parentheses.
            options: ``task_id``, what ``BashOperator`` takes, and policies.
        """
        return _decorate(BashFunctionOperator, function, options)


#: Make a task of a function: ``@task``, ``@task(retries=3)``, ``@task.branch`` and so on.
task = TaskDecorator()


class GroupFunction:
    """A function whose call declares a task group.

    Args:
        function: Declares the group's tasks.
        options: Arguments of ``TaskGroup``.
    """

    def __init__(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        self.function = function
        self._options = options
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Declare the group; return what the function returns, or else the group.

        Args:
            args: Of the function; they may be or hold results.
            kwargs: Of the function; they may be or hold results.

        Raises:
            InvalidArgument: If they do not fit the function.
        """
        return self._declare(self._bind(args, kwargs), {})

    def override(self, **options: Any) -> "GroupFunction":
        """Return the same group with other arguments of ``TaskGroup``.

        Args:
            options: Such as ``group_id``.
        """
        return GroupFunction(self.function, {**self._options, **options})

    def partial(self, **fixed: Any) -> "PartialGroup":
        """Fix some arguments; the group is then mapped over others by ``expand``.

        Args:
            fixed: Arguments that are the same for all indices.
        """
        return PartialGroup(self, fixed)

    def expand(self, **mapped: Any) -> Any:
        """Map the group: all of its tasks once for each combination of the values.

        Args:
            mapped: Lists, dicts or results by argument; the last one varies fastest.
        """
        return PartialGroup(self, {}).expand(**mapped)

    def expand_kwargs(self, kwargs: Any) -> Any:
        """Map the group: all of its tasks once for each dict of arguments.

        Args:
            kwargs: A list of dicts, or a result that is one.
        """
        return PartialGroup(self, {}).expand_kwargs(kwargs)

    def declare_mapped(
        self, fixed: Mapping[str, Any], factors: Mapping[str, SeriesReference]
    ) -> Any:
        """Declare the group once for all indices of what it is mapped over.

        Args:
            fixed: Arguments that are the same for all indices.
            factors: What is mapped over, by argument.
        """
        if MORE_ARGUMENTS not in factors:
            self._bind((), {**fixed, **factors})
        return self._declare(((), dict(fixed)), factors)

    def _bind(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        try:
            inspect.signature(self.function).bind(*args, **kwargs)
        except TypeError:
            pass
        else:
            return args, dict(kwargs)
        try:
            signature_of(self.function).bind(args, kwargs)
            message = "got arguments that do not fit it"
        except TypeError as err:
            message = str(err)
        raise InvalidArgument(
            f"{_name_of(self.function)}() {message}", place=relative_place(calling_place())
        )

    def _declare(
        self,
        arguments: tuple[tuple[Any, ...], dict[str, Any]],
        factors: Mapping[str, SeriesReference],
    ) -> Any:
        around = open_group.get()
        if around is None:
            message = f"group {_name_of(self.function)!r} stands in no flow"
            raise InvalidArgument(
                message, place=relative_place(calling_place()), hint="call it in a @dag function"
            )
        options = dict(self._options)
        wanted = around.child_prefix + (options.pop("group_id", None) or _name_of(self.function))
        free = around.graph.free_id(wanted)
        options.setdefault("tooltip", signature_of(self.function).doc.partition("\n")[0])
        group = TaskGroup(free[len(around.child_prefix) :], **options)
        group.factors = dict(factors)
        args, kwargs = arguments
        with group:
            result = self.function(*args, **kwargs, **self._elements(group, kwargs))
        return group if result is None else result

    def _elements(self, group: TaskGroup, fixed: Mapping[str, Any]) -> dict[str, Reference]:
        elements: dict[str, Reference] = {
            name: ElementReference(group, factor, series)
            for factor, (name, series) in enumerate(group.factors.items())
        }
        whole = elements.pop(MORE_ARGUMENTS, None)
        if whole is not None:
            for name, parameter in signature_of(self.function).parameters.items():
                if name not in fixed:
                    elements[name] = (
                        whole[name]
                        if parameter.default is parameter.empty
                        else OptionalItemReference(whole, name, parameter.default)
                    )
        return elements

    def __repr__(self) -> str:
        return f"<task_group {_name_of(self.function)!r}>"


class PartialGroup:
    """A group of which some arguments are fixed; mapped by ``expand``.

    Args:
        group_function: The group.
        fixed: Arguments that are the same for all indices.
    """

    def __init__(self, group_function: GroupFunction, fixed: Mapping[str, Any]) -> None:
        self._group = group_function
        self._fixed = fixed

    def expand(self, **mapped: Any) -> Any:
        """Map the group: all of its tasks once for each combination of the values.

        Args:
            mapped: Lists, dicts or results by argument; the last one varies fastest.
        """
        return self._group.declare_mapped(self._fixed, _factors(mapped, self._fixed))

    def expand_kwargs(self, kwargs: Any) -> Any:
        """Map the group: all of its tasks once for each dict of arguments.

        Args:
            kwargs: A list of dicts, or a result that is one.
        """
        series = series_of(kwargs, "expand_kwargs()")
        return self._group.declare_mapped(self._fixed, {MORE_ARGUMENTS: series})


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


class FlowFunction:
    """A function whose call declares a flow; its parameters are those of the flow.

    Args:
        function: Declares the flow's tasks.
        options: Arguments of ``DAG``.
    """

    def __init__(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        self.function = function
        self._options = options
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> DAG:
        """Declare the flow, check it and return it.

        Args:
            args: Defaults of its parameters, instead of those in the function's signature.
            kwargs: The same, by name.

        Raises:
            DefinitionError: If it cannot be run.
        """
        registry = session.registry.get()
        # What a body leaves half declared announces itself to nobody.
        token = session.registry.set(None)
        try:
            dag = self._build(*self._parameters(args, kwargs))
        finally:
            session.registry.reset(token)
        if registry is not None:
            registry.register(dag)
        return dag

    def _parameters(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Signature, dict[str, Any]]:
        signature = signature_of(self.function)
        name = _name_of(self.function)
        if signature.takes_any_positional or signature.takes_any_keyword:
            message = f"{name}() has *args or **kwargs, but a flow's parameters have names"
            raise InvalidArgument(message, place=relative_place(calling_place()))
        try:
            _, given = signature.assign(args, kwargs)
        except TypeError as err:
            message = f"{name}() {err}"
            raise InvalidArgument(message, place=relative_place(calling_place())) from None
        return signature, given

    def _build(self, signature: Signature, given: Mapping[str, Any]) -> DAG:
        options = dict(self._options)
        name = options.pop("name", "") or options.pop("dag_id", "") or _name_of(self.function)
        if "doc_md" not in options and "description" not in options:
            options["doc_md"] = signature.doc
        dag = DAG(name, **options)
        arguments = {}
        for key, parameter in signature.parameters.items():
            default = REQUIRED if parameter.default is parameter.empty else parameter.default
            if key in given:
                default = _with_default(default, given[key])
            annotation = signature.types.get(key, UNTYPED)
            arguments[key] = dag.add_parameter(key, default, annotation)
        with dag:
            self.function(**arguments)
        dag.definition  # noqa: B018 - what is wrong is said here, at the user's call
        return dag

    def __repr__(self) -> str:
        return f"<dag {_name_of(self.function)!r}>"


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


def _decorate(
    operator_class: type[FunctionOperator], function: Any, options: dict[str, Any]
) -> Any:
    _check_options(operator_class, {k: v for k, v in options.items() if k != "task_id"})

    def decorate(decorated: Callable[P, R]) -> TaskFunction[P, R]:
        if isinstance(decorated, type | staticmethod | classmethod):
            message = f"@task makes tasks of functions, not of {decorated!r}"
            raise InvalidArgument(message, place=relative_place(calling_place()))
        return TaskFunction(decorated, operator_class, options)

    return decorate if function is None else decorate(function)


#: Arguments of operators that the decorators fill themselves.
_FILLED = frozenset({"task_id", "python_callable", "op_args", "op_kwargs", "bash_command"})


def _check_options(operator_class: type[FunctionOperator], options: Mapping[str, Any]) -> None:
    known = (own_arguments(operator_class) | POLICY_NAMES) - _FILLED
    for name in options:
        if name not in known:
            message = f"unknown argument {name!r} in @task"
            raise InvalidArgument(
                message, place=relative_place(calling_place()), hint=did_you_mean(name, known)
            )


def _factors(mapped: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, SeriesReference]:
    problem = "" if mapped else "expand() needs at least one argument to map over"
    for name in mapped:
        if name in fixed:
            problem = f"argument {name!r} is fixed and cannot be mapped too"
    if problem:
        raise InvalidArgument(problem, place=relative_place(calling_place()))
    return {name: series_of(values, "expand()") for name, values in mapped.items()}


def _with_default(declared: Any, given: Any) -> Any:
    if not isinstance(declared, Param) or isinstance(given, Param):
        return given
    changed = Param(given, description=declared.description)
    changed.schema = declared.schema
    return changed


def _name_of(function: Callable[..., Any]) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))
