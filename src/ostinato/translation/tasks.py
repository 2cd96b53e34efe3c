"""This module writes tasks down as calls of Airflow's operators."""

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ostinato.authoring.files.types.file_functions import FileScript
from ostinato.authoring.files.types.table_arguments import WithTables
from ostinato.authoring.files.types.table_results import WithResultTable
from ostinato.authoring.operators.bash_function import BashFunctionOperator
from ostinato.authoring.operators.branch import BranchPythonOperator
from ostinato.authoring.operators.operator import MappedOperator, Operator
from ostinato.authoring.operators.python import FunctionOperator, PythonOperator
from ostinato.authoring.operators.script import ScriptOperator
from ostinato.authoring.operators.seed import SeedOperator
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
from ostinato.authoring.signatures import Signature, signature_of
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

#: How scripts of the shell begin.
SHELLS = ("#!/bin/bash", "#!/bin/sh", "#!/usr/bin/bash", "#!/usr/bin/env bash", "#!/usr/bin/env sh")

#: Variables that scripts are given, as templates of Airflow.
SCRIPT_NAMES = {
    "OSTINATO_DS": "{{ ds }}",
    "OSTINATO_RUN_ID": "{{ run_id }}",
    "OSTINATO_FLOW": "{{ dag.dag_id }}",
    "OSTINATO_TASK_ID": "{{ task.task_id }}",
    "OSTINATO_TRY_NUMBER": "{{ ti.try_number }}",
    "OSTINATO_LOGICAL_DATE": "{{ logical_date.isoformat() }}",
    "OSTINATO_DATA_INTERVAL_START": "{{ data_interval_start.isoformat() }}",
    "OSTINATO_DATA_INTERVAL_END": "{{ data_interval_end.isoformat() }}",
    "OSTINATO_PARAMS": "{{ params | tojson }}",
}

#: Where a value stands among the arguments of a function: names and indices.
Steps = tuple[str | int, ...]


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
            if isinstance(operator, SqlModelOperator | SeedOperator):
                expression, is_call = self._model(operator, row, common), False
            elif isinstance(operator, ScriptOperator):
                expression, is_call = self._script(operator, row, common), False
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

    def _model(
        self, operator: SqlModelOperator | SeedOperator, row: Row, common: dict[str, str]
    ) -> str:
        if isinstance(operator, SeedOperator):
            statements = self._models.rows(operator)
        else:
            statements = self._models.statements(operator)
            for statement in statements:
                check_template(statement, self._flow)
        values = {**own_values(operator, row), "sql": statements}
        if isinstance(operator, SeedOperator) or operator.materialized != "none":
            values["handler"] = None
        arguments = common | {name: self._value(value) for name, value in values.items()}
        return call(self._use(row.module, row.name), arguments)

    def _script(self, operator: ScriptOperator, row: Row, common: dict[str, str]) -> str:
        file = None if operator.path is None else operator.found_file(operator.path)
        text = str(operator.script) if file is None else Path(file).read_text(encoding="utf-8")
        is_shell = text.startswith(SHELLS) or (file is not None and str(file).endswith(".sh"))
        if not is_shell or operator.interpreter or operator.args:
            hint = "call it by a BashOperator, where its interpreter is"
            raise NotInAirflow("a script that is not of the shell", hint=hint)
        for name in ("OSTINATO_RESULT", "OSTINATO_OUT"):
            if name in text:
                hint = "its last line is the result"
                raise NotInAirflow(f"the script uses ${name}", hint=hint)
        if operator.output_processor is not None:
            raise NotInAirflow("a script with an output_processor")
        if file is not None and is_template(text):
            text = "{% raw %}" + text + "{% endraw %}"
        # A file's name is what Airflow takes a text for that ends like one.
        command = text if not text.rstrip().endswith((".sh", ".bash")) else f"{text} "
        used = {name: value for name, value in SCRIPT_NAMES.items() if name in text}
        env = {**used, **dict(operator.env or {})}
        values = {**own_values(operator, row), "bash_command": command}
        if env:
            values["env"] = {name: str(value) for name, value in env.items()}
            values["append_env"] = True
        arguments = common | {
            name: self._field(operator, name, value) for name, value in values.items()
        }
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
        function: Any = operator.python_callable
        reads: dict[str, tuple[str, str]] = {}
        made: tuple[str, str] | None = None
        while isinstance(function, WithTables):
            if isinstance(function, WithResultTable):
                made = (function.conn_id, function.table)
            values, reads = self._without_tables(function, values, reads)
            function = function.function
        name = self._sources.name_of(function)
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise NotInAirflow(f"{name!r} yields; Airflow stores what a function returns")
        signature = signature_of(function)
        self._check_given(signature)
        params: dict[Steps, str] = {}
        items: dict[Steps, tuple[Any, ...]] = {}
        named = values.get("op_kwargs", {})
        positional = tuple(values.get("op_args", ()))
        if isinstance(named, Reference) or isinstance(values.get("op_args"), Reference):
            raise NotInAirflow("arguments as a whole are the result of a task", hint="name them")
        if positional:
            surplus, named = signature.assign(positional, named)
            if surplus:
                raise NotInAirflow("*args of a function", hint="give the arguments by name")
        named = {key: self._split(value, (key,), params, items) for key, value in named.items()}
        # A script takes its attempt from the environment, where it asks for it at all.
        is_script = isinstance(function, FileScript)
        context = {} if is_script else self._context_parameters(function)
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
        if reads or made:
            self.helpers.add("tables")
            conn_id, table = made or ("", "")
            name = call(
                "_tables",
                {
                    "function": name,
                    **({"reads": written(reads)} if reads else {}),
                    **({"conn_id": quoted(conn_id), "table": quoted(table)} if made else {}),
                },
                positional=("function",),
            )
        rest = {k: v for k, v in values.items() if k not in ("op_args", "op_kwargs")}
        return ({**rest, "op_kwargs": named} if named else rest), name

    def _without_tables(
        self, function: WithTables, values: dict[str, Any], reads: dict[str, tuple[str, str]]
    ) -> tuple[dict[str, Any], dict[str, tuple[str, str]]]:
        """Return the arguments without those that are tables, and where these are."""
        named = dict(values.get("op_kwargs", {}))
        found = dict(reads)
        for name, conn_id in function.connections.items():
            maker = named.pop(name).task
            found[name] = (conn_id, self._models.name_of_table(maker))
        return {**values, "op_kwargs": named}, found

    def _check_given(self, signature: Signature) -> None:
        resources = self._flow.resources
        wanted = [n for n in signature.names if n in resources or n in signature.resource_types]
        if wanted:
            hint = "open it inside the function"
            raise NotInAirflow(f"Airflow gives no resource {wanted[0]!r}", hint=hint)

    def _context_parameters(self, function: Any) -> dict[str, str]:
        wanted = signature_of(function).context_parameters
        needed = {}
        for name, attribute in sorted(wanted.items()):
            is_annotated = not attribute and name not in ("ti", "task_instance")
            if name in _SAME_NAMES and not is_annotated:
                continue
            if attribute and attribute not in CONTEXT_NAMES:
                raise NotInAirflow(f"Airflow gives no {name!r} to a function")
            needed[name] = attribute
            if not attribute:
                self._check_context_use(function, name)
        return needed

    def _check_context_use(self, function: Any, name: str) -> None:
        try:
            text = inspect.getsource(
                inspect.unwrap(getattr(function, "loaded", lambda: function)())
            )
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
        path: Steps,
        params: dict[Steps, str],
        items: dict[Steps, tuple[Any, ...]],
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
