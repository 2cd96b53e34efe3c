"""This module gives functions of files their arguments, by the names of their parameters.

A parameter without a default is one of the run, a part of the context, or the result of the task
of that name, for which its task then waits. ``expand`` gives it one item after the other.
"""

import functools
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, cast

from ostinato.authoring.dag import DAG
from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.spec import FileProblem, Position
from ostinato.authoring.files.task_specs import TaskSpec, names_in
from ostinato.authoring.files.types.file_functions import FileFunction
from ostinato.authoring.files.types.table_arguments import WithTables, connection_of_table
from ostinato.authoring.files.wiring.dependencies import Made, Names
from ostinato.authoring.files.wiring.units import Origins, Unit
from ostinato.authoring.operators.operator import MappedOperator, Operator
from ostinato.authoring.operators.python import FunctionOperator
from ostinato.authoring.ports import Resolver
from ostinato.authoring.references import (
    ElementReference,
    LiteralSeries,
    ParameterReference,
    ResultReference,
    SeriesReference,
)
from ostinato.authoring.signatures import UNTYPED, signature_of
from ostinato.authoring.suggestions import did_you_mean

#: The key that maps a task.
EXPAND = "expand"


class Built(NamedTuple):
    """A task that was made of a file.

    Attributes:
        spec: What the file says.
        operator: The task.
        unit: The same, as edges see it.
    """

    spec: TaskSpec
    operator: Operator
    unit: Unit


class _OwnParameter(ParameterReference):
    """Stand for a parameter of the run that has another default in one task.

    Args:
        name: Of the parameter.
        own: The task's default.
        default: The flow's.
    """

    __slots__ = ("default", "own")

    def __init__(self, name: str, own: Any, default: Any) -> None:
        super().__init__(name, annotation=UNTYPED)
        self.own = own
        self.default = default

    def resolve(self, resolver: Resolver) -> Any:
        """Return the parameter's value in this run, the task's own if that is the default."""
        value = super().resolve(resolver)
        return self.own if value == self.default else value


def mapped_arguments(spec: TaskSpec, problems: list[FileProblem]) -> dict[str, Any] | None:
    """Return what a task is mapped over, by argument; nothing for most, None if it is wrong.

    Args:
        spec: Of the task.
        problems: Takes what is wrong.
    """
    said = spec.values.get(EXPAND)
    if said is None:
        return {}
    if not isinstance(said, Mapping) or not said:
        message = "expand names no arguments"
        hint = "write expand: {argument: [one, two]}"
        problems.append(spec.problem("F037", message, EXPAND, hint=hint))
        return None
    return {str(name): value for name, value in said.items()}


class FileValues:
    """Fill in the arguments of a flow's tasks, once all of them are there.

    Args:
        flow: The flow.
        made: What its tasks make.
        names: Of its tasks.
        origins: Takes the edges.
        problems: Takes what nothing gives.
    """

    def __init__(
        self,
        flow: DAG,
        made: Made,
        names: Names,
        origins: Origins,
        problems: list[FileProblem],
    ) -> None:
        self._flow = flow
        self._made = made
        self._names = names
        self._origins = origins
        self._problems = problems
        self._by_identifier = {_identifier(name): name for name in sorted(made.names())}

    def fill(self, task: Built) -> None:
        """Fill in the arguments of a task.

        Args:
            task: Whose operator is changed.
        """
        operator = task.operator
        if isinstance(operator, MappedOperator):
            self._map_operator(task, operator)
        elif isinstance(operator, FunctionOperator):
            self._fill_function(task, operator)

    # Functions

    def _fill_function(self, task: Built, operator: FunctionOperator) -> None:
        function: Any = operator.python_callable
        partial: dict[str, Any] = {}
        if isinstance(function, functools.partial):
            function, partial = function.func, dict(function.keywords)
        if not isinstance(function, FileFunction) or function.declared is None:
            return
        if not isinstance(operator.op_kwargs, Mapping):
            return
        signature = signature_of(operator.python_callable)
        by_position = signature.positional[: len(operator.op_args or ())]
        given = {*operator.op_kwargs, *by_position, *partial}
        filled = dict(operator.op_kwargs)
        mapped = self._factors(task, set(signature.names) - given, takes_any=function.takes_any)
        for name in mapped:
            filled.pop(name, None)
        wanted = mapped_arguments(task.spec, []) or {}
        declared = set(names_in(task.spec.values.get("dependencies")) or ())
        for name in signature.parameters:
            if name in given or name in wanted or name in self._flow.resources:
                continue
            if name in signature.context_parameters:
                continue
            is_required = name in signature.required
            value = self._value(task, name, declared, is_required=is_required)
            if value is not None:
                filled[name] = value
            elif is_required:
                self._note_missing(task, function, name)
        if mapped:
            operator.factors = mapped
            filled |= {
                name: ElementReference(operator, factor, series)
                for factor, (name, series) in enumerate(mapped.items())
            }
        operator.op_kwargs = filled
        tables = {
            name: connection
            for name, value in filled.items()
            if isinstance(value, ResultReference)
            and (connection := connection_of_table(cast("Operator", value.task)))
        }
        if tables:
            operator.python_callable = WithTables(operator.python_callable, tables)

    def _value(
        self, task: Built, name: str, declared: Collection[str], *, is_required: bool
    ) -> Any:
        """Return what a parameter stands for, None if nothing does."""
        own = task.operator.settings.params
        maker = self._maker(name)
        is_parameter = name in self._flow.parameters
        if maker is not None and maker is not task.unit and name in declared:
            return self._result(task, maker, self._position(task, name))
        if is_parameter and name in own:
            return _OwnParameter(name, own[name], self._flow.parameters[name].default)
        if is_parameter:
            return ParameterReference(name, annotation=UNTYPED)
        if name in own:
            return own[name]
        if maker is not None and maker is not task.unit and is_required:
            return self._result(task, maker, self._position(task, name))
        return None

    def _note_missing(self, task: Built, function: FileFunction, name: str) -> None:
        if name in self._names.broken:
            return
        known = {*self._by_identifier, *self._flow.parameters}
        message = f"nothing gives {function.__name__}() its {name!r}: no parameter, no task"
        self._problems.append(
            problem("F042", message, self._position(task, name), did_you_mean(name, known))
        )

    def _position(self, task: Built, name: str) -> Position:
        del name
        function = task.spec.values.get("python_callable")
        if isinstance(function, functools.partial):
            function = function.func
        if isinstance(function, FileFunction) and function.declared and task.spec.file:
            declared = function.declared
            return Position(task.spec.file.shown, declared.line, declared.column)
        return task.spec.position("python_callable")

    # What is mapped

    def _factors(
        self, task: Built, parameters: Collection[str], *, takes_any: bool
    ) -> dict[str, SeriesReference]:
        found: dict[str, SeriesReference] = {}
        for name, value in (mapped_arguments(task.spec, []) or {}).items():
            if name not in parameters and not takes_any:
                message = f"the function has no argument {name!r} that expand could give it"
                hint = did_you_mean(name, parameters)
                self._problems.append(task.spec.problem("F037", message, EXPAND, name, hint=hint))
                continue
            series = self._series(task, name, value)
            if series is not None:
                found[name] = series
        return found

    def _map_operator(self, task: Built, operator: MappedOperator) -> None:
        factors = dict(operator.factors)
        for name, value in (mapped_arguments(task.spec, []) or {}).items():
            if isinstance(value, str):
                series = self._series(task, name, value)
                if series is not None:
                    factors[name] = series
        operator.factors = factors

    def _series(self, task: Built, name: str, value: Any) -> SeriesReference | None:
        """Return what an argument is mapped over; None if it cannot be, which is noted."""
        if isinstance(value, list | tuple | Mapping):
            return LiteralSeries(value)
        position = task.spec.position(EXPAND, name)
        maker = self._maker(value) if isinstance(value, str) else None
        made = self._flow.operators.get(maker.unit_id) if maker is not None else None
        if made is not None and connection_of_table(made):
            message = f"expand maps {name!r} over the table {value!r}, not over a list"
            hint = "let a task return the list, such as a .py file that takes the table"
            self._problems.append(problem("F037", message, position, hint))
            return None
        if maker is not None and maker is not task.unit:
            return cast("SeriesReference | None", self._result(task, maker, position))
        if not isinstance(value, str) or value not in self._names.broken:
            message = f"expand maps {name!r} over {value!r}, neither a list nor a task"
            hint = did_you_mean(value, self._made.names()) if isinstance(value, str) else ""
            self._problems.append(problem("F037", message, position, hint))
        return None

    # Results

    def _maker(self, name: str) -> Unit | None:
        return self._made.find(name) or self._made.find(self._by_identifier.get(name.lower(), ""))

    def _result(self, task: Built, maker: Unit, position: Position) -> ResultReference | None:
        operator = self._flow.operators.get(maker.unit_id)
        if operator is None:
            message = f"{maker.unit_id!r} is a group, which has no result"
            self._problems.append(problem("F042", message, position))
            return None
        task.unit.wait_for(maker, self._origins, position)
        return ResultReference(operator)


def _identifier(name: str) -> str:
    """Return a name as a parameter is spelled that means it.

    >>> _identifier("raw.orders-2024")
    'raw_orders_2024'
    """
    return "".join(c if c.isalnum() else "_" for c in name).lower()
