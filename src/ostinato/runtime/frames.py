"""This module cuts a byte stream into frames: four bytes of length, then the message."""

import struct

_HEADER = struct.Struct("!I")


def frame(message: bytes) -> bytes:
    r"""Return a message with its length before it.

    >>> frame(b"ab")
    b'\x00\x00\x00\x02ab'
    """
    return _HEADER.pack(len(message)) + message


class FrameReader:
    """Collect bytes as they come and give back whole messages.

    >>> reader = FrameReader()
    >>> reader.feed(frame(b"ab") + frame(b"c")[:3])
    [b'ab']
    >>> reader.feed(frame(b"c")[3:])
    [b'c']
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are complete with this data."""
        buffer = self._buffer
        buffer += data
        messages: list[bytes] = []
        start, available = 0, len(buffer)
        while available - start >= _HEADER.size:
            (size,) = _HEADER.unpack_from(buffer, start)
            end = start + _HEADER.size + size
            if end > available:
                break
            messages.append(bytes(buffer[start + _HEADER.size : end]))
            start = end
        del buffer[:start]
        return messages
