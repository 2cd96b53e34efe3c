"""Hooks are found by the type of a connection, and those for HTTP and mail speak to servers."""

import socket
import sys
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from ostinato.authoring.hooks import Hook, SqlHook, hook_for
from ostinato.errors import InvalidConnection, MissingPackage, UsageError
from ostinato.model.connection import Connection

TYPES = ["dbapi", "duckdb", "generic", "http", "https", "postgres", "smtp", "sqlite"]


@pytest.mark.parametrize("conn_type", TYPES)
def test_each_type_has_a_hook_that_makes_no_connection(conn_type: str) -> None:
    connection = Connection(conn_id="c", conn_type=conn_type, host="nowhere.invalid")

    assert hook_for(connection).connection is connection


def test_unknown_type_is_an_error_with_a_guess() -> None:
    with pytest.raises(InvalidConnection) as caught:
        hook_for(Connection.from_uri("postgre://h", "shop"))

    assert str(caught.value) == (
        "connection 'shop' has the type 'postgre', which has no hook here"
        " (did you mean 'postgres'?)"
    )


def test_connection_without_a_type_is_an_error() -> None:
    with pytest.raises(InvalidConnection, match="connection 'c' has no type"):
        hook_for(Connection(conn_id="c"))


def test_hooks_without_a_test_say_so() -> None:
    with pytest.raises(UsageError, match="connections of type 'x' cannot be tested"):
        Hook(Connection(conn_type="x")).test()
    with pytest.raises(NotImplementedError, match="SqlHook does not say how"):
        SqlHook(Connection(conn_type="x")).open()


@pytest.mark.parametrize(
    ("uri", "module", "command"),
    [
        ("http://h", "httpx", "pip install 'ostinato[http]'"),
        ("duckdb://", "duckdb", "pip install 'ostinato[duckdb]'"),
        ("postgres://h", "psycopg", "pip install 'ostinato[postgres]'"),
    ],
)
def test_missing_package_is_an_error_with_the_command_that_installs_it(
    uri: str, module: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(MissingPackage) as caught:
        hook_for(Connection.from_uri(uri)).test()

    assert command in str(caught.value)


# HTTP


class Answers(BaseHTTPRequestHandler):
    """Answer with what the path asks for, and remember what came."""

    seen: ClassVar[list[tuple[str, str, dict[str, str]]]] = []

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        type(self).seen.append((self.command, self.path, headers))
        self.send_response(401 if "closed" in self.path else 404 if "gone" in self.path else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_POST = do_GET  # noqa: N815 - as http.server calls it

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def http_port() -> Iterator[int]:
    Answers.seen.clear()
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def http_hook(uri: str) -> Any:
    return hook_for(Connection.from_uri(uri, "api"))


def test_request_carries_address_login_and_headers(http_port: int) -> None:
    hook = http_hook(f"http://ann:pw@127.0.0.1:{http_port}/v1?X-Team=shop")

    answer = hook.request("POST", "orders", params={"a": 1}, json={})

    assert answer.text == "ok"
    method, path, headers = Answers.seen[0]
    assert (method, path) == ("POST", "/v1/orders?a=1")
    assert headers["x-team"] == "shop"
    assert headers["authorization"] == "Basic YW5uOnB3"


def test_password_alone_is_a_bearer_token(http_port: int) -> None:
    http_hook(f"http://:t0ken@127.0.0.1:{http_port}").request("GET")

    assert Answers.seen[0][2]["authorization"] == "Bearer t0ken"


@pytest.mark.parametrize(
    ("uri", "base_url"),
    [
        ("http://h", "http://h"),
        ("https://h:8443/v1", "https://h:8443/v1"),
        ("http://https://h", "https://h"),
        ("http://h/https", "https://h"),
        ("http://[::1]:99", "http://[::1]:99"),
    ],
)
def test_address_is_put_together_as_airflow_does(uri: str, base_url: str) -> None:
    assert http_hook(uri).base_url == base_url


def test_test_of_http_tells_the_answer_and_refuses_refusals(http_port: int) -> None:
    found = http_hook(f"http://127.0.0.1:{http_port}/gone").test()

    assert found.endswith("answers 404 Not Found")
    with pytest.raises(Exception, match="401"):
        http_hook(f"http://127.0.0.1:{http_port}?test_path=closed").test()
    with pytest.raises(UsageError, match="names no host"):
        http_hook("http://").test()


# Mail


class Box:
    """Keep what is delivered."""

    def __init__(self) -> None:
        self.delivered: list[Any] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - as aiosmtpd calls it
        self.delivered.append(envelope)
        return "250 OK"


def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> Any:
    is_known = (data.login, data.password) == (b"ann", b"pw")
    return AuthResult(success=is_known, handled=False)


@pytest.fixture
def mail() -> Iterator[tuple[Box, int]]:
    box = Box()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(
        box,
        hostname="127.0.0.1",
        port=port,
        authenticator=authenticate,
        auth_require_tls=False,
    )
    controller.start()
    yield box, port
    controller.stop()


def test_mail_is_sent_with_the_connections_login_and_sender(mail: tuple[Box, int]) -> None:
    box, port = mail
    hook: Any = hook_for(
        Connection.from_uri(f"smtp://ann:pw@127.0.0.1:{port}?tls=none&from_email=shop@example.com")
    )
    message = EmailMessage()
    message["To"] = "bob@example.com"
    message.set_content("Hello")

    hook.send(message)

    assert hook.test() == "the mail server answers 250, as ann"
    assert box.delivered[0].mail_from == "shop@example.com"
    assert box.delivered[0].rcpt_tos == ["bob@example.com"]


def test_wrong_password_of_mail_is_an_error(mail: tuple[Box, int]) -> None:
    hook = hook_for(Connection.from_uri(f"smtp://ann:no@127.0.0.1:{mail[1]}"))

    with pytest.raises(Exception, match="Authentication"):
        hook.test()


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("smtp://", "names no host"),
        ("smtp://h?tls=maybe", "there are none, starttls, tls"),
    ],
)
def test_mail_connection_that_makes_no_sense_is_said(uri: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        hook_for(Connection.from_uri(uri, "mail")).test()


def test_message_without_a_sender_is_an_error() -> None:
    hook: Any = hook_for(Connection.from_uri("smtp://h", "mail"))

    with pytest.raises(UsageError, match="names no sender"):
        hook.send(EmailMessage())


# Others


def test_generic_connection_reaches_its_port(http_port: int) -> None:
    hook = hook_for(Connection(conn_type="generic", host="127.0.0.1", port=http_port))

    assert hook.test() == f"127.0.0.1:{http_port} accepts connections"
    assert "nothing to reach" in hook_for(Connection(conn_type="generic")).test()
