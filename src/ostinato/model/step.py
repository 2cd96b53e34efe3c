"""This module describes a step of a flow that is a function, as it is kept."""

import msgspec
from msgspec import Struct

#: Id of the task that is the body of a flow that is a function.
BODY = "@body"


class StepInfo(Struct, frozen=True, omit_defaults=True):
    """What a step's row has beyond that of other task runs.

    Attributes:
        digest: Of its task and arguments; a replay compares it.
        is_exact: Whether the digest covers every argument by value and not by type alone.
        place: ``file:line`` of the call.
        error: The exception that it ended with, pickled, so that a replay raises it again.
        cached_from: The run whose result it took over, such as ``etl#17``; empty for its own.
        run_id: Of the subflow's run that it stands for, else 0.
        by: Who answered, where a person was asked.
    """

    digest: bytes
    is_exact: bool = True
    place: str = ""
    error: bytes = b""
    cached_from: str = ""
    run_id: int = 0
    by: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(StepInfo).decode


def encode_step(info: StepInfo) -> bytes:
    """Write what a step's row keeps."""
    return _encode(info)


def decode_step(data: bytes) -> StepInfo:
    """Read what ``encode_step`` wrote."""
    return _decode(data)
