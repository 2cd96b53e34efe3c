"""This module streams the event log to whoever listens, as server-sent events.

A listener that was cut off goes on where it was, by ``Last-Event-ID``. One that reads slowly is
read for slowly: nothing is kept for it but its place.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from ostinato.client.protocol import Client
from ostinato.client.records import LoggedEvent
from ostinato.errors import StoreError
from ostinato.model.identity import RunId
from ostinato.server.api.documents import Cursor, event_document
from ostinato.server.api.documents import Request as Asked
from ostinato.server.api.openapi import refusals_of
from ostinato.server.api.operations import ROOT, read_query
from ostinato.server.api.run_operations import NEWEST
from ostinato.server.faults import Fault, Refused, answer_to

logger = logging.getLogger(__name__)

#: Listeners at a time.
MAX_STREAMS = 200

#: Events that are read at once.
PAGE = 500

#: Seconds between two looks at the end of the log, one for all listeners.
LOOK_EVERY_S = 0.2

#: Seconds of silence after which a comment is sent, so that nobody thinks the line is dead.
HEARTBEAT_S = 15.0

_encoder = msgspec.json.Encoder()


class StreamQuery(Asked, frozen=True):
    """Which events are streamed."""

    after: Cursor = NEWEST
    run: str = ""


#: As the OpenAPI document has it.
DESCRIPTION: dict[str, Any] = {
    f"{ROOT}/events/stream": {
        "get": {
            "operationId": "stream_events",
            "summary": "Stream what happens, as server-sent events whose data are events.",
            "parameters": [
                {"name": "after", "in": "query", "schema": {"type": "string", "default": NEWEST}},
                {"name": "run", "in": "query", "schema": {"type": "string"}},
                {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
            ],
            "responses": {
                "200": {
                    "description": "Events as they happen.",
                    "content": {"text/event-stream": {"schema": {"type": "string"}}},
                },
                **refusals_of((400, 401, 403, 404, 503)),
            },
        }
    }
}


class EventStreams:
    """Stream the event log.

    Args:
        client: Reads it.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._end = _EndOfLog(client)
        self._count = 0

    def routes(self) -> list[BaseRoute]:
        """Return where it is reached."""
        return [Route(f"{ROOT}/events/stream", self._answer, name="stream_events")]

    async def _answer(self, request: Request) -> Response:
        try:
            query: StreamQuery = read_query(request, StreamQuery)
            if self._count >= MAX_STREAMS:
                message = f"{MAX_STREAMS} streams are open"
                raise Refused(Fault(503, "too-many-streams", message, "come again later"))
            after = request.headers.get("last-event-id") or query.after
            cursor, run_id = await asyncio.to_thread(self._begin, after, query.run)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is an answer too, and logged
            return answer_to(request, error)
        lines = self._lines(cursor, run_id, request.app.state.ending)
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(lines, media_type="text/event-stream", headers=headers)

    def _begin(self, after: str, run: str) -> tuple[str, RunId | None]:
        run_id = self._client.run(run).id if run else None
        if after == NEWEST:
            return self._client.event_cursor(), run_id
        # A cursor that is none is told before the stream begins.
        self._client.events(after=after, run_id=run_id, limit=1)
        return after, run_id

    async def _lines(
        self, cursor: str, run_id: RunId | None, ending: asyncio.Event
    ) -> AsyncIterator[bytes]:
        self._count += 1
        try:
            yield b"retry: 2000\n\n"
            while not ending.is_set():
                seen = self._end.cursor
                found = await asyncio.to_thread(
                    self._client.events, after=cursor, run_id=run_id, limit=PAGE
                )
                if found:
                    cursor = found[-1].cursor
                    yield b"".join(map(_message, found))
                elif not await self._end.moves(seen, ending):
                    yield b": nothing for a while\n\n"
        except StoreError as error:
            # The line is closed; its listener comes back, with the last id that it has.
            logger.warning("a stream of events ends: %s", error)
        finally:
            self._count -= 1


class _EndOfLog:
    """Look where the event log ends, for as long as somebody waits for it to move."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting = 0
        self._looking: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        #: Where it ended at the last look; empty before the first.
        self.cursor = ""

    async def moves(self, seen: str, ending: asyncio.Event) -> bool:
        """Wait until the end is elsewhere than it was seen, and return whether it is.

        Args:
            seen: Where it was.
            ending: Ends the wait.
        """
        self._waiting += 1
        try:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look(ending))
            async with asyncio.timeout(HEARTBEAT_S):
                while self.cursor == seen and not self._looking.done():
                    await self._moved.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    async def _look(self, ending: asyncio.Event) -> None:
        while self._waiting and not ending.is_set():
            try:
                cursor = await asyncio.to_thread(self._client.event_cursor)
            except StoreError:
                # Those that wait read for themselves, and so find out.
                break
            if cursor != self.cursor:
                self.cursor = cursor
                self._tell()
            try:
                await asyncio.wait_for(ending.wait(), LOOK_EVERY_S)
            except TimeoutError:
                continue
        self.cursor = ""
        self._tell()

    def _tell(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


def _message(logged: LoggedEvent) -> bytes:
    document = event_document(logged)
    return (
        f"id: {document.cursor}\nevent: {document.type}\ndata: ".encode()
        + _encoder.encode(document)
        + b"\n\n"
    )
