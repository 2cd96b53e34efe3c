"""This module holds the class that all operators are made from."""

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property, wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, Self, Unpack

import msgspec

from ostinato.authoring.callbacks import LATE
from ostinato.authoring.groups import Flow, TaskGroup, check_id, group_for, open_group
from ostinato.authoring.places import calling_place, relative_place
from ostinato.authoring.policies import POLICY_NAMES, Policies, PolicyReader, Settings
from ostinato.authoring.ports import Context
from ostinato.authoring.references import (
    MORE_ARGUMENTS,
    ElementReference,
    Reference,
    ResultReference,
    SeriesReference,
    references_in,
    series_of,
    texts_in,
)
from ostinato.authoring.setups import Scope, mark_setup, mark_teardown
from ostinato.authoring.signatures import UNTYPED, signature_of
from ostinato.authoring.suggestions import did_you_mean
from ostinato.authoring.templates import is_template, names_file
from ostinato.authoring.wiring import Node
from ostinato.errors import DeferralTimeout, InvalidArgument, Place
from ostinato.model.asset import AssetDefinition
from ostinato.model.flow import TaskKind
from ostinato.model.policy import Policy

if TYPE_CHECKING:
    from logging import Logger


def _taking_defaults(initialise: Callable[..., None]) -> Callable[..., None]:
    """Return an initialiser that takes what it is not given from ``default_args``."""

    @wraps(initialise)
    def initialise_with_defaults(self: Any, *args: Any, **kwargs: Any) -> None:
        # Called for every task of a flow: without such defaults it adds a third of a microsecond.
        group: TaskGroup | None = open_group.get()
        if kwargs and ("dag" in kwargs or "task_group" in kwargs):
            group = kwargs.get("task_group") or group_for(kwargs.get("dag"))
        # The initialiser of a base class is called with what was filled in already.
        if (
            group is not None
            and group.operator_defaults
            and getattr(type(self).__init__, "__wrapped__", None) is initialise
        ):
            given = {*signature_of(initialise).positional[: len(args) + 1], *kwargs}
            kwargs = {**_defaults_for(type(self), group, given), **kwargs}
        try:
            initialise(self, *args, **kwargs)
        except TypeError as err:
            is_own = getattr(type(self).__init__, "__wrapped__", None) is initialise
            # Python tells of an argument that is missing before of one that is misspelt.
            if not is_own or err.__traceback__ is None or err.__traceback__.tb_next is not None:
                raise
            _refuse_misspelt(self, kwargs)
            raise

    return initialise_with_defaults


def _refuse_misspelt(operator: "Operator", arguments: Mapping[str, Any]) -> None:
    """Refuse an argument that an operator does not take, if one is given."""
    accepted = accepted_arguments(type(operator))
    unknown = {name: value for name, value in arguments.items() if name not in accepted}
    if unknown:
        operator.place = calling_place(operator)
        operator.refuse_unknown(unknown)


class Operator(Node):
    """Be a task: subclass it and write ``execute``.

    Args:
        task_id: Unique in its group.
        dag: The flow; by default the one that is open.
        task_group: The group; by default the one that is open.
        policies: How it is run, see ``Policies``.

    Attributes:
        operator_name: Shown to people; of a subclass its name.
        kind: What it does to the graph around it.
        template_fields: Attributes whose values may hold results of other tasks and templates
            such as ``"{{ ds }}"``; they are replaced before ``execute``. An attribute that is
            not named here must hold none.
        template_ext: How the names of template files end; a field that is such a name is the
            file's content, rendered.
        late_fields: Template fields whose templates ``execute`` itself renders.
        internal_arguments: Arguments that only what makes tasks of files gives.
        attempt_limit_s: Seconds that an attempt may take where no policy says; 0 for no limit.
        place: Where the user made it.
        written_class: Name of its class as a file writes it, where it has several.
        text_places: Where the text of an argument begins, if it is in a file that is not Python.
        settings: Its policies, read and checked.
        factors: What it is mapped over, by argument; empty if it is not mapped.
        asset: What is known of what it makes, None if nothing is.

    Raises:
        InvalidArgument: If an argument is unknown or has a wrong value.
        DuplicateTask: If the id is taken.

    Example:
        ``class Greet(Operator): ...`` with ``def execute(self, context): return "hello"``.
    """

    operator_name: str = "operator"
    kind: TaskKind = TaskKind.NORMAL
    template_fields: Sequence[str] = ()
    template_ext: Sequence[str] = ()
    late_fields: Collection[str] = frozenset()
    internal_arguments: Collection[str] = frozenset()
    ignore_downstream_trigger_rules: bool = True
    attempt_limit_s: float = 0.0
    factors: Mapping[str, SeriesReference] = MappingProxyType({})
    written_class: str = ""
    text_places: Mapping[str, Place] = MappingProxyType({})
    asset: AssetDefinition | None = None

    graph: Flow | None
    group: TaskGroup | None
    settings: Settings

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "operator_name" not in cls.__dict__:
            cls.operator_name = cls.__name__
        if "__init__" in cls.__dict__:
            cls.__init__ = _taking_defaults(cls.__init__)  # type: ignore[method-assign]  # wrapped

    def __init__(
        self,
        task_id: str,
        *,
        dag: Flow | None = None,
        task_group: TaskGroup | None = None,
        **policies: Unpack[Policies],
    ) -> None:
        self.place = calling_place(self)
        check_id(task_id, "task", self.place)
        if not policies.keys() <= POLICY_NAMES:
            self.refuse_unknown(policies)
        self.label = task_id
        group = task_group or group_for(dag)
        if group is None:
            self.node_id = task_id
            self.graph = self.group = None
            self._policies = policies
            self.settings = self._limited(PolicyReader({}).read(policies, self.place))
        else:
            self._join(group, policies)

    def refuse_unknown(self, arguments: Mapping[str, Any]) -> NoReturn:
        """Refuse the first argument that is no policy.

        Args:
            arguments: One of them at least is unknown.

        Raises:
            InvalidArgument: Always.
        """
        wrong = next(name for name in arguments if name not in POLICY_NAMES)
        raise InvalidArgument(
            f"{type(self).__name__} takes no argument {wrong!r}",
            place=relative_place(self.place),
            hint=LATE.get(wrong) or did_you_mean(wrong, accepted_arguments(type(self))),
        )

    def join(self, group: TaskGroup) -> None:
        """Enter a flow, having been made outside of any.

        Args:
            group: What it becomes part of.
        """
        self._join(group, self._policies)

    def _join(self, group: TaskGroup, policies: Mapping[str, Any]) -> None:
        self.node_id = group.child_prefix + self.label
        self.settings = self._limited(
            group.policies.read(policies, self.place) if policies else group.policies.default
        )
        self.group = group
        self.graph = group.graph
        group.graph.add_task(self)
        group.children.append(self)

    def _limited(self, settings: Settings) -> Settings:
        if not self.attempt_limit_s or settings.policy.timeout_s:
            return settings
        policy = msgspec.structs.replace(settings.policy, timeout_s=self.attempt_limit_s)
        return settings._replace(policy=policy)

    @classmethod
    def partial(cls, task_id: str, **fixed: Any) -> "OperatorPartial":
        """Fix some arguments of an operator that is then mapped over others.

        Args:
            task_id: Unique in its group.
            fixed: Arguments and policies that are the same for all indices.

        Example:
            ``BashOperator.partial(task_id="say").expand(bash_command=["echo a", "echo b"])``
        """
        return OperatorPartial(cls, task_id, fixed)

    @property
    def task_id(self) -> str:
        """Its id in the flow; groups joined by dots."""
        return self.node_id

    @property
    def dag(self) -> Flow | None:
        """The flow, None as long as it belongs to none."""
        return self.graph

    @property
    def task_group(self) -> TaskGroup | None:
        """The innermost group around it."""
        return self.group

    @property
    def policy(self) -> Policy:
        """What the engine and the executors follow."""
        return self.settings.policy

    @cached_property
    def log(self) -> "Logger":
        """What it writes log lines with, as Airflow's operators do."""
        import logging  # noqa: PLC0415 - most operators write none, and it takes its time

        return logging.getLogger(type(self).__module__)

    @property
    def doc(self) -> str:
        """Markdown for people."""
        return self.settings.doc

    @property
    def result_type(self) -> Any:
        """Type of its result, ``UNTYPED`` if nothing is known."""
        return UNTYPED

    @property
    def output(self) -> ResultReference:
        """What it returns, to be an argument of other tasks."""
        return ResultReference(self)

    @property
    def upstream_task_ids(self) -> set[str]:
        """Ids of the tasks that it waits for."""
        return set(self.graph.neighbours(self.node_id)[0]) if self.graph else set()

    @property
    def downstream_task_ids(self) -> set[str]:
        """Ids of the tasks that wait for it."""
        return set(self.graph.neighbours(self.node_id)[1]) if self.graph else set()

    def as_setup(self) -> Self:
        """Make it a setup: what is in its scope runs only if it succeeded; return it.

        Raises:
            InvalidArgument: If it decides what runs, or is a teardown.
        """
        mark_setup(self)
        return self

    def as_teardown(
        self,
        *,
        setups: Any = None,
        on_failure_fail_run: bool | None = None,
        on_failure_fail_dagrun: bool | None = None,
    ) -> Self:
        """Make it a teardown: it runs once all that it waits for has ended; return it.

        Args:
            setups: Tasks or results that become its setups: it runs if one of them succeeded.
            on_failure_fail_run: Whether its failure fails the run.
            on_failure_fail_dagrun: The same, as Airflow calls it.

        Raises:
            InvalidArgument: If it or a setup decides what runs, or is of the other kind.

        Example:
            ``with drop.as_teardown(setups=create): fill >> check``
        """
        fails = on_failure_fail_dagrun if on_failure_fail_run is None else on_failure_fail_run
        mark_teardown(self, setups, fails_run=fails)
        return self

    def __enter__(self) -> Scope:
        """Put all tasks that the ``with`` block declares between its setups and the teardown."""
        scope = Scope(self)
        self.__dict__.setdefault("_scopes", []).append(scope)
        return scope.__enter__()

    def __exit__(self, exc_type: type[BaseException] | None, *rest: object) -> None:
        self.__dict__["_scopes"].pop().__exit__(exc_type, *rest)

    def arguments(self) -> dict[str, Any]:
        """Return what it works on, by name; the values may hold references."""
        return {name: getattr(self, name) for name in self.template_fields}

    def rendered_arguments(self) -> Collection[str]:
        """Return which of ``arguments()`` are rendered if they hold templates."""
        return self.arguments().keys()

    @cached_property
    def template_arguments(self) -> frozenset[str]:
        """Arguments that hold templates; empty for most tasks, which then pay for none."""
        # Asked of every task of a flow when it is built.
        arguments = self.arguments()
        if not arguments:
            return _NO_TEMPLATES
        rendered, extensions = self.rendered_arguments(), self.template_ext
        found = [
            name
            for name, value in arguments.items()
            if name in rendered
            and not isinstance(value, ResultReference)
            and any(is_template(t) or names_file(t, extensions) for t in texts_in(value))
        ]
        return frozenset(found) if found else _NO_TEMPLATES

    def bind(self, arguments: Mapping[str, Any]) -> "Operator":
        """Return a copy for one attempt, with resolved arguments.

        Args:
            arguments: What ``arguments()`` returned, with all references replaced.
        """
        bound = copy.copy(self)
        for name, value in arguments.items():
            setattr(bound, name, value)
        return bound

    def take_over(self, result: Any, context: Context) -> None:
        """Do what an attempt does beside returning its result, which another run has left.

        Args:
            result: It.
            context: What the attempt knows of itself and its run.
        """

    def execute(self, context: Context) -> Any:
        """Do the work of one attempt and return its result.

        Args:
            context: What the attempt knows of itself and its run.
        """
        message = f"{type(self).__name__} has no execute()"
        raise NotImplementedError(message)

    def on_deferral_timeout(self, context: Context) -> Any:
        """Return a result, or raise, where a deferral with a timeout has waited in vain.

        Args:
            context: Of the attempt.

        Raises:
            DeferralTimeout: By default.
        """
        message = f"{context.task_id!r} waited in vain: what it was deferred for did not come"
        raise DeferralTimeout(message)

    def on_kill(self) -> None:
        """Stop what ``execute`` has started outside of its process.

        Called when the attempt is cancelled or has run out of time.
        """

    def may_retry(self, error: BaseException) -> bool | None:
        """Return whether an error is worth a retry, None where the task does not say.

        Args:
            error: What ``execute`` raised.
        """
        condition = self.settings.retry_if
        if condition is None:
            return None
        if isinstance(condition, tuple):
            return isinstance(error, condition)
        return condition(error)

    def references(self) -> Iterator[Reference]:
        """Yield all references in its arguments.

        Raises:
            InvalidArgument: If one stands where it would never be resolved.
        """
        for value in self.arguments().values():
            yield from references_in(value)

    def check_fields(self) -> None:
        """Refuse results of other tasks in attributes that nothing resolves.

        Raises:
            InvalidArgument: If there is one.
        """
        for name, value in vars(self).items():
            if isinstance(value, Reference) and name not in self.template_fields:
                raise InvalidArgument(
                    f"{type(self).__name__} does not resolve {value!r} in {name!r}",
                    place=relative_place(self.place),
                    hint=f"add {name!r} to its template_fields",
                )

    def refusal(self, problem: str, *, hint: str = "") -> InvalidArgument:
        """Return the error that says what is wrong with an argument, and where it stands.

        Args:
            problem: What is wrong.
            hint: What would be right.
        """
        message = f"{self.node_id!r}: {problem}"
        return InvalidArgument(message, place=relative_place(self.place), hint=hint)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.node_id!r}>"


#: Airflow's name.
BaseOperator = Operator


class OperatorPartial:
    """An operator of which some arguments are fixed; mapped by ``expand``.

    Args:
        operator_class: The operator.
        task_id: Unique in its group.
        fixed: Arguments and policies that are the same for all indices.
    """

    def __init__(
        self, operator_class: type[Operator], task_id: str, fixed: Mapping[str, Any]
    ) -> None:
        self.operator_class = operator_class
        self.task_id = task_id
        self.fixed = fixed
        self._place = calling_place()
        self._check(fixed)

    def expand(self, **mapped: Any) -> "MappedOperator":
        """Map the operator: one task run for each combination of the values.

        Args:
            mapped: Lists, dicts or results by argument; the last one varies fastest.
        """
        self._check(mapped)
        self._check_mapped(mapped)
        self._take_defaults(mapped)
        factors = {name: series_of(values, "expand()") for name, values in mapped.items()}
        return MappedOperator(self, factors)

    def expand_kwargs(self, kwargs: Any) -> "MappedOperator":
        """Map the operator: one task run for each dict of arguments.

        Args:
            kwargs: A list of dicts, or a result that is one.
        """
        self._take_defaults({})
        return MappedOperator(self, {MORE_ARGUMENTS: series_of(kwargs, "expand_kwargs()")})

    def _take_defaults(self, mapped: Mapping[str, Any]) -> None:
        group = self.fixed.get("task_group") or group_for(self.fixed.get("dag"))
        if group is not None and group.operator_defaults:
            given = mapped.keys() | self.fixed.keys()
            self.fixed = {**_defaults_for(self.operator_class, group, given), **self.fixed}

    def _check(self, names: Mapping[str, Any]) -> None:
        accepted = accepted_arguments(self.operator_class)
        for name in names:
            if name not in accepted:
                raise InvalidArgument(
                    f"{self.operator_class.__name__} takes no argument {name!r}",
                    place=relative_place(self._place),
                    hint=did_you_mean(name, accepted),
                )

    def _check_mapped(self, mapped: Mapping[str, Any]) -> None:
        own = own_arguments(self.operator_class)
        for name in mapped:
            problem = ""
            if name in self.fixed:
                problem = f"argument {name!r} is fixed and cannot be mapped too"
            elif (name in POLICY_NAMES and name not in own) or name == "task_id":
                problem = f"{name!r} is the same for all indices and cannot be mapped"
            if problem:
                raise InvalidArgument(problem, place=relative_place(self._place))
        if not mapped:
            message = "expand() needs at least one argument to map over"
            raise InvalidArgument(message, place=relative_place(self._place))


class MappedOperator(Operator):
    """Stand for an operator that is mapped: each attempt makes the operator of its index.

    Args:
        partial: The operator and what is fixed of it.
        factors: What it is mapped over, by argument.
    """

    def __init__(self, partial: OperatorPartial, factors: Mapping[str, SeriesReference]) -> None:
        own = own_arguments(partial.operator_class)
        policies = {k: v for k, v in partial.fixed.items() if k in POLICY_NAMES and k not in own}
        placing = {k: v for k, v in partial.fixed.items() if k in ("dag", "task_group")}
        self.operator_class = partial.operator_class
        self.fixed = {
            k: v for k, v in partial.fixed.items() if k not in policies and k not in placing
        }
        self.factors = factors
        self.operator_name = partial.operator_class.operator_name
        self.kind = partial.operator_class.kind
        self.template_ext = self.fixed.get("templates_exts") or partial.operator_class.template_ext
        self.ignore_downstream_trigger_rules = self.fixed.get(
            "ignore_downstream_trigger_rules",
            partial.operator_class.ignore_downstream_trigger_rules,
        )
        if self.fixed.get("mode") != "poke":
            self.attempt_limit_s = partial.operator_class.attempt_limit_s
        super().__init__(partial.task_id, **placing, **policies)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the operator, fixed and mapped."""
        elements = {
            name: ElementReference(self, factor, series)
            for factor, (name, series) in enumerate(self.factors.items())
        }
        return {**self.fixed, **elements}

    def rendered_arguments(self) -> Collection[str]:
        """Return the template fields of the operator that is mapped, and sets of arguments."""
        fields = {*self.operator_class.template_fields, MORE_ARGUMENTS}
        return fields.difference(self.operator_class.late_fields)

    def bind(self, arguments: Mapping[str, Any]) -> Operator:
        """Return the operator of one index.

        Args:
            arguments: What ``arguments()`` returned, with all references replaced.

        Raises:
            InvalidArgument: If the operator does not take them.
        """
        named = dict(arguments)
        named.update(named.pop(MORE_ARGUMENTS, {}))
        token = open_group.set(None)
        try:
            bound = self.operator_class(task_id=self.label, **named)
        finally:
            open_group.reset(token)
        bound.node_id = self.node_id
        bound.graph = self.graph
        bound.group = self.group
        bound.settings = self.settings
        return bound

    def check_fields(self) -> None:
        """Allow results in all arguments, for all are resolved."""

    def __repr__(self) -> str:
        return f"<mapped {self.operator_class.__name__} {self.node_id!r}>"


def _defaults_for(
    operator_class: type[Operator], group: TaskGroup, given: Collection[str]
) -> dict[str, Any]:
    """Return the defaults that an operator knows and is not given."""
    known = accepted_arguments(operator_class) & own_arguments(operator_class)
    return {
        name: value
        for name, value in group.operator_defaults.items()
        if name in known and name not in given
    }


def own_arguments(operator_class: type[Operator]) -> frozenset[str]:
    """Return the arguments that the classes of an operator name themselves."""
    names: set[str] = set()
    for cls in operator_class.__mro__:
        initialise = cls.__dict__.get("__init__")
        if initialise is not None and issubclass(cls, Operator):
            names |= signature_of(initialise).names
    return frozenset(names - _NO_ARGUMENTS).difference(operator_class.internal_arguments)


def accepted_arguments(operator_class: type[Operator]) -> frozenset[str]:
    """Return the arguments that an operator can be given, policies among them."""
    outermost = next(cls for cls in operator_class.__mro__ if "__init__" in cls.__dict__)
    signature = signature_of(outermost.__dict__["__init__"])
    if not signature.takes_any_keyword:
        return signature.names - _NO_ARGUMENTS
    return own_arguments(operator_class).union(operator_class.internal_arguments, POLICY_NAMES)


_NO_TEMPLATES: frozenset[str] = frozenset()

#: How the initialisers of operators name themselves and what they hand on.
_NO_ARGUMENTS = frozenset({"self", "policies", "options", "kwargs"})
