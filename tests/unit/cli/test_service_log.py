"""Tests of the log of processes that go on."""

import logging
import sys

import msgspec

from ostinato.cli.service_log import JsonLines, TextLines


def record(**fields: object) -> logging.LogRecord:
    values = {"name": "ostinato.x", "msg": "run %s ended", "args": ("etl#1",), "created": 0.0}
    return logging.makeLogRecord({**values, "levelno": 30, "levelname": "WARNING", **fields})


def test_json_lines_hold_fields_beside_the_message() -> None:
    line = JsonLines().format(record(run_id=17))

    assert msgspec.json.decode(line) == {
        "time": "1970-01-01T00:00:00+00:00",
        "level": "warning",
        "logger": "ostinato.x",
        "message": "run etl#1 ended",
        "run_id": 17,
    }


def test_text_lines_tell_level_and_fields() -> None:
    line = TextLines().format(record(run_id=17))

    assert line.endswith("warning: run etl#1 ended run_id=17")


def test_both_tell_where_an_error_came_from() -> None:
    try:
        raise ValueError("bad")
    except ValueError:
        failed = record(exc_info=sys.exc_info())

    assert "ValueError: bad" in TextLines().format(failed)
    assert "ValueError: bad" in msgspec.json.decode(JsonLines().format(failed))["exception"]
