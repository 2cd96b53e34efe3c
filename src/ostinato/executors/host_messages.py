"""This module is what a code host and the process that asks it say to each other."""

import msgspec
from msgspec import Struct

from ostinato.model.failure import Failure


class ForkChild(Struct, frozen=True, tag="fork"):
    """Fork a child; its socket comes along as a file descriptor."""

    number: int


class ForkTriggers(Struct, frozen=True, tag="fork_triggers"):
    """Fork a process for triggers; its socket comes along as a file descriptor.

    Attributes:
        log: File for what triggers print; empty for nowhere.
    """

    log: str


class ForkEvaluation(Struct, frozen=True, tag="fork_evaluation"):
    """Fork a process that calls one function of ours; its socket comes along.

    Attributes:
        evaluator: The function as ``module:name``; takes what was loaded and the payload.
        payload: What it is given.
        timeout_s: Seconds after which the process is killed.
        log: File for what users' code prints; empty for nowhere.
    """

    evaluator: str
    payload: bytes
    timeout_s: float
    log: str = ""


class ForkEvaluator(Struct, frozen=True, tag="fork_evaluator"):
    """Fork a process that calls users' functions for its socket, which comes along."""


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


class Evaluating(Struct, frozen=True, tag="evaluating"):
    """The process of an evaluation begins."""

    pid: int


class Evaluated(Struct, frozen=True, tag="evaluated"):
    """An evaluation returned."""

    data: bytes


class EvaluationRaised(Struct, frozen=True, tag="raised"):
    """An evaluation raised; users' code did, or the function that called it."""

    failure: Failure


ToHost = ForkChild | ForkTriggers | ForkEvaluation | ForkEvaluator
FromHost = Manifested | NotLoaded | Forked | Exited
FromEvaluation = Evaluating | Evaluated | EvaluationRaised

encode = msgspec.msgpack.Encoder().encode
decode_from_host = msgspec.msgpack.Decoder(FromHost).decode
decode_to_host = msgspec.msgpack.Decoder(ToHost).decode
decode_from_evaluation = msgspec.msgpack.Decoder(FromEvaluation).decode
