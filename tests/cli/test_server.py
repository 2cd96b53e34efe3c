"""This module tests the server as people start it."""

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import httpx
import pytest

from tests.cli.conftest import TIMEOUT_S, Ostinato

pytestmark = pytest.mark.slow


ETL = """
from ostinato import dag, task

@task
def load():
    pass

@dag
def etl():
    load()

etl()
"""


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

    ready = httpx.get(f"{url}/health/ready", timeout=TIMEOUT_S)
    runs = httpx.get(f"{url}/api/v1/runs", timeout=TIMEOUT_S)
    process.send_signal(signal.SIGTERM)

    assert process.wait(TIMEOUT_S) == 0
    assert set(ready.json()["parts"]) == {"server", "store"}
    assert runs.json() == {"items": [], "next_cursor": ""}


def test_metrics_of_a_server_are_those_of_the_service(
    server: tuple["Popen[str]", str], ostinato: Ostinato, shop: Path
) -> None:
    (shop / "flows").mkdir()
    (shop / "flows" / "etl.py").write_text(ETL)
    ostinato("trigger", "etl")

    text = httpx.get(f"{server[1]}/metrics", timeout=TIMEOUT_S).text

    assert 'ostinato_waiting_runs{flow="etl"} 1\n' in text


def test_worker_shows_health_and_metrics(
    shop: Path, begin: Callable[..., "Popen[str]"], ostinato: Ostinato
) -> None:
    (shop / "flows").mkdir()
    (shop / "flows" / "etl.py").write_text(ETL)
    (shop / "ostinato.yaml").write_text("name: shop\npools: {dw: 2}\n")
    worker = begin("worker", "--port", "0", "--log-format", "json")
    assert worker.stderr is not None
    url = json.loads(worker.stderr.readline())["url"]
    log = ""
    try:
        ostinato("trigger", "etl", "--wait")
        metrics = httpx.get(f"{url}/metrics", timeout=TIMEOUT_S).text
        ready = httpx.get(f"{url}/health/ready", timeout=TIMEOUT_S).json()
    finally:
        worker.terminate()
        _, log = worker.communicate(timeout=TIMEOUT_S)

    lines = [json.loads(line) for line in log.splitlines()]
    (ended,) = (line for line in lines if line["message"] == "run succeeded")
    assert (ended["run"], ended["level"], ended["trigger"]) == ("etl#1", "info", "manual")
    assert ended["run_id"].isdigit()
    assert 'ostinato_task_runs_ended_total{flow="etl",state="succeeded"} 1\n' in metrics
    assert "ostinato_queue_delay_seconds_count 1\n" in metrics
    assert 'ostinato_pool_slots{pool="dw"} 2\n' in metrics
    assert ready["parts"]["worker"]["is_ready"]


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
