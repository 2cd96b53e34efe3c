"""This module decides who may ask."""

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from ostinato.server.faults import Fault, fault_response

#: Paths that need no token: load balancers and supervisors have none.
_OPEN = ("/health/live", "/health/ready")

#: Where messages come that prove their senders in ways of their own; see ``api.webhooks``.
_MESSAGES = "/api/v1/events/"


def knows_token(headers: Headers, token: str) -> bool:
    """Whether a request has the server's token, or there is none.

    Args:
        headers: Of the request.
        token: Of the server; empty for none.
    """
    given = headers.get("authorization", "").encode("latin-1")
    return not token or hmac.compare_digest(given, f"Bearer {token}".encode())


class Gate:
    """Lets in whoever has the token; without one, whoever does not come from a foreign page.

    A page of any site that a browser shows can send requests to a server on this machine. It
    says so by ``Origin``, and one that came by a name of its own (DNS rebinding) by ``Host``.

    Args:
        app: What is behind it.
        token: What callers must send; empty for none.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and (fault := self._fault(HTTPConnection(scope))) is not None:
            await fault_response(fault)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _fault(self, request: HTTPConnection) -> Fault | None:
        if self._token:
            if _is_open(request) or knows_token(request.headers, self._token):
                return None
            hint = "send the server's token as Authorization: Bearer TOKEN"
            return Fault(401, "unauthorized", "the token is missing or wrong", hint)
        host = request.headers.get("host", "")
        if not is_local(host):
            hint = "without a token the server is reached as localhost"
            return Fault(403, "forbidden", f"requests for host {host!r} are refused", hint)
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            message = f"requests from pages of {origin!r} are refused"
            return Fault(403, "forbidden", message, "set a token, and send it")
        return None


def is_local(host: str) -> bool:
    """Whether a ``Host`` header names this machine from inside.

    >>> [is_local(host) for host in ("localhost:4200", "127.0.0.1", "[::1]:4200", "evil.example")]
    [True, True, True, False]
    """
    name = urlsplit(f"//{host}").hostname or ""
    return name in ("localhost", "::1") or name.endswith(".localhost") or _is_loopback(name)


def _is_loopback(name: str) -> bool:
    parts = name.split(".")
    return parts[0] == "127" and len(parts) == 4 and all(part.isdigit() for part in parts)


def _is_open(request: HTTPConnection) -> bool:
    path = request.url.path
    is_message = path.startswith(_MESSAGES) and request.scope["method"] == "POST"
    return path in _OPEN or is_message
