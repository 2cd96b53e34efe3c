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
from ostinato.server.callers import Gate, knows_token
from ostinato.server.exposition import CONTENT_TYPE, exposition
from ostinato.server.faults import Fault, answer_to, fault_of, fault_response

#: Seconds in which what the parts need must have answered.
PROBE_TIMEOUT_S = 5.0

Probe = Callable[[], PartHealth]

#: Code and sentence of what the router refuses.
_REFUSALS = {
    404: ("not-found", "there is nothing at this path"),
    405: ("method-not-allowed", "this path is not for this method"),
}


def application(
    *,
    health: Callable[[], Mapping[str, PartHealth]],
    probes: Mapping[str, Probe],
    measured: Sequence[Measured],
    routes: Iterable[BaseRoute],
    token: str,
) -> Starlette:
    """Return what answers requests.

    Args:
        health: Returns at once how the parts of the process are, by name.
        probes: Find out how what they need is, by name, which may take its time.
        measured: What ``/metrics`` shows.
        routes: What is answered beside health and metrics.
        token: What callers must send; empty for none.
    """

    def may_know(request: Request) -> bool:
        return knows_token(request.headers, token)

    async def live(request: Request) -> Response:
        # It asks nobody who could hang: a store that is away is no reason to start again.
        return _health_response(health(), lambda part: part.is_live, may_know(request))

    async def ready(request: Request) -> Response:
        parts = {**health(), **await _probed(probes)}
        return _health_response(
            parts, lambda part: part.is_live and part.is_ready, may_know(request)
        )

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


async def _probed(probes: Mapping[str, Probe]) -> dict[str, PartHealth]:
    found: dict[str, PartHealth] = {}
    for name, probe in probes.items():
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                found[name] = await asyncio.to_thread(probe)
        except TimeoutError:
            detail = f"did not answer in {PROBE_TIMEOUT_S:g} seconds"
            found[name] = PartHealth(is_ready=False, detail=detail)
    return found


def _metrics(measured: Sequence[Measured]) -> str:
    return exposition(measure for part in measured for measure in part.measures())


def _health_response(
    parts: Mapping[str, PartHealth],
    is_good: Callable[[PartHealth], bool],
    may_know: bool,  # noqa: FBT001 - whether the caller may read what the matter is
) -> Response:
    is_well = all(map(is_good, parts.values()))
    if not may_know:
        # It names hosts and files.
        parts = {name: PartHealth(part.is_live, part.is_ready) for name, part in parts.items()}
    document = {"status": "ok" if is_well else "failing", "parts": parts}
    return Response(
        msgspec.json.encode(document), 200 if is_well else 503, media_type="application/json"
    )


def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, message = _REFUSALS.get(error.status_code, ("refused", error.detail))
    return fault_response(Fault(error.status_code, code, message), headers=error.headers)
