"""This module writes the cursors that callers give back without reading them."""

import msgspec

from ostinato.errors import UsageError

_json = msgspec.json.Encoder()
_key_decoder = msgspec.json.Decoder(tuple[str, str])

#: Digits of a 63-bit number.
_MAX_DIGITS = 19
_MAX_POSITION = 2**63 - 1


def write_position(*position: int) -> str:
    """Write the id of a run, or the position of an event, which may have two parts."""
    return "-".join(map(str, position))


def read_position(cursor: str) -> int:
    """Read what ``write_position`` wrote; "" is the start.

    Raises:
        UsageError: Something else wrote it.
    """
    if not cursor:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= _MAX_DIGITS):
        raise _foreign(cursor)
    position = int(cursor)
    if position > _MAX_POSITION:
        raise _foreign(cursor)
    return position


def read_pair(cursor: str) -> tuple[int, int]:
    """Read a position of two parts; "" is the start.

    Raises:
        UsageError: Something else wrote it.
    """
    if not cursor:
        return 0, 0
    first, dash, second = cursor.partition("-")
    if not dash:
        raise _foreign(cursor)
    return read_position(first or "?"), read_position(second or "?")


def write_key(task_id: str, path: str) -> str:
    """Write the key of a task run in its run."""
    return _json.encode((task_id, path)).decode()


def read_key(cursor: str) -> tuple[str, str] | None:
    """Read what ``write_key`` wrote; "" is the start, None.

    Raises:
        UsageError: Something else wrote it.
    """
    if not cursor:
        return None
    try:
        return _key_decoder.decode(cursor)
    except msgspec.DecodeError:
        raise _foreign(cursor) from None


def _foreign(cursor: str) -> UsageError:
    return UsageError(f"{cursor!r} is no cursor of this list", hint="begin again without one")
