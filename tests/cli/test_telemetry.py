"""This module tests what a receiver of OpenTelemetry gets: real protobuf of real runs."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.cli.conftest import TIMEOUT_S, Ostinato

pytestmark = pytest.mark.slow

FLOWS = """
import os

from ostinato import dag, task


@task
def extract():
    print("trace is", os.environ["TRACEPARENT"])
    return [1, 0]


@task(retries=1, retry_delay=0)
def divide(number):
    return 1 // number


@dag
def etl():
    divide.expand(number=extract())


etl()
"""


class Receiver(HTTPServer):
    """Takes what is sent, and decodes it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Any] = []
        self.lines: list[Any] = []
        self.services: set[str] = set()

    def span(self, name: str, **attributes: Any) -> Any:
        (found,) = (
            span
            for span in self.spans
            if span.name == name and attributes.items() <= values(span.attributes).items()
        )
        return found


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/traces":
            for spans in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.server.services.add(values(spans.resource.attributes)["service.name"])
                self.server.spans += [span for scope in spans.scope_spans for span in scope.spans]
        else:
            for logs in ExportLogsServiceRequest.FromString(body).resource_logs:
                self.server.lines += [
                    line for scope in logs.scope_logs for line in scope.log_records
                ]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def values(attributes: Any) -> dict[str, Any]:
    return {
        each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in attributes
    }


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.serve_forever)
    thread.start()
    yield receiver
    receiver.shutdown()
    thread.join()
    receiver.server_close()


@pytest.fixture
def shop(folder: Path, environ: dict[str, str], receiver: Receiver) -> Path:
    """A project that tells a receiver."""
    (folder / "ostinato.yaml").write_text(
        "name: shop\n"
        f"telemetry:\n  endpoint: http://127.0.0.1:{receiver.server_port}\n  service: etls\n"
    )
    (folder / "flows").mkdir()
    (folder / "flows" / "etl.py").write_text(FLOWS)
    return folder


def test_run_is_a_trace_and_its_tasks_know_their_spans(
    shop: Path, receiver: Receiver, begin: Callable[..., "Popen[str]"], ostinato: Ostinato
) -> None:
    worker = begin("worker")
    ostinato("trigger", "etl", "--wait", code=1)
    worker.terminate()
    worker.communicate(timeout=TIMEOUT_S)

    run = receiver.span("run etl")
    extracted = receiver.span("task extract")
    failed = receiver.span("task divide", **{"ostinato.map_path": "1"})
    attempts = [span for span in receiver.spans if span.parent_span_id == failed.span_id]
    assert receiver.services == {"etls"}
    assert {span.trace_id for span in receiver.spans} == {run.trace_id}
    assert {extracted.parent_span_id, failed.parent_span_id} == {run.span_id}
    assert [values(span.attributes)["ostinato.attempt"] for span in attempts] == [1, 2]
    assert {span.status.code for span in (run, failed, *attempts)} == {Status.STATUS_CODE_ERROR}
    assert "ZeroDivisionError" in failed.status.message
    assert extracted.status.code == Status.STATUS_CODE_UNSET
    assert values(run.attributes)["ostinato.run"] == "etl#1"
    for span in attempts:
        assert run.start_time_unix_nano <= failed.start_time_unix_nano
        assert failed.start_time_unix_nano <= span.start_time_unix_nano
        assert span.end_time_unix_nano <= failed.end_time_unix_nano <= run.end_time_unix_nano

    attempt = receiver.span("attempt extract")
    (line,) = (line for line in receiver.lines if "trace is" in line.body.string_value)
    named = f"00-{attempt.trace_id.hex()}-{attempt.span_id.hex()}-01"
    assert line.body.string_value == f"trace is {named}"
    assert (line.trace_id, line.span_id) == (attempt.trace_id, attempt.span_id)
