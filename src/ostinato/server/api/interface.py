"""This module puts the interface together."""

from collections.abc import Callable, Iterable

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ostinato.client.flows import FlowDirectory
from ostinato.client.local import LocalClient
from ostinato.server.api import event_stream, webhooks
from ostinato.server.api.flow_operations import FlowOperations
from ostinato.server.api.openapi import openapi_document
from ostinato.server.api.operations import ROOT, Operation, routes_of
from ostinato.server.api.run_operations import RunOperations
from ostinato.server.api.schedule_operations import ScheduleOperations
from ostinato.server.api.sensor_operations import SensorOperations
from ostinato.server.callers import knows_token


class Access(Struct, frozen=True):
    """What the interface reaches.

    Attributes:
        client: Asks the store.
        flows: That are served.
        project: Name of the project.
        variable: Returns the value of a variable, where the secrets of webhooks are.
        token: Of the server; empty for none.
        version: Of Ostinato.
    """

    client: LocalClient
    flows: FlowDirectory
    project: str
    variable: Callable[[str], str]
    token: str = ""
    version: str = ""


def interface_routes(access: Access) -> list[BaseRoute]:
    """Return the routes of the whole interface."""
    operations = list(all_operations(access))
    others = event_stream.DESCRIPTION | webhooks.DESCRIPTION
    document = msgspec.json.encode(openapi_document(operations, access.version, others))

    async def describe(_request: Request) -> Response:
        return Response(document, media_type="application/json")

    def has_token(request: Request) -> bool:
        return knows_token(request.headers, access.token)

    messages = webhooks.Webhooks(
        access.client.sensors,
        access.flows,
        access.project,
        variable=access.variable,
        has_token=has_token,
    )
    return [
        Route(f"{ROOT}/openapi.json", describe, name="openapi"),
        *event_stream.EventStreams(access.client).routes(),
        *messages.routes(),
        *routes_of(operations),
    ]


def all_operations(access: Access) -> Iterable[Operation]:
    """Yield the operations of the interface."""
    client, flows = access.client, access.flows
    yield from FlowOperations(flows).operations()
    yield from RunOperations(client).operations()
    yield from ScheduleOperations(client.schedules, flows, access.project).operations()
    yield from SensorOperations(client.sensors, access.project).operations()
