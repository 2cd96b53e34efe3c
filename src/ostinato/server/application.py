"""This module is the application: who may ask, what goes wrong, health and metrics."""

import asyncio
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import urlsplit

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ostinato.errors import OstinatoError
from ostinato.model.health import PartHealth
from ostinato.model.measure import Measured
from ostinato.server.exposition import CONTENT_TYPE, exposition
from ostinato.server.faults import Fault, answer_to, fault_of, fault_response

#: Paths that need no token: load balancers and supervisors have none.
_OPEN = ("/health/live", "/health/ready")

#: Seconds in which the parts must have said how they are.
HEALTH_TIMEOUT_S = 5.0

#: Code and sentence of what the router refuses.
_REFUSALS = {
    404: ("not-found", "there is nothing at this path"),
    405: ("method-not-allowed", "this path is not for this method"),
}


def application(
    *,
    health: Callable[[], Mapping[str, PartHealth]],
    measured: Sequence[Measured],
    routes: Iterable[BaseRoute],
    token: str,
) -> Starlette:
    """Return what answers requests.

    Args:
        health: Returns how the parts of the process are, by name.
        measured: What ``/metrics`` shows.
        routes: What is answered beside health and metrics.
        token: What callers must send; empty for none.
    """

    async def live(_request: Request) -> Response:
        return _health_response(health(), lambda part: part.is_live)

    async def ready(_request: Request) -> Response:
        try:
            # Some parts ask the store, which may take its time.
            async with asyncio.timeout(HEALTH_TIMEOUT_S):
                parts = await asyncio.to_thread(health)
        except TimeoutError:
            detail = f"did not answer in {HEALTH_TIMEOUT_S:g} seconds"
            parts = {"server": PartHealth(is_ready=False, detail=detail)}
        return _health_response(parts, lambda part: part.is_live and part.is_ready)

    async def metrics(_request: Request) -> Response:
        return Response(await asyncio.to_thread(_metrics, measured), media_type=CONTENT_TYPE)

    app = Starlette(
        routes=[
            Route("/health/live", live),
            Route("/health/ready", ready),
            Route("/metrics", metrics),
            *routes,
        ],
        middleware=[Middleware(_Gate, token=token)],
        exception_handlers={
            HTTPException: _refused,
            OstinatoError: answer_to,
            # Uvicorn logs it.
            Exception: lambda _request, error: fault_response(fault_of(error)),
        },
    )
    app.state.ending = asyncio.Event()
    return app


def _metrics(measured: Sequence[Measured]) -> str:
    return exposition(measure for part in measured for measure in part.measures())


class _Gate:
    """Lets in whoever has the token; without one, whoever does not come from a foreign page.

    A page of any site that a browser shows can send requests to a server on this machine. It
    says so by ``Origin``, and one that came by a name of its own (DNS rebinding) by ``Host``.

    Args:
        app: What is behind it.
        token: What callers must send; empty for none.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode() if token else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and (fault := self._fault(HTTPConnection(scope))) is not None:
            await fault_response(fault)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _fault(self, request: HTTPConnection) -> Fault | None:
        if self._expected:
            given = request.headers.get("authorization", "").encode("latin-1")
            if request.url.path in _OPEN or hmac.compare_digest(given, self._expected):
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


def _health_response(
    parts: Mapping[str, PartHealth], is_good: Callable[[PartHealth], bool]
) -> Response:
    is_well = all(map(is_good, parts.values()))
    document = {"status": "ok" if is_well else "failing", "parts": parts}
    return Response(
        msgspec.json.encode(document), 200 if is_well else 503, media_type="application/json"
    )


def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, message = _REFUSALS.get(error.status_code, ("refused", error.detail))
    return fault_response(Fault(error.status_code, code, message), headers=error.headers)
