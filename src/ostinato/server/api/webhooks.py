"""This module takes messages that are to start runs: webhooks.

Whoever sends one proves who it is as the flow that listens wants it: by a secret that both know,
or, where there is none, by the server's token. The message is durable when it is answered.
"""

import asyncio
import hashlib
import hmac
import logging
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ostinato.client.flows import FlowDirectory
from ostinato.client.sensors import Sensors
from ostinato.errors import OstinatoError
from ostinato.model.event_source import Webhook
from ostinato.server.api.documents import Message
from ostinato.server.api.openapi import responses_of
from ostinato.server.api.operations import ROOT, read_json, read_limited
from ostinato.server.faults import Fault, Refused, answer_to

logger = logging.getLogger(__name__)

#: Path of the messages, below which the names of webhooks are.
EVENTS = f"{ROOT}/events"

#: Headers in which senders name a message, so that one that comes twice is one.
_ID_HEADERS = ("idempotency-key", "webhook-id", "x-github-delivery", "x-request-id")

#: Longest name of a message.
_MAX_ID_LENGTH = 500


#: As the OpenAPI document has it.
DESCRIPTION: dict[str, Any] = {
    f"{EVENTS}/{{name}}": {
        "post": {
            "operationId": "send_event",
            "summary": "Send a message to the flows that listen to a webhook.",
            "parameters": [
                {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}},
                *(
                    {"name": name, "in": "header", "schema": {"type": "string"}}
                    for name in ("Idempotency-Key", "X-Webhook-Token", "X-Hub-Signature-256")
                ),
            ],
            "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
            "responses": responses_of(Message, 202, refusals=(400, 401, 404, 408, 413, 503)),
        }
    }
}


class Webhooks:
    """Take messages for flows that listen to webhooks.

    Args:
        sensors: Keeps messages until their runs are there.
        flows: That are served.
        project: Name of the project.
        variable: Returns the value of a variable, where secrets are.
        has_token: Whether a caller has proved to know the server's token, or there is none.
    """

    def __init__(
        self,
        sensors: Sensors,
        flows: FlowDirectory,
        project: str,
        *,
        variable: Callable[[str], str],
        has_token: Callable[[Request], bool],
    ) -> None:
        self._sensors = sensors
        self._flows = flows
        self._project = project
        self._variable = variable
        self._has_token = has_token

    def routes(self) -> Iterable[BaseRoute]:
        """Return where messages are taken."""
        return [Route(f"{EVENTS}/{{name}}", self._answer, methods=["POST"], name="send_event")]

    async def _answer(self, request: Request) -> Response:
        try:
            body = await read_limited(request)
            message = await asyncio.to_thread(self._take, request, body)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is an answer too, and logged
            return answer_to(request, error)
        return Response(msgspec.json.encode(message), 202, media_type="application/json")

    def _take(self, request: Request, body: bytes) -> Message:
        webhook = self._webhook(request, body)
        read_json(body, Any)
        named = next((name for key in _ID_HEADERS if (name := request.headers.get(key))), "")
        message_id = named[:_MAX_ID_LENGTH] or uuid.uuid1().hex
        self._sensors.receive(self._project, webhook.label, message_id, body)
        return Message(message_id)

    def _webhook(self, request: Request, body: bytes) -> Webhook:
        """Return the webhook that a message is for, once its sender is known."""
        name = request.path_params["name"]
        found = [
            source
            for flow in self._flows.all()
            for source in flow.definition.on
            if isinstance(source, Webhook) and source.name == name
        ]
        may_pass = [each for each in found if self._is_sender(each, request, body)]
        if may_pass:
            return may_pass[0]
        if not found and self._has_token(request):
            message = f"no flow listens to the webhook {name!r}"
            raise Refused(Fault(404, "unknown-webhook", message))
        # A stranger does not learn which names there are.
        hint = "sign the message with the webhook's secret, or send the server's token"
        raise Refused(Fault(401, "unauthorized", "the sender is not known", hint))

    def _is_sender(self, webhook: Webhook, request: Request, body: bytes) -> bool:
        if not webhook.secret:
            return self._has_token(request)
        secret = self._secret(webhook)
        signature = request.headers.get("x-hub-signature-256", "")
        if signature:
            digest = hmac.new(secret, body, hashlib.sha256).hexdigest()
            return hmac.compare_digest(signature.encode(), f"sha256={digest}".encode())
        given = request.headers.get("x-webhook-token", "").encode("latin-1")
        return hmac.compare_digest(given, secret)

    def _secret(self, webhook: Webhook) -> bytes:
        try:
            return self._variable(webhook.secret).encode()
        except OstinatoError as error:
            logger.error("the secret of %s cannot be read: %s", webhook.label, error)
            fault = Fault(503, "no-secret", "the server lacks the secret of this webhook")
            raise Refused(fault) from None
