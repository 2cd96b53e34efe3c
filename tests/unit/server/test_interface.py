"""The interface for programs, on a real store with a real run in it."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no stubs

from ostinato import Webhook, dag, task
from ostinato.cli.opening import client_of
from ostinato.client.flows import FlowDirectory
from ostinato.clock import SystemClock
from ostinato.coordinator.retrying import Choice
from ostinato.model.identity import RunId
from ostinato.model.sensor_state import TickRow
from ostinato.model.state import RunState
from ostinato.project.discovery import Project, find_project
from ostinato.server.api.interface import Access, interface_routes
from ostinato.server.http_server import Address, HttpServer
from ostinato.store.protocol import RunFilter, Store
from ostinato.store.records import Batch, RunUpdate
from ostinato.store.sqlite import open_store
from tests.unit.server.conftest import serving

API = "/api/v1"
FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}


SECRETS = {"github": "s3cret"}
MESSAGE = b'{"ref": "main"}'
SIGNATURE = hmac.new(b"s3cret", MESSAGE, hashlib.sha256).hexdigest()


class House:
    """A server, and what lies behind it."""

    def __init__(self, http: httpx.Client, store: Store, flows: FlowDirectory) -> None:
        self.http = http
        self.store = store
        self.flows = flows

    def get(self, path: str, status: int = 200, **query: Any) -> Any:
        answer = self.http.get(f"{API}{path}", params=query)
        assert answer.status_code == status, answer.text
        return answer.json()

    def post(self, path: str, body: Any, status: int, **headers: str) -> Any:
        answer = self.http.post(f"{API}{path}", json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OSTINATO_HOME", str(home))
        yield find_project(environ={"OSTINATO_HOME": str(home)})


@dag(
    tags=["nightly"],
    schedule="0 6 * * *",
    on=[Webhook("order"), Webhook("push", secret="github")],
)
def etl(day: int = 1, zone: str = "UTC") -> None:
    @task
    def extract() -> list[int]:
        return [1, 2, 3]

    @task
    def load(number: int) -> int:
        return 6 // (3 - number)

    load.expand(number=extract())


@pytest.fixture(scope="module")
def house(project: Project) -> Iterator[House]:
    etl().run(params={"day": 7})
    store = open_store(project.store_path)
    flows = FlowDirectory(store, project, SystemClock())
    version = store.runs(RunFilter())[0][0].manifest_version
    flows.publish({"etl": version})
    access = Access(
        client=client_of(project, store),
        flows=flows,
        project="default",
        variable=SECRETS.__getitem__,
    )
    with serving(routes=lambda: interface_routes(access)) as http:
        yield House(http, store, flows)
    store.close()


def test_flows_are_listed_with_their_parameters(house: House) -> None:
    (found,) = house.get("/flows")["items"]

    assert (found["name"], found["tags"]) == ("etl", ["nightly"])
    assert [each["name"] for each in found["parameters"]] == ["day", "zone"]
    assert found["tasks"] == ["extract", "load"]


def test_unknown_flow_says_what_was_meant(house: House) -> None:
    found = house.get("/flows/elt", status=404)

    assert found["code"] == "unknown-flow"
    assert found["hint"] == "did you mean 'etl'?"


def test_run_is_shown_by_each_of_its_names(house: House) -> None:
    first = house.get("/runs/etl%231")

    assert house.get(f"/runs/{first['id']}") == first
    assert (first["name"], first["state"], first["params"]["day"]) == ("etl#1", "failed", 7)
    assert datetime.fromisoformat(first["started_at"]).tzinfo is UTC


def test_run_that_is_asked_for_waits_for_a_worker(house: House) -> None:
    found = house.post("/flows/etl/runs", {"params": {"day": 3}, "tags": ["mine"]}, 201)

    assert (found["state"], found["trigger"]) == ("queued", "api")
    assert (found["params"], found["tags"]) == ({"day": 3, "zone": "UTC"}, ["nightly", "mine"])
    row = house.store.find_run(found["id"])
    assert row is not None
    assert (row.home, row.owner) == ("service", 0)


@pytest.mark.parametrize("by", ["header", "body"])
def test_asking_again_with_a_key_gives_the_first_run(house: House, by: str) -> None:
    body = {"params": {"day": 4}, **({"key": by} if by == "body" else {})}
    headers = {"idempotency-key": by} if by == "header" else {}

    first = house.post("/flows/etl/runs", body, 201, **headers)
    again = house.post("/flows/etl/runs", body, 200, **headers)

    assert again["id"] == first["id"]
    assert first["key"] == f"api:{by}"


def test_logical_date_is_read_in_the_zone_of_the_flow(house: House) -> None:
    found = house.post("/flows/etl/runs", {"date": "2026-03-01"}, 201)

    assert datetime.fromisoformat(found["logical_date"]) == datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"params": {"dya": 1}}, 422, "did you mean 'day'?"),
        ({"params": {"day": "x"}}, 422, "day"),
        ({"parms": {}}, 400, "parms"),
        ({"date": "tomorrow"}, 400, "tomorrow"),
        ([], 400, "object"),
        ({"key": "\0"}, 400, "NUL"),
    ],
)
def test_bad_requests_for_runs_say_what_is_wrong(
    house: House, body: Any, status: int, word: str
) -> None:
    found = house.post("/flows/etl/runs", body, status)

    assert word in found["message"] + found["hint"]


def test_pages_of_runs_follow_each_other(house: House) -> None:
    keys = [f"page {number}" for number in range(5)]
    made = [house.post("/flows/etl/runs", {"key": key, "tags": ["paged"]}, 201) for key in keys]

    found: list[str] = []
    cursor = ""
    while True:
        page = house.get("/runs", tag="paged", limit=2, cursor=cursor)
        found += [run["id"] for run in page["items"]]
        cursor = page["next_cursor"]
        if not cursor:
            break

    assert found == [run["id"] for run in reversed(made)]


def test_runs_are_found_by_state_and_parameter(house: House) -> None:
    failed = house.get("/runs", state=["failed", "cancelled"], param="day=7")["items"]

    assert [run["name"] for run in failed] == ["etl#1"]


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"states": "failed"}, "states"),
        ({"state": "broken"}, "broken"),
        ({"limit": "0"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"cursor": "x"}, "no cursor"),
        ({"cursor": "9" * 19}, "no cursor"),
        ({"param": "day"}, "NAME=VALUE"),
        ({"created_from": "x"}, "created_from"),
    ],
)
def test_bad_filters_say_what_is_wrong(house: House, query: dict[str, str], word: str) -> None:
    found = house.get("/runs", status=400, **query)

    assert word in found["message"] + found["hint"]


def test_task_runs_show_what_went_wrong(house: House) -> None:
    failed = house.get("/runs/etl%231/task_runs", state="failed")["items"]

    assert [(each["task_id"], each["map_path"]) for each in failed] == [("load", [2])]
    assert "ZeroDivisionError" in failed[0]["failure"]["summary"]


def test_events_go_on_from_a_cursor(house: House) -> None:
    first = house.get("/events", run="etl#1", limit=2)
    rest = house.get("/events", run="etl#1", after=first["next_cursor"], limit=1000)

    kinds = [event["type"] for event in first["items"] + rest["items"]]
    assert (kinds[0], kinds[-1]) == ("run_started", "run_ended")
    assert house.get("/events", after="newest")["items"] == []


def test_cancelling_a_run_that_has_ended_is_refused(house: House) -> None:
    found = house.post("/runs/etl%231/cancel", None, 409)

    assert found["message"] == "run etl#1 has ended: it is failed"


def test_retrying_asks_a_worker(house: House) -> None:
    run = house.post("/flows/etl/runs", {}, 201)
    refused = house.post(f"/runs/{run['id']}/retry", {}, 409)
    lease = house.store.register_coordinator()
    row = house.store.take_run(RunId(int(run["id"])), lease)
    ended = Batch()
    ended.runs.append(RunUpdate(RunState.FAILED, "", 1, 2, 0, row.id))
    house.store.commit(ended, lease)

    house.post(f"/runs/{run['id']}/retry", {"tasks": ["load"], "failed_only": True}, 202)

    (request,) = house.store.requests_of_ended("default")
    assert refused["code"] == "run-not-ended"
    assert msgspec.json.decode(request.payload, type=Choice) == Choice(("load",), failed_only=True)


def test_retrying_a_run_that_no_worker_drove_is_refused(house: House) -> None:
    assert house.post("/runs/etl%231/retry", {}, 409)["code"] == "run-is-local"


def test_cancelling_asks_whoever_drives_the_run(house: House) -> None:
    run = house.post("/flows/etl/runs", {}, 201)

    house.post(f"/runs/{run['id']}/cancel", None, 202)

    row = house.store.find_run(run["id"])
    assert row is not None
    assert house.store.has_requests(row.id)


def test_answer_to_what_nobody_asks_is_refused(house: House) -> None:
    found = house.post("/runs/etl%231/answers", {"task": "load", "answer": 1}, 422)

    assert found["code"] == "answer"
    assert house.get("/inputs") == {"items": []}


def test_body_that_is_no_json_is_refused(house: House) -> None:
    answer = house.http.post(f"{API}/flows/etl/runs", content=b"day=1", headers=FORM)
    broken = house.http.post(f"{API}/flows/etl/runs", content=b"{", headers=JSON)

    assert (answer.status_code, broken.status_code) == (415, 400)


def test_body_that_is_too_large_is_refused(house: House) -> None:
    answer = house.http.post(f"{API}/flows/etl/runs", content=b" " * 2_000_000, headers=JSON)

    assert answer.status_code == 413
    assert answer.json()["code"] == "too-large"


def test_stream_goes_on_behind_the_last_event_that_was_seen(house: House) -> None:
    events = house.get("/events", run="etl#1", limit=1000)["items"]
    seen = {"last-event-id": events[1]["cursor"]}
    url = f"{API}/events/stream?run=etl%231"

    streamed: list[Any] = []
    with house.http.stream("GET", url, headers=seen) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                streamed.append(json.loads(line[6:]))
            if len(streamed) == len(events) - 2:
                break

    assert streamed == events[2:]


def test_stream_tells_what_happens_while_it_is_open(house: House) -> None:
    first: list[Any] = []
    opened = threading.Event()

    def listen() -> None:
        with house.http.stream("GET", f"{API}/events/stream") as stream:
            for line in stream.iter_lines():
                opened.set()
                if line.startswith("data: "):
                    first.append(json.loads(line[6:]))
                    return

    listener = threading.Thread(target=listen)
    listener.start()
    opened.wait(60)
    etl().run()
    listener.join(60)

    assert [event["type"] for event in first] == ["run_started"]


def test_stream_from_no_cursor_is_refused(house: House) -> None:
    found = house.get("/events/stream", status=400, after="x y")

    assert "no cursor" in found["message"]


def test_server_ends_though_somebody_listens(project: Project, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db")
    flows = FlowDirectory(store, project, SystemClock())
    access = Access(
        client=client_of(project, store),
        flows=flows,
        project="default",
        variable=SECRETS.__getitem__,
    )
    server = HttpServer(Address(port=0), health=dict, routes=lambda: interface_routes(access))
    thread = threading.Thread(target=server.serve)
    thread.start()
    url = f"{server.url}{API}/events/stream"
    with httpx.Client() as http, http.stream("GET", url) as stream:
        lines = stream.iter_lines()
        next(lines)

        server.drain()
        rest = [line for line in lines if line]
    thread.join(60)

    assert rest == []
    assert not thread.is_alive()
    store.close()


def test_schedule_is_paused_and_resumed(house: House) -> None:
    paused = house.post("/schedules/etl/pause", None, 200)
    (listed,) = house.get("/schedules")["items"]
    resumed = house.post("/schedules/etl/resume", None, 200)

    assert (paused["is_paused"], paused["changed_by"]) == (True, "api")
    assert listed == paused
    assert (resumed["schedule"], resumed["is_paused"]) == ("0 6 * * *", False)
    assert house.get("/schedules/etl/ticks") == {"items": []}
    house.get("/schedules/elt/ticks", status=404)


def test_sensor_is_shown_paused_and_resumed(house: House) -> None:
    sensors, name = house.store.sensors, "files in/*.csv"
    before = sensors.ensure("default", name)
    tick = TickRow(0, 1_000_000, 2_000_000, 1, "requested", "", 2, 1, "7,8", "printed")
    sensors.keep_tick(before, before._replace(ticked_us=2_000_000), tick)

    paused = house.post("/sensors/pause?name=files%20in/*.csv", None, 200)
    (listed,) = house.get("/sensors")["items"]
    resumed = house.post("/sensors/resume?name=files%20in/*.csv", None, 200)
    (shown,) = house.get("/sensors/ticks", name=name)["items"]

    assert listed == paused
    assert (paused["is_paused"], resumed["is_paused"]) == (True, False)
    assert paused["last_tick_at"] == "1970-01-01T00:00:02Z"
    assert (shown["new_runs"], shown["known_runs"], shown["run_ids"]) == (2, 1, ["7", "8"])
    house.post("/sensors/pause?name=none", None, 404)
    house.get("/sensors/ticks", status=400)


def test_message_is_kept_for_the_flow_that_listens(house: House) -> None:
    first = house.post("/events/order", {"id": 17}, 202, **{"idempotency-key": "17"})
    again = house.post("/events/order", {"id": 17}, 202, **{"idempotency-key": "17"})

    assert first == again == {"id": "17"}
    kept = house.store.sensors.messages("default", "webhook order", limit=100)
    assert [each.body for each in kept if b"17" in each.body] == [b'{"id":17}']


def test_messages_without_a_name_are_each_new(house: House) -> None:
    ids = {house.post("/events/order", {}, 202)["id"] for _ in range(2)}

    assert len(ids) == 2


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"x-webhook-token": "other"}, 401),
        ({"x-webhook-token": "s3cret"}, 202),
        ({"x-hub-signature-256": "sha256=00"}, 401),
        ({"x-hub-signature-256": f"sha256={SIGNATURE}"}, 202),
    ],
)
def test_sender_of_a_message_proves_to_know_the_secret(
    house: House, headers: dict[str, str], status: int
) -> None:
    answer = house.http.post(f"{API}/events/push", content=MESSAGE, headers={**JSON, **headers})

    assert answer.status_code == status


def test_message_for_nobody_is_refused(house: House) -> None:
    assert house.post("/events/nobody", {}, 404)["code"] == "unknown-webhook"


def test_message_that_is_no_json_is_refused(house: House) -> None:
    answer = house.http.post(f"{API}/events/order", content=b"{", headers=JSON)

    assert answer.status_code == 400


def test_what_is_answered_is_as_the_openapi_document_says(house: House) -> None:
    document = house.get("/openapi.json")
    bodies: dict[str, Any] = {
        "NewRun": {"params": {"day": 2}},
        "Answer": {"task": "a", "answer": 1},
    }
    broken = []

    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema", {})
            if operation["operationId"] == "stream_events":
                continue
            answer = house.http.request(
                method,
                path.format(flow="etl", run="etl%231", name="order"),
                json=bodies.get(schema.get("$ref", "").rpartition("/")[2], {}),
            )
            declared = operation["responses"][str(answer.status_code)]
            expected = {
                **declared["content"]["application/json"]["schema"],
                "components": document["components"],
            }
            broken += [
                f"{operation['operationId']}: {error.message}"
                for error in Draft202012Validator(expected).iter_errors(answer.json())
            ]

    assert broken == []
    assert len(document["paths"]) > 8
