"""A real server on a port of its own, in a thread."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx
import pytest

from ostinato.model.health import PartHealth
from ostinato.server.http_server import Address, HttpServer

Serve = Callable[..., AbstractContextManager[httpx.Client]]


@contextmanager
def serving(**arguments: Any) -> Iterator[httpx.Client]:
    token = arguments.pop("token", "")
    arguments.setdefault("health", lambda: {"worker": PartHealth()})
    server = HttpServer(Address(port=0, token=token), **arguments)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            yield client
    finally:
        server.stop()
        thread.join()


@pytest.fixture
def serve() -> Serve:
    """Serve what the arguments of ``HttpServer`` say, and give a client of it."""
    return serving
