"""This module is the application: who may ask, what goes wrong, health and metrics."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ostinato.errors import OstinatoError
from ostinato.model.health import PartHealth
from ostinato.model.measure import Measured
from ostinato.server.callers import Gate
from ostinato.server.exposition import CONTENT_TYPE, exposition
from ostinato.server.faults import Fault, answer_to, fault_of, fault_response

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

    served = [
        Route("/health/live", live),
        Route("/health/ready", ready),
        Route("/metrics", metrics),
        *routes,
    ]
    paths = [route.path for route in served if isinstance(route, Route)]

    async def index(_request: Request) -> Response:
        return Response("\n".join(["Ostinato", "", *paths, ""]), media_type="text/plain")

    app = Starlette(
        routes=[Route("/", index), *served],
        middleware=[Middleware(Gate, token=token)],
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
