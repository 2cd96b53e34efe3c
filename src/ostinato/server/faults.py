"""This module turns what goes wrong into answers: a status, a code, a sentence, and advice."""

import logging
from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ostinato.errors import (
    AnswerError,
    InternalError,
    OstinatoError,
    ParameterError,
    RunNotFound,
    SensorNotFound,
    StoreError,
    UnknownConnection,
    UnknownFlow,
    UnknownTask,
    UnknownVariable,
    UsageError,
)

logger = logging.getLogger(__name__)

#: Status by kind of error; the first that fits counts.
_STATUSES: tuple[tuple[tuple[type[OstinatoError], ...], int], ...] = (
    ((RunNotFound, SensorNotFound, UnknownFlow, UnknownTask), 404),
    ((UnknownConnection, UnknownVariable), 404),
    ((ParameterError, AnswerError), 422),
    ((StoreError,), 503),
    ((InternalError,), 500),
    ((UsageError,), 400),
)


class Fault(msgspec.Struct, frozen=True):
    """Why a request is not answered as it was meant.

    Attributes:
        status: Of the answer.
        code: Stable identifier for programs.
        message: What is wrong, in one line.
        hint: What to do about it; or empty.
    """

    status: int
    code: str
    message: str
    hint: str = ""


class Refused(Exception):
    """Carry a fault out of the function that answers a request.

    Args:
        fault: What is wrong.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def fault_of(error: Exception) -> Fault:
    """Return what an error says to whoever asked."""
    if isinstance(error, Refused):
        return error.fault
    if isinstance(error, OstinatoError):
        status = next((status for kinds, status in _STATUSES if isinstance(error, kinds)), 400)
        where = f"{error.place}: " if error.place else ""
        return Fault(status, error.code, f"{where}{error.message}", error.hint)
    return Fault(500, InternalError.code, "the server failed", "its log says why")


def fault_response(fault: Fault, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that tells of a fault."""
    document = {"code": fault.code, "message": fault.message, "hint": fault.hint}
    more = {"www-authenticate": "Bearer"} if fault.status == 401 else {}
    if fault.status == 503:
        more["retry-after"] = "2"
    return Response(
        msgspec.json.encode(document),
        fault.status,
        headers={**(headers or {}), **more},
        media_type="application/json",
    )


def answer_to(request: Request, error: Exception) -> Response:
    """Return the answer to a request that led to an error; what is our fault is logged."""
    fault = fault_of(error)
    if fault.status >= 500:
        fields = {"method": request.method, "path": request.url.path}
        unexpected = None if isinstance(error, StoreError) else error
        logger.error("request failed: %s", error, extra=fields, exc_info=unexpected)
    return fault_response(fault)
