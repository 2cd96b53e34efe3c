"""Event sensors are read, and what their functions return becomes data."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from ostinato import (
    DAG,
    FileArrival,
    NatsMessage,
    PostgresNotify,
    RedisMessage,
    RunRequest,
    SensorContext,
    SensorResult,
    SkipReason,
    Webhook,
    dag,
    flow,
    run_failure_sensor,
    run_status_sensor,
    sensor,
)
from ostinato.errors import InvalidArgument, SensorError
from ostinato.model.event_sensor import SensorKind
from ostinato.model.event_source import EventSource
from ostinato.model.sensor_tick import AskedRun, EndedRun, TickInput, TickResult


@flow
def etl(path: str = "") -> None:
    """Load a file."""


def ticked(function: Any, given: TickInput | None = None, **options: Any) -> TickResult:
    return sensor(flow=etl, name="looks", **options)(function).tick(given or TickInput())


def test_a_sensor_is_declared_by_its_function() -> None:
    @sensor(flow=etl, minimum_interval="1m", timeout=5, tags={"team": "a"}, paused=True)
    def new_files(context: SensorContext) -> None:
        """Look for files."""

    declared = new_files.definition
    assert (declared.name, declared.flows, declared.kind) == (
        "new_files",
        ("etl",),
        SensorKind.POLLING,
    )
    assert (declared.minimum_interval_s, declared.timeout_s) == (60.0, 5.0)
    assert (declared.tags, declared.is_paused, declared.doc) == (
        ("team:a",),
        True,
        "Look for files.",
    )
    assert declared.source.file.endswith("test_event_sensors.py")


def test_flows_are_named_by_all_that_stand_for_one() -> None:
    @dag(name="graph")
    def declares() -> None:
        return

    made = sensor(name="s", flows=[etl, DAG("object"), declares, "text"], job_name="etl")(
        lambda: None
    )

    assert made.definition.flows == ("etl", "object", "graph", "text")


@pytest.mark.parametrize(
    ("returned", "keys", "reason"),
    [
        (None, [], ""),
        (RunRequest("a"), ["a"], ""),
        ([RunRequest("a"), RunRequest("b")], ["a", "b"], ""),
        (SkipReason("nothing new"), [], "nothing new"),
        (SensorResult([RunRequest("a")]), ["a"], ""),
        (SensorResult(skip_reason="quiet"), [], "quiet"),
        (SensorResult(skip_reason=SkipReason("quiet")), [], "quiet"),
    ],
)
def test_all_that_may_be_returned_is_read(returned: Any, keys: list[str], reason: str) -> None:
    result = ticked(lambda: returned)

    assert [asked.run_key for asked in result.asked] == keys
    assert result.reason == reason


def test_a_generator_may_yield_requests_and_keep_a_cursor() -> None:
    def looks(context: SensorContext) -> Iterator[RunRequest]:
        for number in range(int(context.cursor or 0), 3):
            yield RunRequest(f"n{number}", params={"path": str(number)}, tags=["x"])
        context.update_cursor("3")

    result = ticked(looks, TickInput(cursor="1"))

    assert result.asked == (
        AskedRun("etl", "n1", {"path": "1"}, ("x",)),
        AskedRun("etl", "n2", {"path": "2"}, ("x",)),
    )
    assert result.cursor == "3"


def test_coroutine_functions_and_their_generators_are_awaited() -> None:
    async def once() -> RunRequest:
        return RunRequest("once")

    async def several() -> Any:
        yield RunRequest("first")
        yield RunRequest("second")

    assert [asked.run_key for asked in ticked(once).asked] == ["once"]
    assert [asked.run_key for asked in ticked(several).asked] == ["first", "second"]


def test_a_cursor_that_stays_is_not_written() -> None:
    def looks(context: SensorContext) -> None:
        context.update_cursor("same")

    assert ticked(looks, TickInput(cursor="same")).cursor is None
    assert ticked(looks).cursor == "same"


def test_the_context_tells_of_the_last_tick() -> None:
    told: list[Any] = []

    def looks(context: SensorContext) -> None:
        told.extend([context.last_tick, context.last_run_key, context.cursor])

    ticked(looks)
    ticked(looks, TickInput("c", 1_000_000, "k"))

    assert told == [None, None, None, datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), "k", "c"]


def test_a_request_may_name_its_moment_and_its_flow() -> None:
    made = sensor(name="s", flows=[etl, "other"])(lambda: RunRequest(date="1970-01-02", flow=etl))

    assert made.tick(TickInput()).asked == (AskedRun("etl", date_us=86_400_000_000),)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (7, r"returned 7 \(return or yield RunRequest"),
        ([RunRequest("a"), "b"], "returned 'b'"),
        (RunRequest("a", flow="unknown"), "which it does not name"),
        (RunRequest("a", params={"x": object()}), "no JSON"),
        (RunRequest("x" * 501), "run_key has 501 characters"),
        (RunRequest("a\0b"), "run_key holds the character NUL"),
        (RunRequest("a", tags=["a\0b"]), "a tag holds the character NUL"),
        (RunRequest(7), "run_key 7 is no text"),  # type: ignore[arg-type]  # what users write
        (SensorResult([7]), "returned 7"),  # type: ignore[list-item]  # what users write
    ],
)
def test_nonsense_is_an_error(returned: Any, message: str) -> None:
    with pytest.raises(SensorError, match=message):
        ticked(lambda: returned)


def test_of_several_flows_a_request_names_one() -> None:
    made = sensor(name="s", flows=["a", "b"])(lambda: RunRequest("k"))

    with pytest.raises(SensorError, match=r"names no flow \(say flow=, one of a, b\)"):
        made.tick(TickInput())


def test_a_cursor_is_text() -> None:
    with pytest.raises(SensorError, match="a cursor holds the character NUL"):
        SensorContext().update_cursor("a\0b")
    with pytest.raises(SensorError, match="a cursor is text, not int"):
        SensorContext().update_cursor(7)  # type: ignore[arg-type]  # what users write


def test_a_sensor_of_ends_is_told_of_the_run() -> None:
    @run_failure_sensor(flow=etl)
    def failed(context: SensorContext) -> RunRequest:
        return RunRequest(context.run.id, params={"path": context.run.name})

    run = EndedRun("7", "load#1", "load", "failed")
    asked = failed.tick(TickInput(run=run)).asked

    assert failed.definition.states == ("failed",)
    assert asked == (AskedRun("etl", "7", {"path": "load#1"}),)
    with pytest.raises(SensorError, match="@run_status_sensor"):
        SensorContext().run  # noqa: B018 - what is asked for is the error


def test_ends_are_named_by_the_words_of_others_too() -> None:
    made = run_status_sensor(name="s", run_status=["SUCCESS", "failed"], monitored_jobs=[etl])(
        print
    )

    assert made.definition.states == ("succeeded", "failed")
    assert made.definition.monitored == ("etl",)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sensor(minimum_interval="soon")(print), "minimum_interval: 'soon' is no duration"),
        (lambda: sensor(timeout=0)(print), "timeout: must be above 0"),
        (lambda: sensor(flow=7)(print), "7 is no flow"),
        (lambda: sensor(int), "sensors of functions"),
        (lambda: sensor(name="s")(lambda a, b: None), "takes 2 arguments"),
        (lambda: sensor(name="a b")(lambda: None), "sensor id 'a b' is not made of"),
        (lambda: run_status_sensor(run_status="successed"), "did you mean 'succeeded'"),
        (lambda: run_failure_sensor(run_status="failed"), "is for run_status_sensor"),
    ],
)
def test_wrong_arguments_are_refused(make: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        make()


def test_a_sensor_is_called_as_its_function_in_tests() -> None:
    @sensor(flow="etl")
    def looks(context: SensorContext) -> RunRequest:
        return RunRequest(context.cursor)

    assert looks(SensorContext(cursor="7")) == RunRequest("7")


def test_a_flow_says_whose_messages_start_it() -> None:
    sources: list[EventSource] = [Webhook("orders"), FileArrival("in/*.csv")]

    assert DAG("several", on=sources).definition.on == tuple(sources)
    assert DAG("one", on=Webhook("orders")).definition.on == (Webhook("orders"),)
    assert [each.label for each in [*sources, PostgresNotify("db", "c")]] == [
        "webhook orders",
        "files in/*.csv",
        "notify db/c",
    ]


def test_sources_may_be_written_as_files_write_them() -> None:
    written: Any = [
        {"webhook": "orders", "secret": "s"},
        {"files": "in/*.csv", "stable_for_s": 5},
        {"notify": "c", "conn_id": "db"},
        {"redis_stream": "s", "conn_id": "r"},
        {"redis_channel": "c", "conn_id": "r", "id_key": "id"},
        {"nats": "a.*", "conn_id": "n", "stream": "A"},
    ]

    assert DAG("flow", on=written).definition.on == (
        Webhook("orders", "s"),
        FileArrival("in/*.csv", 5.0),
        PostgresNotify("db", "c"),
        RedisMessage("r", stream="s"),
        RedisMessage("r", channel="c", id_key="id"),
        NatsMessage("n", "a.*", "A"),
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"webhok": "x"}, r"one must say what it is \(did you mean 'webhook'"),
        ({"webhook": "x", "secrt": "s"}, r"webhook has no 'secrt' \(did you mean 'secret'"),
        ({"files": 7}, "files: Expected `str`, got `int`"),
        ({"notify": "c"}, "missing required field `conn_id`"),
        ("orders", "on: 'orders' sends no messages"),
        (Webhook("a/b"), "on: Webhook: name 'a/b' is no word"),
        (PostgresNotify("db", ""), "on: PostgresNotify: channel '' is no text"),
        (PostgresNotify("db", "c" * 64), "longer than 63 bytes"),
        (FileArrival("in/*", stable_for_s=-1), "stable_for_s -1 is not from 0 to 3600"),
        (RedisMessage("r"), "either a stream or a channel"),
        (RedisMessage("r", stream="s", channel="c"), "either a stream or a channel"),
        (PostgresNotify("postgres://ann:pw@db/shop", "c"), "conn_id is a URI, which may hold"),
        (NatsMessage("", "s"), "conn_id '' is no text"),
    ],
)
def test_wrong_sources_are_refused(source: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        DAG("flow", on=source)
