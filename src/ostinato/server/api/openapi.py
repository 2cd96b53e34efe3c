"""This module writes the OpenAPI document of operations, version 3.1, from their types."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from ostinato.server.api.documents import Message, Problem
from ostinato.server.api.operations import ROOT, Operation, purpose_of

_NAME = re.compile(r"\{(\w+)\}")
_PLACE = "#/components/schemas/{name}"
_PROBLEM = {"application/json": {"schema": {"$ref": _PLACE.format(name="Problem")}}}

#: Refusals that each operation may answer with.
_ALWAYS = (400, 401, 403, 500, 503)


def openapi_document(
    operations: Iterable[Operation], version: str, others: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the document.

    Args:
        operations: All of the interface that are in its table.
        version: Of Ostinato.
        others: What describes itself, by path.
    """
    operations = list(operations)
    kinds: dict[type[Struct], None] = {Problem: None, Message: None}
    for each in operations:
        kinds.update(dict.fromkeys(kind for kind in (each.returns, each.body, each.query) if kind))
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_PLACE)
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        path = paths.setdefault(f"{ROOT}{each.path}", {})
        path[each.method.lower()] = _operation(each, schemas)
    for each in operations:
        if each.query is not None:
            schemas.pop(each.query.__name__, None)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ostinato", "version": version},
        "paths": {**paths, **others},
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _operation(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _NAME.findall(operation.path)
    ]
    if operation.query is not None:
        parameters += _query_parameters(schemas[operation.query.__name__])
    if operation.is_keyed:
        schema = {"type": "string", "maxLength": 500}
        parameters.append({"name": "Idempotency-Key", "in": "header", "schema": schema})
    refusals = [*_ALWAYS, *operation.refusals]
    if operation.body is not None:
        refusals += [408, 413, 415]
    found: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {
            **{str(status): _response(operation.returns) for status in operation.statuses},
            **refusals_of(refusals),
        },
    }
    if operation.body is not None:
        schema = {"$ref": _PLACE.format(name=operation.body.__name__)}
        found["requestBody"] = {
            "required": bool(schemas[operation.body.__name__].get("required")),
            "content": {"application/json": {"schema": schema}},
        }
    return found


def _query_parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": each}
        for name, each in schema["properties"].items()
    ]


def responses_of(kind: type[Struct], status: int, *, refusals: Iterable[int]) -> dict[str, Any]:
    """Return what an operation answers, by status.

    Args:
        kind: Of its document.
        status: When all is well.
        refusals: Otherwise.
    """
    return {str(status): _response(kind), **refusals_of(refusals)}


def refusals_of(statuses: Iterable[int]) -> dict[str, Any]:
    """Return what is answered otherwise, by status."""
    return {
        str(status): {"description": HTTPStatus(status).phrase, "content": _PROBLEM}
        for status in sorted(set(statuses))
    }


def _response(kind: type[Struct]) -> dict[str, Any]:
    schema = {"$ref": _PLACE.format(name=kind.__name__)}
    return {
        "description": purpose_of(kind),
        "content": {"application/json": {"schema": schema}},
    }
