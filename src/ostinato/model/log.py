"""This module describes a line that a task logged."""

from msgspec import Struct


class LogRecord(Struct, frozen=True, gc=False, omit_defaults=True):
    """One line of an attempt's log; the log is a file of these as JSON, one a line.

    Attributes:
        seq: 1, 2, 3 ... within the attempt, stamped where the line was written.
        at_us: Microseconds since the epoch.
        level: ``DEBUG`` to ``CRITICAL``, as in ``logging``.
        source: ``stdout``, ``stderr``, or the name of the logger.
        message: The text, without the line's end.
    """

    seq: int
    at_us: int
    level: str
    source: str
    message: str
