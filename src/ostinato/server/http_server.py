"""This module is the part of a service that listens: health, metrics, and what else it is given.

Whoever never gets a request pays for a socket and a sleeping thread: the event loop and its
libraries are imported when the first connection comes.
"""

import errno
import ipaddress
import os
import select
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec import Struct

from ostinato.errors import UsageError
from ostinato.model.health import PartHealth
from ostinato.model.measure import Measured

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.routing import BaseRoute

#: Where ``ostinato dev`` and ``ostinato server`` listen.
HOST = "127.0.0.1"
PORT = 4200

_BACKLOG = 512

#: What is written to the pipe that wakes the thread.
_DRAIN, _STOP = b"d", b"s"


class Address(Struct, frozen=True):
    """Where to listen.

    Attributes:
        host: Name or address.
        port: 0 for any that is free.
        token: What callers must send as ``Authorization: Bearer``; empty for none.
    """

    host: str = HOST
    port: int = PORT
    token: str = ""


class HttpServer:
    """Listen and answer; a part of a service.

    Args:
        address: Where to listen.
        health: Returns at once how the parts of the process are, by name.
        probes: Find out how what they need is, by name; asked for readiness.
        measured: What ``/metrics`` shows.
        routes: What is answered beside health and metrics; called with the first request.

    Raises:
        UsageError: The port is in use, the address is not of this machine, or it can be reached
            from outside and there is no token.
    """

    #: Names it in logs and in health.
    name = "server"

    def __init__(
        self,
        address: Address,
        *,
        health: Callable[[], Mapping[str, PartHealth]],
        probes: Mapping[str, Callable[[], PartHealth]] = MappingProxyType({}),
        measured: Sequence[Measured] = (),
        routes: Callable[[], "Iterable[BaseRoute]"] = tuple,
    ) -> None:
        self._address = address
        self._health = health
        self._probes = probes
        self._measured = measured
        self._routes = routes
        self._is_ending = False
        self._has_ended = False
        self._socket = listen(address)
        self._wake_in, self._wake_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    @property
    def url(self) -> str:
        """Where it is reached."""
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def serve(self) -> None:
        """Answer until it is told to end."""
        try:
            watched = [self._socket.fileno(), self._wake_in]
            ready, _, _ = select.select(watched, [], [])
            if self._wake_in in ready:
                return
            from ostinato.server.connections import answer_connections

            app = self._application()
            answer_connections(app, self._socket, self._wake_in, stop_word=_STOP)
        finally:
            self._has_ended = True
            self._socket.close()

    def drain(self) -> None:
        """Have it finish what it answers, and take no more connections."""
        self._end(_DRAIN)

    def stop(self) -> None:
        """Have it end at once."""
        self._end(_STOP)

    def health(self) -> PartHealth:
        """Return how it is."""
        if self._is_ending:
            return PartHealth(is_live=not self._has_ended, is_ready=False, detail="is ending")
        return PartHealth(is_live=not self._has_ended)

    def _end(self, how: bytes) -> None:
        self._is_ending = True
        try:
            os.write(self._wake_out, how)
        except BlockingIOError:
            # The pipe is full of what was said before.
            return

    def _application(self) -> "Starlette":
        from ostinato.server.application import application

        return application(
            health=self._health,
            probes=self._probes,
            measured=self._measured,
            routes=self._routes(),
            token=self._address.token,
        )


def listen(address: Address) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UsageError: It cannot, or must not.
    """
    host, port = address.host, address.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        hint = "use 127.0.0.1, or 0.0.0.0 for all addresses of this machine"
        raise UsageError(f"there is no host {host!r}", hint=hint) from None
    # Of the two that localhost has, most callers try the older one first.
    family, _, _, _, where = min(found, key=lambda one: one[0] != socket.AF_INET)
    if not address.token and not ipaddress.ip_address(where[0]).is_loopback:
        message = f"whoever reaches {host} could start runs, for there is no token"
        hint = "set OSTINATO_SERVER__TOKEN, or listen on 127.0.0.1"
        raise UsageError(message, hint=hint)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A server that was killed may be started again at once.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(_BACKLOG)
        listener.settimeout(0)
    except OSError as error:
        listener.close()
        raise _cannot_listen(address, error) from None
    return listener


def _cannot_listen(address: Address, error: OSError) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        message = f"port {address.port} of {address.host} is in use by another process"
        return UsageError(message, hint="end that process, or use --port N")
    if error.errno == errno.EACCES:
        message = f"port {address.port} may be used by root alone"
        return UsageError(message, hint="use a port from 1024 on")
    if error.errno == errno.EADDRNOTAVAIL:
        return UsageError(f"{address.host} is no address of this machine", hint="use 127.0.0.1")
    reason = (error.strerror or str(error)).lower()
    return UsageError(f"cannot listen on {address.host}:{address.port}: {reason}")
