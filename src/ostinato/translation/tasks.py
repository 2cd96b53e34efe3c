"""This module writes tasks down as calls of Airflow's operators."""

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ostinato.authoring.operators.bash_function import BashFunctionOperator
from ostinato.authoring.operators.branch import BranchPythonOperator
from ostinato.authoring.operators.operator import MappedOperator, Operator
from ostinato.authoring.operators.python import FunctionOperator, PythonOperator
from ostinato.authoring.operators.sql_model import SqlModelOperator
from ostinato.authoring.ports import BuiltFlow
from ostinato.authoring.references import (
    MORE_ARGUMENTS,
    ConcatReference,
    ElementReference,
    FilterReference,
    ItemReference,
    LiteralSeries,
    MapReference,
    ParameterReference,
    Reference,
    ResultReference,
    ZipReference,
    references_in,
)
from ostinato.authoring.templates import is_template, names_file
from ostinato.errors import NotInAirflow
from ostinato.model.value import RETURN_VALUE
from ostinato.translation.literals import quoted, written
from ostinato.translation.models import ModelWriter
from ostinato.translation.operators import Row, own_values, row_of
from ostinato.translation.policies import policy_arguments
from ostinato.translation.sources import Sources

#: Names that Airflow gives to templates.
TEMPLATE_NAMES = frozenset(
    {
        "conn",
        "dag",
        "dag_run",
        "data_interval_end",
        "data_interval_start",
        "ds",
        "ds_nodash",
        "inlets",
        "logical_date",
        "macros",
        "map_index_template",
        "outlet_events",
        "outlets",
        "params",
        "prev_data_interval_end_success",
        "prev_data_interval_start_success",
        "prev_end_date_success",
        "prev_start_date_success",
        "run_id",
        "task",
        "task_instance",
        "task_instance_key_str",
        "test_mode",
        "ti",
        "ts",
        "ts_nodash",
        "ts_nodash_with_tz",
        "var",
    }
)

#: Names that Airflow gives to parameters of functions under the same names as we do.
_SAME_NAMES = TEMPLATE_NAMES

#: What the adapter of the context answers.
CONTEXT_NAMES = frozenset(
    {
        "attempt",
        "data_interval_end",
        "data_interval_start",
        "ds",
        "ds_nodash",
        "logger",
        "logical_date",
        "map_index",
        "params",
        "pull",
        "push",
        "run_id",
        "task_id",
        "try_number",
        "ts",
        "ts_nodash",
        "xcom_pull",
        "xcom_push",
    }
)

#: Where a value stands among the arguments of a function: names and indices.
Path = tuple[str | int, ...]


class Written(NamedTuple):
    """A task as the generated file has it.

    Attributes:
        statement: Makes the task.
        output: Expression of its result.
        implied: Ids of tasks that it waits for by its arguments already.
    """

    statement: str
    output: str
    implied: frozenset[str]


class TaskWriter:
    """Write the tasks of one flow.

    Args:
        flow: The flow.
        sources: Collects the code of functions.
        names: Variable of each task and group in the generated file, by id.
        use: Called with module and name of what the file imports; returns how it is called.
        defaults: Policies that stand with the flow, and so with no task.
        models: Writes queries of which tables are made.
    """

    def __init__(
        self,
        flow: BuiltFlow,
        sources: Sources,
        names: Mapping[str, str],
        use: Callable[[str, str], str],
        defaults: Mapping[str, str],
        models: ModelWriter,
    ) -> None:
        self._flow = flow
        self._models = models
        self._defaults = defaults
        self._sources = sources
        self._names = names
        self._use = use
        #: Expression of the result of each task that is written.
        self._outputs: dict[str, str] = {}
        #: Parts of the preamble that the tasks use.
        self.helpers: set[str] = set()

    def write(self, operator: Operator) -> Written:
        """Return a task as the generated file has it.

        Raises:
            NotInAirflow: It cannot be said.
        """
        self._implied: set[str] = set()
        variable = self._names[operator.node_id]
        common = {"task_id": quoted(operator.label)}
        if operator.group is not None and operator.group.parent is not None:
            common["task_group"] = self._names[operator.group.node_id]
        common |= {
            name: value
            for name, value in policy_arguments(operator).items()
            if name not in self._defaults
        }
        if isinstance(operator, MappedOperator):
            expression, is_call = self._mapped_operator(operator, common), False
        else:
            row = row_of(type(operator))
            if isinstance(operator, SqlModelOperator):
                expression, is_call = self._model(operator, row, common), False
            elif isinstance(operator, BashFunctionOperator) or operator.factors:
                expression, is_call = self._decorated(operator, row, common), True
            else:
                expression, is_call = self._plain(operator, row, common), False
        output = variable if is_call else f"{variable}.output"
        self._outputs[operator.node_id] = output
        return Written(f"{variable} = {expression}", output, frozenset(self._implied))

    # Operators

    def _plain(self, operator: Operator, row: Row, common: dict[str, str]) -> str:
        values = own_values(operator, row)
        arguments = dict(common)
        if isinstance(operator, FunctionOperator):
            values, function = self._function(operator, values)
            arguments["python_callable"] = function
        for name, value in values.items():
            arguments[name] = self._field(operator, name, value)
        if isinstance(operator, PythonOperator) and operator.multiple_outputs:
            arguments["multiple_outputs"] = "True"
        return call(self._use(row.module, row.name), arguments)

    def _model(self, operator: SqlModelOperator, row: Row, common: dict[str, str]) -> str:
        statements = self._models.statements(operator)
        for statement in statements:
            check_template(statement, self._flow)
        values = {**own_values(operator, row), "sql": statements}
        if operator.materialized != "none":
            values["handler"] = None
        arguments = common | {name: self._value(value) for name, value in values.items()}
        return call(self._use(row.module, row.name), arguments)

    def _mapped_operator(self, operator: MappedOperator, common: dict[str, str]) -> str:
        row = row_of(operator.operator_class)
        if not operator.fixed.keys() | operator.factors.keys() <= {
            *row.arguments,
            MORE_ARGUMENTS,
            "poke_interval",
            "timeout",
            "mode",
            "soft_fail",
            "python_callable",
        }:
            raise NotInAirflow(f"not all arguments of the mapped {row.name} are known there")
        fixed = dict(common)
        for name, value in operator.fixed.items():
            if value == row.defaults.get(name, ...):
                continue
            if name == "python_callable":
                fixed[name] = self._sources.name_of(value)
            else:
                fixed[name] = self._field(operator, name, value)
        made = f"{self._use(row.module, row.name)}.partial"
        return call(made, fixed) + self._expanded(operator.factors)

    def _decorated(self, operator: Operator, row: Row, common: dict[str, str]) -> str:
        assert isinstance(operator, FunctionOperator)
        if not row.decorator:
            raise NotInAirflow(f"a mapped {row.name} is not known there")
        values = {
            name: value
            for name, value in own_values(operator, row).items()
            if name not in ("op_args", "op_kwargs")
        }
        options = common | {
            name: self._field(operator, name, value) for name, value in values.items()
        }
        if isinstance(operator, PythonOperator):
            # Airflow would conclude it from the annotation.
            options["multiple_outputs"] = repr(operator.multiple_outputs)
        if operator.op_args:
            raise NotInAirflow("positional arguments beside a mapping", hint="give them by name")
        named = dict(operator.op_kwargs)
        own = {
            name: value
            for name, value in named.items()
            if isinstance(value, ElementReference) and value.container is operator
        }
        rest = {name: value for name, value in named.items() if name not in own}
        rest, function = self._function(operator, {"op_kwargs": rest})
        made = call(f"{self._use('airflow.sdk', 'task')}{row.decorator[4:]}", options)
        made += f"({function})"
        given = {k: self._value(v) for k, v in rest.get("op_kwargs", {}).items()}
        if not operator.factors:
            return made + call("", given)
        if given:
            made += call(".partial", given)
        return made + self._expanded(operator.factors)

    def _expanded(self, factors: Mapping[str, Any]) -> str:
        if MORE_ARGUMENTS in factors:
            return f".expand_kwargs({self._series(factors[MORE_ARGUMENTS])})"
        return call(".expand", {name: self._series(value) for name, value in factors.items()})

    def _series(self, series: Any) -> str:
        if isinstance(series, ResultReference):
            return self._result(series)
        if isinstance(series, LiteralSeries):
            return self._value(list(series.items))
        if isinstance(series, FilterReference):
            raise NotInAirflow("Airflow has no filter() of a mapping", hint="filter in the task")
        if isinstance(series, MapReference):
            return f"{self._series(series.source)}.map({self._sources.name_of(series.function)})"
        if isinstance(series, ZipReference | ConcatReference):
            verb = "zip" if isinstance(series, ZipReference) else "concat"
            first, *others = (self._series(part) for part in series.parts)
            if not isinstance(series.parts[0], ResultReference):
                raise NotInAirflow(f"Airflow has no {verb}() of a list that stands in the flow")
            return f"{first}.{verb}({', '.join(others)})"
        raise NotInAirflow(f"Airflow cannot map over {series!r}")

    # Functions

    def _function(
        self, operator: FunctionOperator, values: dict[str, Any]
    ) -> tuple[dict[str, Any], str]:
        """Return the arguments of a function's operator, and the expression of the function.

        What an attempt of ours resolves and Airflow's does not, a wrapper puts in its place:
        parameters of the run, items of results, and the context.
        """
        function = operator.python_callable
        name = self._sources.name_of(function)
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise NotInAirflow(f"{name!r} yields; Airflow stores what a function returns")
        self._check_given(operator)
        params: dict[Path, str] = {}
        items: dict[Path, tuple[Any, ...]] = {}
        named = values.get("op_kwargs", {})
        positional = tuple(values.get("op_args", ()))
        if isinstance(named, Reference) or isinstance(values.get("op_args"), Reference):
            raise NotInAirflow("arguments as a whole are the result of a task", hint="name them")
        if positional:
            surplus, named = operator.signature.assign(positional, named)
            if surplus:
                raise NotInAirflow("*args of a function", hint="give the arguments by name")
        named = {key: self._split(value, (key,), params, items) for key, value in named.items()}
        context = self._context_parameters(operator)
        options = {}
        if params:
            options["params"] = written(params)
        if items:
            options["items"] = written(items)
        if context:
            options["context"] = written(context)
        if isinstance(operator, BranchPythonOperator) and operator.group is not None:
            prefix = operator.group.child_prefix
            inside = [each for each in self._flow.operators if prefix and each.startswith(prefix)]
            if inside:
                options["inside"] = written((prefix, *inside))
        if options or inspect.iscoroutinefunction(inspect.unwrap(function)):
            self.helpers.add("given")
            if context:
                self.helpers.add("context")
            name = call("_given", {"function": name, **options}, positional=("function",))
        rest = {k: v for k, v in values.items() if k not in ("op_args", "op_kwargs")}
        return ({**rest, "op_kwargs": named} if named else rest), name

    def _check_given(self, operator: FunctionOperator) -> None:
        signature = operator.signature
        resources = self._flow.resources
        wanted = [n for n in signature.names if n in resources or n in signature.resource_types]
        if wanted:
            hint = "open it inside the function"
            raise NotInAirflow(f"Airflow gives no resource {wanted[0]!r}", hint=hint)

    def _context_parameters(self, operator: FunctionOperator) -> dict[str, str]:
        wanted = operator.signature.context_parameters
        needed = {}
        for name, attribute in sorted(wanted.items()):
            is_annotated = not attribute and name not in ("ti", "task_instance")
            if name in _SAME_NAMES and not is_annotated:
                continue
            if attribute and attribute not in CONTEXT_NAMES:
                raise NotInAirflow(f"Airflow gives no {name!r} to a function")
            needed[name] = attribute
            if not attribute:
                self._check_context_use(operator, name)
        return needed

    def _check_context_use(self, operator: FunctionOperator, name: str) -> None:
        try:
            text = inspect.getsource(inspect.unwrap(operator.python_callable))
        except (OSError, TypeError):
            return
        for attribute in re.findall(rf"\b{re.escape(name)}\.(\w+)", text):
            if attribute not in CONTEXT_NAMES:
                known = ", ".join(sorted(CONTEXT_NAMES))
                raise NotInAirflow(
                    f"Airflow's context has no {name}.{attribute}", hint=f"there is {known}"
                )

    def _split(
        self,
        value: Any,
        path: Path,
        params: dict[Path, str],
        items: dict[Path, tuple[Any, ...]],
    ) -> Any:
        """Return an argument without what a wrapper has to put there, which is noted by path."""
        if isinstance(value, ParameterReference):
            if value.convert is not None:
                raise NotInAirflow(
                    f"{path[0]!r} is the parameter {value.name!r} as {value.annotation!r}",
                    hint="Airflow's parameters are JSON: take text, and convert it in the task",
                )
            params[path] = value.name
            return None
        if type(value) is ItemReference:
            keys: list[Any] = []
            source: Any = value
            while type(source) is ItemReference:
                keys.append(source.key)
                source = source.source
            if isinstance(source, ParameterReference):
                params[path] = source.name
                source = None
            elif not isinstance(source, ResultReference):
                raise NotInAirflow(f"Airflow has no {value!r}")
            items[path] = tuple(reversed(keys))
            return source
        if isinstance(value, Mapping):
            return {k: self._split(v, (*path, k), params, items) for k, v in value.items()}
        if isinstance(value, list | tuple):
            parts = [self._split(v, (*path, i), params, items) for i, v in enumerate(value)]
            return parts if isinstance(value, list) else tuple(parts)
        return value

    # Values

    def _field(self, operator: Operator, name: str, value: Any) -> str:
        """Return the expression of an argument that Airflow renders."""
        if isinstance(value, Reference) and not isinstance(value, ResultReference):
            return quoted(self._as_template(value))
        if name in ("output_processor", "handler", "success", "failure", "selector") and value:
            return self._sources.name_of(value)
        fields = operator.template_fields
        if isinstance(operator, MappedOperator):
            fields = operator.operator_class.template_fields
        if name in fields:
            value = self._rendered(value, operator)
        return self._value(value)

    def _rendered(self, value: Any, operator: Operator) -> Any:
        """Return an argument with the texts of template files in place of their names."""
        if isinstance(value, str):
            return self._text(value, operator)
        if isinstance(value, Reference) and not isinstance(value, ResultReference):
            return self._as_template(value)
        if isinstance(value, Mapping):
            return {key: self._rendered(item, operator) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._rendered(item, operator) for item in value)
        return value

    def _text(self, text: str, operator: Operator) -> str:
        if names_file(text, operator.template_ext):
            file = self._flow.templates.find(text)
            if file is not None:
                text = file.read_text(encoding="utf-8")
            elif not operator.template_ext:
                return text
            else:
                # Airflow takes any text that ends so for the name of a file, but for a blank.
                text += " "
        check_template(text, self._flow)
        return text

    def _as_template(self, reference: Any) -> str:
        keys = ""
        while type(reference) is ItemReference:
            keys = f"[{reference.key!r}]{keys}"
            reference = reference.source
        if isinstance(reference, ParameterReference):
            return f"{{{{ params[{reference.name!r}]{keys} }}}}"
        if isinstance(reference, ResultReference):
            key = "" if reference.key == RETURN_VALUE else f", key={reference.key!r}"
            return f"{{{{ ti.xcom_pull(task_ids={reference.task.node_id!r}{key}){keys} }}}}"
        raise NotInAirflow(f"Airflow has no {reference!r}")

    def _value(self, value: Any) -> str:
        return written(value, self._other)

    def _other(self, value: Any) -> str | None:
        if isinstance(value, ResultReference):
            return self._result(value)
        if isinstance(value, Reference):
            raise NotInAirflow(f"Airflow has no {value!r} there")
        return self._sources.other(value)

    def _result(self, reference: ResultReference) -> str:
        self._implied.add(reference.task.node_id)
        output = self._outputs[reference.task.node_id]
        return output if reference.key == RETURN_VALUE else f"{output}[{reference.key!r}]"


def check_template(text: str, flow: BuiltFlow) -> None:
    """Refuse a template that uses what Airflow does not give it.

    Raises:
        NotInAirflow: It names something else, or includes a file.
    """
    if not is_template(text):
        return
    from jinja2 import meta  # noqa: PLC0415 - only flows with templates need it

    tree = flow.templates.engine.environment.parse(text)
    if next(meta.find_referenced_templates(tree), None) is not None:
        raise NotInAirflow("a template includes another file", hint="write its text there")
    known = TEMPLATE_NAMES | flow.templates.macros.keys()
    for name in sorted(meta.find_undeclared_variables(tree)):
        if name not in known:
            raise NotInAirflow(f"Airflow's templates have no {name!r}")


def needed_first(operator: Operator) -> Iterator[str]:
    """Yield the ids of tasks whose results are among the arguments of a task."""
    values: Sequence[Any] = [*operator.arguments().values(), *operator.factors.values()]
    for value in values:
        for reference in references_in(value):
            if isinstance(reference, ResultReference):
                yield reference.task.node_id


def call(name: str, arguments: Mapping[str, str], positional: Sequence[str] = ()) -> str:
    """Return the expression of a call, on one line if it is short."""
    parts = [v if k in positional else f"{k}={v}" for k, v in arguments.items()]
    line = f"{name}({', '.join(parts)})"
    if len(line) <= 88 and "\n" not in line:
        return line
    inner = textwrap.indent("".join(f"{part},\n" for part in parts), "    ")
    return f"{name}(\n{inner})"
