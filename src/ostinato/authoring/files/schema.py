"""This module writes what front matter and METADATA.yml may hold as JSON Schema, for editors."""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ostinato.authoring.files.keys.key import FLOW, GROUP, TASK, Key
from ostinato.authoring.files.keys.known import keys_in
from ostinato.authoring.files.operator_names.resolution import (
    LOCAL,
    OperatorNames,
    short_names,
    snake_case,
)
from ostinato.authoring.operators.operator import Operator, own_arguments

#: The draft that editors of YAML follow.
DRAFT = "http://json-schema.org/draft-07/schema#"

Schema = dict[str, Any]

#: One argument in the section ``Args`` of a docstring, with what is said of it.
_ARGUMENT = re.compile(r"^ {4}(\w+(?:, \w+)*): (.*(?:\n {8}.*)*)", re.MULTILINE)


def task_schema(names: OperatorNames) -> Schema:
    """Return the schema of a task's front matter.

    A key that neither tasks nor the operator know is refused, where the operator is a built-in
    one or one of the project.

    Args:
        names: Finds operators, those of the project too.
    """
    keys = keys_in(TASK)
    operators = {**_built_in(names), **_local(names)}
    known = sorted({name for several in operators.values() for name in several.names})
    properties = {name: _of_key(key) for name, key in keys.items()}
    properties["operator"] = {
        "description": keys["operator"].doc,
        "anyOf": [{"enum": known}, {"type": "string", "pattern": r"^\w+(\.\w+)+$"}],
    }
    return {
        "$schema": DRAFT,
        "title": "A task of a folder of files",
        "type": "object",
        "properties": properties,
        "allOf": [_if_operator(operator, list(keys)) for operator in operators.values()],
    }


def metadata_schema() -> Schema:
    """Return the schema of METADATA.yml, of a flow's own folder and of those beneath."""
    properties: dict[str, Schema] = {}
    for scope, where in ((FLOW, "a flow's own folder"), (GROUP, "folders beneath a flow's")):
        for name, key in keys_in(scope).items():
            schema = {**_of_key(key), "description": f"In {where}: {key.doc}"}
            before = properties.get(name)
            if before is None:
                properties[name] = schema
            elif before["description"].endswith(key.doc):
                before["description"] = key.doc
            else:
                before["description"] += f" {schema['description']}"
                before.update({"anyOf": [_bare(before), _bare(schema)]})
    return {
        "$schema": DRAFT,
        "title": "METADATA.yml of a folder of files",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


class _Known(NamedTuple):
    """An operator as editors need to know it.

    Attributes:
        names: By which files may call it.
        arguments: What is said of each of its own arguments.
    """

    names: list[str]
    arguments: Mapping[str, str]


def _if_operator(operator: _Known, keys: list[str]) -> Schema:
    properties = {
        name: {"description": doc} if doc else {}
        for name, doc in operator.arguments.items()
        if name not in keys
    }
    return {
        "if": {"properties": {"operator": {"enum": operator.names}}, "required": ["operator"]},
        "then": {
            "properties": properties,
            "propertyNames": {"enum": [*keys, *properties]},
        },
    }


def _built_in(names: OperatorNames) -> dict[str, _Known]:
    several: dict[str, list[str]] = {}
    for short, name in short_names().items():
        several.setdefault(name, [name]).append(short)
    found: dict[str, _Known] = {}
    for name, spellings in sorted(several.items()):
        operator = names.find(name)
        if not isinstance(operator, type) or not issubclass(operator, Operator):
            continue  # pragma: no cover - all of the catalogue are
        own = sorted(own_arguments(operator) - {"task_id", "dag", "task_group"})
        said = _arguments_of(operator)
        found[name] = _Known(sorted(spellings), {each: said.get(each, "") for each in own})
    return found


def _local(names: OperatorNames) -> dict[str, _Known]:
    """Return the operators of the project, read without importing them."""
    found: dict[str, _Known] = {}
    for module, path in names.local_names().items():
        try:
            with open(path, encoding="utf-8") as file:
                tree = ast.parse(file.read())
        except (OSError, SyntaxError, ValueError):
            # An editor goes on without it; `ostinato check` says what is wrong.
            continue
        for node in tree.body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef):
                continue
            if snake_case(node.name) == module:
                said = _said_of(ast.get_docstring(node) or "")
                arguments = {name: said.get(name, "") for name in _parameters(node)}
                name = f"{LOCAL}.{node.name}"
                found[name] = _Known([name], arguments)
    return found


def _parameters(node: ast.ClassDef | ast.FunctionDef) -> Iterator[str]:
    functions = [
        each
        for each in (node.body if isinstance(node, ast.ClassDef) else [node])
        if isinstance(each, ast.FunctionDef) and each.name in ("__init__", node.name)
    ]
    for function in functions:
        arguments = function.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            if argument.arg not in ("self", "task_id", "dag", "task_group"):
                yield argument.arg


def _arguments_of(operator: type[Operator]) -> dict[str, str]:
    """Return what the docstrings of a class and of those that it is made from say."""
    said: dict[str, str] = {}
    for kind in reversed(operator.__mro__):
        if issubclass(kind, Operator):
            said.update(_said_of(inspect.cleandoc(kind.__doc__ or "")))
    return said


def _said_of(docstring: str) -> dict[str, str]:
    arguments = docstring.partition("\nArgs:\n")[2].partition("\n\n")[0]
    return {
        name: " ".join(text.split())
        for names, text in _ARGUMENT.findall(arguments)
        for name in names.split(", ")
    }


def _of_key(key: Key) -> Schema:
    schema: Schema = {"description": key.doc}
    # Any value may be a template, which is a text.
    kind = dict(key.kind.schema)
    if kind and kind.get("type") != "string":
        template = {"type": "string", "pattern": r"\{[{%]"}
        schema["anyOf"] = [kind, template, {"type": "null"}]
    elif kind:
        schema["type"] = ["string", "null"]
    return schema


def _bare(schema: Schema) -> Schema:
    return {name: value for name, value in schema.items() if name != "description"}
