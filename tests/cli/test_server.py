"""This module tests the server as people start it."""

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import httpx
import pytest

from tests.cli.conftest import TIMEOUT_S, Ostinato

pytestmark = pytest.mark.slow


@pytest.fixture
def shop(folder: Path) -> Path:
    """A project without flows."""
    (folder / "ostinato.yaml").write_text("version: 1\nname: shop\n")
    return folder


@pytest.fixture
def server(shop: Path, begin: Callable[..., "Popen[str]"]) -> Iterator[tuple["Popen[str]", str]]:
    """A server that goes on, and where it listens."""
    process = begin("server", "--port", "0")
    assert process.stderr is not None
    found = re.search(r"http://\S+:\d+", process.stderr.readline())
    assert found is not None
    yield process, found[0]
    process.terminate()
    process.communicate(timeout=TIMEOUT_S)


def test_server_answers_until_it_is_told_to_end(server: tuple["Popen[str]", str]) -> None:
    process, url = server

    ready = httpx.get(f"{url}/health/ready")
    runs = httpx.get(f"{url}/api/v1/runs")
    process.send_signal(signal.SIGTERM)

    assert process.wait(TIMEOUT_S) == 0
    assert set(ready.json()["parts"]) == {"server", "store"}
    assert runs.json() == {"items": [], "next_cursor": ""}


def test_port_in_use_is_one_line(server: tuple["Popen[str]", str], ostinato: Ostinato) -> None:
    port = server[1].rpartition(":")[2]

    second = ostinato("server", "--port", port, code=2)

    assert second.err == (
        f"error: port {port} of 127.0.0.1 is in use by another process "
        "(end that process, or use --port N)\n"
    )


def test_server_that_others_reach_needs_a_token(shop: Path, ostinato: Ostinato) -> None:
    refused = ostinato("server", "--host", "0.0.0.0", code=2)

    assert "OSTINATO_SERVER__TOKEN" in refused.err


def test_server_outside_of_projects_is_refused(ostinato: Ostinato) -> None:
    assert "ostinato init" in ostinato("server", code=2).err
