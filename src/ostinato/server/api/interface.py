"""This module puts the interface together."""

from collections.abc import Iterable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ostinato.client.flows import FlowDirectory
from ostinato.client.protocol import Client
from ostinato.server.api.event_stream import EventStreams
from ostinato.server.api.flow_operations import FlowOperations
from ostinato.server.api.openapi import openapi_document
from ostinato.server.api.operations import ROOT, Operation, routes_of
from ostinato.server.api.run_operations import RunOperations


def interface_routes(client: Client, flows: FlowDirectory, version: str) -> list[BaseRoute]:
    """Return the routes of the whole interface.

    Args:
        client: Asks the store.
        flows: That are served.
        version: Of Ostinato.
    """
    operations = list(all_operations(client, flows))
    streams = EventStreams(client)
    document = msgspec.json.encode(openapi_document(operations, version))

    async def describe(_request: Request) -> Response:
        return Response(document, media_type="application/json")

    # The stream's path is longer than those of the operations that begin as it does.
    return [
        Route(f"{ROOT}/openapi.json", describe, name="openapi"),
        *streams.routes(),
        *routes_of(operations),
    ]


def all_operations(client: Client, flows: FlowDirectory) -> Iterable[Operation]:
    """Yield the operations of the interface."""
    yield from FlowOperations(flows).operations()
    yield from RunOperations(client).operations()
