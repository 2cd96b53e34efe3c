"""This module answers HTTP connections in the thread that calls it, by uvicorn.

A client that is slow holds nobody up: it has a connection of its own, which is closed when the
head of a request does not come in time; what is written to it waits in this process only up to
a limit.
"""

import asyncio
import logging
import os
import socket
from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import Server

#: Connections at a time; more are told to come again.
MAX_CONNECTIONS = 500

#: Threads that ask the store.
MAX_THREADS = 8

#: Seconds in which the head of a request must have come.
HEAD_TIMEOUT_S = 30.0

#: Seconds that an idle connection is kept open.
KEEP_ALIVE_S = 30

#: Seconds that answers get to be finished, when the server ends.
GRACE_S = 5


def answer_connections(
    app: Starlette, listener: socket.socket, wake: int, *, stop_word: bytes
) -> None:
    """Answer until something comes from a pipe.

    Args:
        app: Answers requests.
        listener: A socket that listens; it is closed in the end.
        wake: The pipe, which does not block.
        stop_word: What comes when nothing is to be finished.
    """
    # It tells of its start and its end, at the first request and once more at the end.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    config = Config(
        app,
        loop="asyncio",
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    asyncio.run(_Server(config, app, wake, stop_word).serve(sockets=[listener]))


class _Server(Server):
    """Wakes when it is told to end, where the original looks ten times a second.

    Args:
        config: Of the server.
        app: Whose ``state.ending`` is set when it is to end.
        wake: The pipe by which it is told.
        stop_word: What comes when nothing is to be finished.
    """

    def __init__(self, config: Config, app: Starlette, wake: int, stop_word: bytes) -> None:
        super().__init__(config)
        self._app = app
        self._wake = wake
        self._stop_word = stop_word

    async def main_loop(self) -> None:
        """Wait until the server is to end."""
        ending: asyncio.Event = self._app.state.ending
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="server"))
        loop.add_reader(self._wake, self._take_word)
        await ending.wait()

    def _take_word(self) -> None:
        self.should_exit = True
        if self._stop_word in os.read(self._wake, 64):
            self.force_exit = True
        self._app.state.ending.set()


class _Protocol(H11Protocol):
    """Closes a connection on which nothing is asked."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the original
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_head()

    def _expect_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(HEAD_TIMEOUT_S, self._close_if_idle)

    def _close_if_idle(self) -> None:
        # None until the first request has come.
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self.transport.close()
