"""This module sets up the log of a process that goes on: lines for people, or JSON."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

#: Forms that a log may have.
TEXT, JSON = "text", "json"

#: Attributes of every record; what a record has beyond them are fields of the one who logs.
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up_log(form: str, *, level: int = logging.INFO) -> None:
    """Write what this process logs to standard error.

    Args:
        form: ``text`` or ``json``, a line each.
        level: From which on.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == JSON else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields that a record was logged with, such as the id of a run."""
    return {key: value for key, value in vars(record).items() if key not in _PLAIN}


class TextLines(logging.Formatter):
    """A line for people: moment, level, message, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created).astimezone()
        fields = "".join(f" {key}={value}" for key, value in fields_of(record).items())
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        line = f"{moment:%Y-%m-%d %H:%M:%S} {level}{record.getMessage()}{fields}"
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line


class JsonLines(logging.Formatter):
    """An object a line: time in UTC, level, logger, message, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()
