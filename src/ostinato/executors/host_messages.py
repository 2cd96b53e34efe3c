"""This module is what a code host and the process that asks it say to each other."""

import msgspec
from msgspec import Struct


class ForkChild(Struct, frozen=True, tag="fork"):
    """Fork a child; its socket comes along as a file descriptor."""

    number: int


class ForkTriggers(Struct, frozen=True, tag="fork_triggers"):
    """Fork a process for triggers; its socket comes along as a file descriptor.

    Attributes:
        log: File for what triggers print; empty for nowhere.
    """

    log: str


class ForkEvaluator(Struct, frozen=True, tag="fork_evaluator"):
    """Fork a process that calls users' functions for its socket, which comes along."""


class Beat(Struct, frozen=True, tag="beat"):
    """Let children that execute attempts live until a moment, unless a later one is told.

    Attributes:
        until_s: Of the monotonic clock, which all processes of a machine share.
    """

    until_s: float


class Manifested(Struct, frozen=True, tag="manifest"):
    """The definitions were loaded."""

    data: bytes
    version: str


class NotLoaded(Struct, frozen=True, tag="not_loaded"):
    """The definitions could not be loaded; ``code`` as in ``errors``."""

    code: str
    message: str


class Forked(Struct, frozen=True, tag="forked"):
    """A child was forked."""

    number: int
    pid: int


class Exited(Struct, frozen=True, tag="exited"):
    """A child has ended; ``status`` as ``os.waitpid`` gives it."""

    pid: int
    status: int


ToHost = ForkChild | ForkTriggers | ForkEvaluator | Beat
FromHost = Manifested | NotLoaded | Forked | Exited

encode = msgspec.msgpack.Encoder().encode
decode_from_host = msgspec.msgpack.Decoder(FromHost).decode
decode_to_host = msgspec.msgpack.Decoder(ToHost).decode
