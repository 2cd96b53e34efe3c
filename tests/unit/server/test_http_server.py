import socket
import subprocess
import sys
import threading
from collections.abc import Iterable

import pytest

from ostinato.errors import UsageError
from ostinato.model.health import PartHealth
from ostinato.model.measure import Measure, gauge
from ostinato.server.http_server import Address, HttpServer
from tests.unit.server.conftest import Serve


class Part:
    def measures(self) -> Iterable[Measure]:
        return [gauge("live_runs", "Runs that go on.", {(): 3})]


def server_on(**address: object) -> HttpServer:
    return HttpServer(Address(**address), health=dict)  # type: ignore[arg-type]  # of the test's own


def test_health_tells_of_each_part(serve: Serve) -> None:
    parts = {"worker": PartHealth(), "scheduler": PartHealth(is_ready=False, detail="stands by")}
    with serve(health=lambda: parts) as client:
        live, ready = client.get("/health/live"), client.get("/health/ready")

    assert (live.status_code, ready.status_code) == (200, 503)
    assert live.json()["status"] == "ok"
    assert ready.json()["parts"]["scheduler"] == {
        "is_live": True,
        "is_ready": False,
        "detail": "stands by",
    }


def test_who_opens_the_address_sees_what_is_served(serve: Serve) -> None:
    with serve() as client:
        answer = client.get("/")

    assert answer.status_code == 200
    assert answer.text.startswith("Ostinato\n")
    assert {"/health/ready", "/metrics"} <= {*answer.text.splitlines()}


def test_store_that_is_away_is_no_reason_to_start_again(serve: Serve) -> None:
    away = PartHealth(is_ready=False, detail="the store of db.local cannot be reached")
    with serve(probes={"store": lambda: away}, token="s3cret") as client:
        live, ready = client.get("/health/live"), client.get("/health/ready")
        told = client.get("/health/ready", headers={"authorization": "Bearer s3cret"})

    assert (live.status_code, ready.status_code) == (200, 503)
    assert ready.json()["parts"]["store"]["detail"] == ""
    assert told.json()["parts"]["store"]["detail"] == away.detail


def test_metrics_are_those_of_the_parts(serve: Serve) -> None:
    with serve(measured=[Part()]) as client:
        answer = client.get("/metrics")

    assert "ostinato_live_runs 3" in answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_token_is_asked_for_except_for_health(serve: Serve) -> None:
    with serve(token="s3cret") as client:
        refused = client.get("/metrics")
        wrong = client.get("/metrics", headers={"authorization": "Bearer other"})
        right = client.get("/metrics", headers={"authorization": "Bearer s3cret"})
        health = client.get("/health/live")

    assert [refused.status_code, wrong.status_code] == [401, 401]
    assert refused.json()["code"] == "unauthorized"
    assert refused.headers["www-authenticate"] == "Bearer"
    assert [right.status_code, health.status_code] == [200, 200]


@pytest.mark.parametrize(
    "headers", [{"host": "evil.example"}, {"origin": "http://evil.example"}], ids=["host", "origin"]
)
def test_pages_of_other_sites_are_refused_without_a_token(
    serve: Serve, headers: dict[str, str]
) -> None:
    with serve() as client:
        answer = client.get("/metrics", headers=headers)

    assert answer.status_code == 403
    assert answer.json()["code"] == "forbidden"


def test_unknown_path_is_answered_as_data(serve: Serve) -> None:
    with serve() as client:
        answer = client.get("/nothing")

    assert answer.status_code == 404
    assert answer.json() == {
        "code": "not-found",
        "message": "there is nothing at this path",
        "hint": "",
    }


def test_what_is_not_foreseen_is_answered_as_data(serve: Serve) -> None:
    class Broken:
        def measures(self) -> Iterable[Measure]:
            raise ZeroDivisionError

    with serve(measured=[Broken()]) as client:
        answer = client.get("/metrics")

    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"


def test_port_in_use_is_a_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(UsageError) as refused:
            server_on(port=port)

    assert f"port {port} of 127.0.0.1 is in use" in str(refused.value)
    assert "--port" in refused.value.hint


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_address_that_others_reach_needs_a_token(host: str) -> None:
    with pytest.raises(UsageError, match="no token"):
        server_on(host=host, port=0)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7"])
def test_address_of_no_machine_is_a_clear_error(host: str) -> None:
    with pytest.raises(UsageError, match=r"no host|no address"):
        server_on(host=host, port=0, token="s3cret")


@pytest.mark.parametrize("end", [HttpServer.drain, HttpServer.stop])
def test_server_ends_though_nobody_ever_asked_anything(end: object) -> None:
    server = server_on(port=0)
    thread = threading.Thread(target=server.serve)
    thread.start()

    end(server)  # type: ignore[operator]  # one of two methods
    thread.join(timeout=60)

    assert not thread.is_alive()
    assert not server.health().is_live


def test_libraries_come_with_the_first_connection() -> None:
    code = (
        "import sys, threading\n"
        "from ostinato.server.http_server import Address, HttpServer\n"
        "server = HttpServer(Address(port=0), health=dict)\n"
        "thread = threading.Thread(target=server.serve); thread.start()\n"
        "loaded = {'asyncio', 'starlette', 'uvicorn', 'ssl'} & set(sys.modules)\n"
        "server.stop(); thread.join(); print(sorted(loaded))\n"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout == "[]\n"


def test_connection_that_says_nothing_holds_nobody_up(serve: Serve) -> None:
    with serve() as client:
        url = client.base_url
        with socket.create_connection((url.host, url.port)) as silent:
            silent.sendall(b"GET /health/live HT")

            answer = client.get("/health/live")

    assert answer.status_code == 200
