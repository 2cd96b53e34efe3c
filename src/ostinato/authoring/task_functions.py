"""This module holds functions that are tasks where a flow is declared."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, ParamSpec, TypeVar

from ostinato.authoring.cache_policies import CACHE_NAMES, read_caching
from ostinato.authoring.callbacks import LATE
from ostinato.authoring.futures import FutureList, StepFuture, mapped_calls
from ostinato.authoring.groups import TaskGroup, open_group
from ostinato.authoring.operators.operator import own_arguments
from ostinato.authoring.operators.python import FunctionOperator
from ostinato.authoring.places import calling_place, relative_place
from ostinato.authoring.policies import POLICY_NAMES, PolicyReader, Settings
from ostinato.authoring.references import (
    MORE_ARGUMENTS,
    ElementReference,
    ResultReference,
    SeriesReference,
    factors_of,
    series_of,
)
from ostinato.authoring.signatures import name_of, signature_of
from ostinato.authoring.step_places import is_placed, note_task
from ostinato.authoring.steps import Steps, steps_here
from ostinato.authoring.suggestions import did_you_mean
from ostinato.authoring.wiring import Declarer
from ostinato.errors import InvalidArgument, UsageError
from ostinato.model.policy import DEFAULT_POLICY, Policy

P = ParamSpec("P")
R = TypeVar("R")
H = TypeVar("H", bound=Callable[[Any], Any])


class TaskFunction(Declarer, Generic[P, R]):
    """A function that is a task where a flow is declared, and a plain function elsewhere.

    Args:
        function: The function.
        operator_class: What calls it.
        options: Policies and arguments of the operator.
        mark: What is done to each task that is declared, such as to make it a setup.

    Attributes:
        function: The plain function, for unit tests and type checkers.
        caching: How its results are kept for other runs, None if they are not.
        commit_hooks, rollback_hooks: What ``on_commit`` and ``on_rollback`` were given.
    """

    __name__: str

    def __init__(
        self,
        function: Callable[P, R],
        operator_class: type[FunctionOperator],
        options: Mapping[str, Any],
        mark: Callable[[FunctionOperator], object] | None = None,
    ) -> None:
        self.function = function
        self._mark = mark
        self._operator_class = operator_class
        self._options = options
        self._task_id: str = options.get("task_id") or name_of(function)
        self._settings = {
            k: v for k, v in options.items() if k != "task_id" and k not in CACHE_NAMES
        }
        self._cache_options = {k: v for k, v in options.items() if k in CACHE_NAMES}
        self.caching = read_caching(options)
        self.commit_hooks: tuple[Callable[[Any], Any], ...] = ()
        self.rollback_hooks: tuple[Callable[[Any], Any], ...] = ()
        functools.update_wrapper(self, function, updated=())
        note_task(self, options)

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
            steps = steps_here(self._task_id)
            if steps is None:
                return self.function(*args, **kwargs)
            wait_for = kwargs.pop("wait_for", ())
            if kwargs.pop("return_state", False):
                return steps.call_for_state(self, args, kwargs, wait_for)
            return steps.call(self, args, kwargs, wait_for)
        surplus, named = self._bind(group, args, kwargs)
        return ResultReference(self._declare(group, surplus, named))

    @property
    def fn(self) -> Callable[P, R]:
        """The plain function; Prefect's name."""
        return self.function

    @property
    def task_id(self) -> str:
        """Its id, unless another task of a graph has it."""
        return self._task_id

    @cached_property
    def settings(self) -> Settings:
        """Its policies, where it is a step of a flow that is a function.

        Raises:
            InvalidArgument: One of them has a meaning in graphs alone.
        """
        own = {name: value for name, value in self._settings.items() if name in POLICY_NAMES}
        settings = PolicyReader({}).read(own)
        for name in _of_graphs(settings):
            problem = f"has {name}=, which steps of flows as functions do not follow"
            raise self._wrong_call(problem)
        return settings

    @property
    def policy(self) -> Policy:
        """What its steps follow."""
        return self.settings.policy

    @property
    def map_name(self) -> str:
        """Template of what people call its steps, or empty."""
        return self.settings.map_name

    @cached_property
    def is_placed(self) -> bool:
        """Whether its steps are attempts of their own, executed by an executor."""
        return is_placed(self.policy)

    @property
    def retry_if(self) -> Any:
        """Condition on errors that are worth a retry, None if it has none."""
        return self.settings.retry_if

    def may_retry(self, error: BaseException) -> bool | None:
        """Return whether an error is worth a retry, None where the task does not say.

        Args:
            error: What the function raised.
        """
        condition = self.settings.retry_if
        if condition is None:
            return None
        return isinstance(error, condition) if isinstance(condition, tuple) else condition(error)

    @cached_property
    def is_async(self) -> bool:
        """Whether it is a coroutine function."""
        return inspect.iscoroutinefunction(self.function)

    def name_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by name, as far as they have one; defaults left out.

        Args:
            args: By position.
            kwargs: By name.
        """
        try:
            surplus, named = signature_of(self.function).assign(args, kwargs)
        except TypeError:
            # The call itself says what is wrong with them.
            return {"*": list(args), **kwargs}
        return {"*": list(surplus), **named} if surplus else named

    def submit(self, *args: Any, **kwargs: Any) -> "StepFuture[R]":
        """Begin a step in a flow that is a function, and go on beside it.

        Args:
            args: Of the function; futures among them, anywhere inside containers, are awaited.
            kwargs: Of the function, likewise.

        Raises:
            UsageError: If no flow executes here.
        """
        wait_for = kwargs.pop("wait_for", ())
        future: StepFuture[R] = self._steps("submit").submit(self, args, kwargs, wait_for)
        return future

    def map(self, *args: Any, **kwargs: Any) -> "FutureList[R]":
        """Begin a step for each item of what is given, in a flow that is a function.

        Args:
            args: Lists and other iterables, all of one length; what is ``unmapped``, a text, or
                no iterable is the same for all steps. A future of a list is awaited.
            kwargs: Likewise, and ``wait_for``.

        Raises:
            UsageError: If no flow executes here.
            InvalidArgument: If nothing is mapped over, or the lengths differ.
        """
        steps = self._steps("map")
        wait_for = kwargs.pop("wait_for", ())
        try:
            calls = mapped_calls(args, kwargs)
        except ValueError as err:
            message = f"{self._task_id}.map() {err}"
            raise InvalidArgument(message, place=relative_place(calling_place())) from None
        futures = (steps.submit(self, *call, wait_for) for call in calls)
        return FutureList(futures)

    def with_options(self, *, name: str | None = None, **options: Any) -> "TaskFunction[P, R]":
        """Return the same task with other policies; Prefect's name of ``override``.

        Args:
            name: Its id instead of the function's name.
            options: Policies and arguments of the operator.
        """
        return self.override(task_id=name, **options)

    def on_commit(self, hook: H) -> H:
        """Have a function called for each step in a transaction that ends well; a decorator.

        Args:
            hook: Takes the transaction.
        """
        self.commit_hooks += (hook,)
        return hook

    def on_rollback(self, hook: H) -> H:
        """Have a function called to undo a step, if its transaction fails; a decorator.

        Args:
            hook: Takes the transaction.
        """
        self.rollback_hooks += (hook,)
        return hook

    def _with_hooks(self, made: "TaskFunction[P, R]") -> "TaskFunction[P, R]":
        made.commit_hooks, made.rollback_hooks = self.commit_hooks, self.rollback_hooks
        return made

    def _steps(self, method: str) -> Steps:
        steps = steps_here(self._task_id)
        if steps is None:
            message = f"{self._task_id}.{method}() works in a flow that is a function only"
            raise UsageError(message, place=relative_place(calling_place()), hint="see @flow")
        return steps

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Be a method where it is defined in a class."""
        if instance is None:
            return self
        method = self.function.__get__(instance, owner)
        made: TaskFunction[Any, Any]
        made = TaskFunction(method, self._operator_class, self._options, self._mark)
        made.commit_hooks, made.rollback_hooks = self.commit_hooks, self.rollback_hooks
        return made

    def override(self, *, task_id: str | None = None, **options: Any) -> "TaskFunction[P, R]":
        """Return the same task with other policies.

        Args:
            task_id: Its id instead of the function's name.
            options: Policies and arguments of the operator.

        Raises:
            InvalidArgument: If a name is unknown.
        """
        check_options(self._operator_class, options)
        named = {} if task_id is None else {"task_id": task_id}
        merged = {**self._options, **options, **named}
        made = TaskFunction(self.function, self._operator_class, merged, self._mark)
        return self._with_hooks(made)

    def marked(self, mark: Callable[[FunctionOperator], object]) -> "TaskFunction[P, R]":
        """Return the same task, with something done to each task that it declares.

        Args:
            mark: Such as to make it a setup.
        """
        return TaskFunction(self.function, self._operator_class, self._options, mark)

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
        operator = self._operator_class(
            free[len(prefix) :],
            python_callable=self.function,
            op_args=surplus,
            op_kwargs=named,
            **self._settings,
            **self._cache_options,
        )
        if self._mark is not None:
            self._mark(operator)
        return operator

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
        return self._task.declare_mapped(self._fixed, factors_of(mapped, self._fixed))

    def expand_kwargs(self, kwargs: Any) -> ResultReference:
        """Map the task: one task run for each dict of arguments.

        Args:
            kwargs: A list of dicts, or a result that is one.
        """
        series = series_of(kwargs, "expand_kwargs()")
        return self._task.declare_mapped(self._fixed, {MORE_ARGUMENTS: series})


#: Arguments of operators that the decorators fill themselves.
_FILLED = frozenset(
    {"task_id", "dag", "task_group", "python_callable", "op_args", "op_kwargs", "bash_command"}
)


def check_options(operator_class: type[FunctionOperator], options: Mapping[str, Any]) -> None:
    """Refuse options that neither the operator nor the policies know.

    Args:
        operator_class: What calls the function.
        options: As the user wrote them.

    Raises:
        InvalidArgument: If a name is unknown.
    """
    known = (own_arguments(operator_class) | POLICY_NAMES | CACHE_NAMES) - _FILLED
    for name in options:
        if name not in known:
            message = f"unknown argument {name!r} in @task"
            hint = LATE.get(name) or did_you_mean(name, known)
            raise InvalidArgument(message, place=relative_place(calling_place()), hint=hint)


def _of_graphs(settings: Settings) -> Iterator[str]:
    """Yield the names of policies that ask for neighbours, or for events of the engine."""
    for name in ("trigger_rule", "criticality", "depends_on_past", "wait_for_downstream"):
        if getattr(settings.policy, name) != getattr(DEFAULT_POLICY, name):
            yield name
    if settings.policy.deadline_s:
        yield "deadline"
    for name in ("when", "schedule"):
        if getattr(settings, name):
            yield name
    for callback in settings.callbacks:
        yield f"on_{callback.declared.moment}"
