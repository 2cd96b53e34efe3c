"""This module tests the operator and the sensor for HTTP against a real server."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from ostinato import (
    DAG,
    Defer,
    HttpOperator,
    HttpSensor,
    PokeReturn,
    Retry,
    SimpleHttpOperator,
    testing,
)
from ostinato.authoring.operators.http import HttpTrigger
from ostinato.errors import ExecutionError, InvalidArgument, UsageError
from ostinato.model.connection import Connection
from tests.unit.authoring.fakes import FakeContext, FakeResolver, execute


class Service:
    """Answers with what it is told to, and remembers what it was asked."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.seen: list[dict[str, Any]] = []
        #: What it answers, in turn; the last one again and again.
        self.answers: list[tuple[int, str, dict[str, str]]] = [(200, "ok", {})]

    def next_answer(self) -> tuple[int, str, dict[str, str]]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def service() -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            url = urlsplit(self.path)
            made.seen.append(
                {
                    "method": self.command,
                    "path": url.path,
                    "params": dict(parse_qsl(url.query)),
                    "body": self.rfile.read(length).decode(),
                    "headers": {name.lower(): value for name, value in self.headers.items()},
                }
            )
            code, text, headers = made.next_answer()
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_PUT = do_GET  # noqa: N815 - as http.server calls them

        def log_message(self, *_args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Service(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def ask(service: Service, endpoint: str = "orders", **options: Any) -> Any:
    connection = Connection.from_uri(f"{service.address}/v1?X-Team=shop", "shop")
    context = FakeContext(connections={"shop": connection})
    return execute(
        HttpOperator(task_id="ask", conn_id="shop", endpoint=endpoint, **options), context=context
    )


def test_request_is_sent_and_the_answer_returned(service: Service) -> None:
    assert ask(service, json={"item": 5}, headers={"X-Number": 7}, request_params={"a": 1}) == "ok"

    (seen,) = service.seen
    assert (seen["method"], seen["path"], seen["params"]) == ("POST", "/v1/orders", {"a": "1"})
    assert json.loads(seen["body"]) == {"item": 5}
    assert (seen["headers"]["x-team"], seen["headers"]["x-number"]) == ("shop", "7")


@pytest.mark.parametrize(
    ("options", "body", "params"),
    [
        ({"data": "plain"}, "plain", {}),
        ({"data": b"bytes"}, "bytes", {}),
        ({"data": {"a": 1}}, "a=1", {}),
        ({"data": {"a": 1}, "method": "get"}, "", {"a": "1"}),
        ({"method": "GET", "request_params": "x=1&y=2"}, "", {"x": "1", "y": "2"}),
    ],
)
def test_body_is_text_or_a_form_and_stands_in_the_address_of_a_get(
    service: Service, options: Any, body: str, params: dict[str, str]
) -> None:
    ask(service, **options)

    assert (service.seen[0]["body"], service.seen[0]["params"]) == (body, params)


def test_whole_address_needs_no_connection(service: Service) -> None:
    endpoint = f"{service.address}/health"

    assert execute(SimpleHttpOperator(task_id="a", endpoint=endpoint, method="GET")) == "ok"
    assert execute(HttpOperator(task_id="b", endpoint="/b", http_conn_id=service.address)) == "ok"
    assert [seen["path"] for seen in service.seen] == ["/health", "/b"]


def test_answer_may_be_checked_and_filtered(service: Service) -> None:
    service.answers = [(200, '{"state": "done", "rows": [1, 2]}', {})]

    rows = ask(
        service,
        response_check=lambda answer: answer.json()["state"] == "done",
        response_filter=lambda answer, ds: (ds, answer.json()["rows"]),
    )

    assert rows == ("2025-01-31", [1, 2])
    with pytest.raises(ExecutionError, match=r"POST orders: response_check does not accept .* 200"):
        ask(service, response_check=lambda answer: False)


def test_pages_are_asked_for_one_after_the_other(service: Service) -> None:
    service.answers = [(200, page, {}) for page in ("a", "b", "")]

    def following(answer: Any) -> dict[str, Any] | None:
        return {"request_params": {"after": answer.text}} if answer.text else None

    assert ask(service, method="GET", pagination_function=following) == ["a", "b", ""]
    assert [seen["params"] for seen in service.seen] == [{}, {"after": "a"}, {"after": "b"}]

    with pytest.raises(InvalidArgument, match=r"returned 'endpont' \(did you mean 'endpoint'\?\)"):
        ask(service, pagination_function=lambda answer: {"endpont": "x"})


def test_refusal_is_an_error_in_one_line(service: Service) -> None:
    service.answers = [(500, "out\nof " + "order" * 50, {})]

    with pytest.raises(ExecutionError) as caught:
        ask(service, "orders?token=secret")

    assert str(caught.value).startswith(
        "POST orders was answered 500 Internal Server Error: out of orderorder"
    )
    assert len(str(caught.value)) < 300
    assert ask(service, extra_options={"check_response": False}).startswith("out")


@pytest.mark.parametrize(("code", "headers"), [(503, {"Retry-After": "120"}), (429, {})])
def test_service_may_say_when_to_come_again(
    service: Service, code: int, headers: dict[str, str]
) -> None:
    service.answers = [(code, "", headers)]

    with pytest.raises(Retry if headers else ExecutionError) as caught:
        ask(service)

    assert getattr(caught.value, "after_s", None) == (120 if headers else None)


def test_service_that_is_not_there_is_an_error_in_one_line() -> None:
    # Nobody listens at the port of nothing.
    operator = HttpOperator(task_id="a", endpoint="http://127.0.0.1:1/x", method="GET")

    with pytest.raises(ExecutionError, match=r"^GET http://127\.0\.0\.1:1/x failed: \S.*"):
        execute(operator)


def test_connection_must_speak_http() -> None:
    operator = HttpOperator(task_id="a", conn_id="sqlite:///:memory:")

    with pytest.raises(UsageError, match="has the type 'sqlite', which speaks no HTTP"):
        execute(operator)


def test_templates_and_results_make_a_request(service: Service) -> None:
    with DAG("flow") as flow:
        first = HttpOperator(task_id="first", conn_id=service.address, endpoint="{{ ds }}")
        HttpOperator(
            task_id="second", conn_id=service.address, endpoint="b", json={"x": first.output}
        )

    testing.run(flow, date="2025-01-31").raise_for_state()

    assert [seen["path"] for seen in service.seen] == ["/2025-01-31", "/b"]
    assert json.loads(service.seen[1]["body"]) == {"x": "ok"}


# The sensor


def test_sensor_waits_by_a_trigger_until_the_answer_is_good(service: Service) -> None:
    service.answers = [
        (404, "", {}),
        (404, "", {}),
        (503, "", {"Retry-After": "1"}),
        (200, "ok", {}),
    ]
    with DAG("flow") as flow:
        HttpSensor(
            task_id="up",
            endpoint=f"{service.address}/health",
            request_params={"deep": "1"},
            poke_interval="10m",
        )

    run = testing.run(flow)

    assert run.state == "succeeded"
    assert run.duration == timedelta(minutes=30)
    assert run.attempts("up") == 2
    assert {(seen["method"], seen["path"], seen["params"]["deep"]) for seen in service.seen} == {
        ("GET", "/health", "1")
    }


def test_trigger_fails_on_any_other_code(service: Service) -> None:
    service.answers = [(404, "", {}), (500, "broken", {})]
    with DAG("flow") as flow:
        HttpSensor(task_id="up", endpoint=f"{service.address}/health")

    run = testing.run(flow)

    failure = run.task_run("up").failure
    assert run.state == "failed"
    assert failure is not None
    assert "was answered 500 Internal Server Error: broken" in failure.summary


def test_function_may_judge_the_answer(service: Service) -> None:
    service.answers = [(200, "1", {}), (200, "2", {}), (200, "3", {})]

    def judge(answer: Any) -> bool | PokeReturn:
        return answer.text == "3" and PokeReturn(is_done=True, value=answer.text)

    with DAG("flow") as flow:
        HttpSensor(task_id="up", conn_id=service.address, response_check=judge, poke_interval="10m")

    run = testing.run(flow)

    assert run.result("up") == "3"
    assert run.duration == timedelta(minutes=20)


def test_codes_decide_what_means_not_yet(service: Service) -> None:
    service.answers = [(500, "", {})]

    def sensor(*codes: int | str, **options: Any) -> HttpSensor:
        return HttpSensor(
            task_id="up",
            conn_id=service.address,
            response_error_codes_allowlist=codes,
            **options,
        )

    with pytest.raises(Defer):
        execute(sensor(500, 502))
    with pytest.raises(ExecutionError, match="GET / was answered 500"):
        execute(sensor("404"))
    assert execute(sensor(extra_options={"check_response": False})) is None


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": "secret"}},
        {"data": "secret", "method": "POST"},
        {"json": 0, "method": "POST"},
        {"exponential_backoff": True},
        {"response_check": bool},
        {"extra_options": {"check_response": False}},
        {"conn_id": "http://ann:secret@h"},
        {"endpoint": "http://ann:secret@h/x"},
    ],
)
def test_what_a_trigger_cannot_or_must_not_know_is_poked(options: Any) -> None:
    sensor = HttpSensor(task_id="up", **{"endpoint": "x", "conn_id": "shop", **options})

    assert sensor.trigger(FakeContext()) is None


def test_trigger_is_stored_by_its_arguments() -> None:
    trigger = HttpSensor(task_id="up", endpoint="x", conn_id="shop").trigger(FakeContext())

    assert isinstance(trigger, HttpTrigger)
    assert HttpTrigger.from_args(trigger.spec().args) == trigger


def test_arguments_are_checked_again_when_they_are_results() -> None:
    with DAG("flow"):
        source = HttpOperator(task_id="source", endpoint="http://h")
        operator = HttpOperator(task_id="a", endpoint=source.output)

    with pytest.raises(InvalidArgument, match="endpoint is 5, not text"):
        execute(operator, FakeResolver({"source": 5}))


@pytest.mark.parametrize("operator_class", [HttpOperator, HttpSensor])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conn_id": None}, r"nothing says where 'x' is \(give conn_id="),
        ({"conn_id": 5}, "conn_id is 5, neither an id nor a URI"),
        ({"endpoint": 5}, "endpoint is 5, not text"),
        ({"method": "PSOT"}, r"there is no method 'PSOT' \(did you mean 'POST'\?\)"),
        ({"data": "a", "json": 1}, "it takes either data= or json="),
        ({"response_check": "a"}, "response_check is 'a', no function"),
        ({"extra_options": {"timeot": 1}}, r"'timeot' in extra_options \(did you mean 'timeout'"),
    ],
)
def test_wrong_argument_is_told_with_its_line(
    operator_class: Any, options: Any, message: str
) -> None:
    given = {"endpoint": "x", "conn_id": "shop", **options}
    with pytest.raises(InvalidArgument, match=rf"test_http_operators\.py:\d+: 'a': .*{message}"):
        operator_class(task_id="a", **given)


def test_codes_that_are_none_are_told_with_their_line() -> None:
    with pytest.raises(InvalidArgument, match=r"py:\d+: .*allowlist is '404', not a list of codes"):
        HttpSensor(task_id="a", endpoint="http://h", response_error_codes_allowlist="404")
