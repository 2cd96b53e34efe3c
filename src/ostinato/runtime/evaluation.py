"""This module evaluates users' functions that belong to no run, in a process of their own.

A sensor's function or a custom timetable is called here, one at a time, with a time limit that is
raised in the user's code, so that its line is known. What holds that back is killed by the
process at the other end of the socket.
"""

import contextlib
import fcntl
import io
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from ostinato.authoring.ports import BuiltFlow, BuiltSensor
from ostinato.errors import ExecutionError, SensorError, UnknownFlow
from ostinato.model.failure import Failure, FailureKind
from ostinato.model.schedule_tick import MomentsInput
from ostinato.model.sensor_tick import TickInput
from ostinato.runtime import messages as msg
from ostinato.runtime.failures import describe_failure
from ostinato.runtime.frames import FrameReader, frame
from ostinato.runtime.masking import masker
from ostinato.runtime.vault_access import VaultAccess, current_vault

#: Bytes of what a function printed that are kept, its end.
MAX_OUTPUT_BYTES = 16 * 1024

_READ_BYTES = 256 * 1024


class Loaded(Protocol):
    """What a project declares, with its code; ``project.loading.Loaded`` is one."""

    @property
    def flows(self) -> Mapping[str, BuiltFlow]:
        """The flows by name."""
        ...

    @property
    def sensors(self) -> Mapping[str, BuiltSensor]:
        """The sensors by name."""
        ...


class Evaluate(Struct, frozen=True, tag="evaluate", array_like=True):
    """Call a user's function.

    Attributes:
        kind: One of ``EVALUATIONS``.
        name: Of what is called.
        payload: What it is told, encoded as its kind has it.
        timeout_s: Seconds that it may take.
    """

    kind: str
    name: str
    payload: bytes
    timeout_s: float


class Evaluated(Struct, frozen=True, tag="evaluated", array_like=True):
    """It returned.

    Attributes:
        payload: What, encoded as its kind has it.
        output: What it printed and logged, the end of it.
    """

    payload: bytes
    output: str = ""


class NotEvaluated(Struct, frozen=True, tag="not_evaluated", array_like=True):
    """It raised, or returned what it must not; ``output`` as for ``Evaluated``."""

    failure: Failure
    output: str = ""


class Ready(Struct, frozen=True, tag="ready", array_like=True):
    """The process waits for its first evaluation."""

    pid: int


ToEvaluator = Evaluate | msg.Reply
FromEvaluator = Ready | Evaluated | NotEvaluated | msg.Call

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ToEvaluator).decode
_decode_tick = msgspec.msgpack.Decoder(TickInput).decode
_decode_moments = msgspec.msgpack.Decoder(MomentsInput).decode


class EvaluationTimeout(BaseException):
    """Stop a function whose time is over; no ``except Exception`` holds it back."""


class EvaluationVault(VaultAccess):
    """Connections and variables for a function that belongs to no run.

    Args:
        call: Asks the process at the other end.
    """

    def __init__(self, call: Callable[[str, dict[str, Any]], Any]) -> None:
        self._call = call

    @property
    def logger(self) -> logging.Logger:
        """The root logger."""
        return logging.getLogger()

    def ask(self, method: str, args: dict[str, Any]) -> Any:
        """Ask the process at the other end."""
        return self._call(method, args)


def evaluate_sensor(loaded: Loaded, name: str, payload: bytes) -> bytes:
    """Call a sensor's function for a tick.

    Args:
        loaded: The project.
        name: Of the sensor.
        payload: A ``TickInput``.

    Raises:
        SensorError: There is no such sensor, or it returns what it must not.
    """
    sensor = loaded.sensors.get(name)
    if sensor is None:
        raise SensorError(f"there is no sensor {name!r} in this version of the code")
    return _encode(sensor.tick(_decode_tick(payload)))


def evaluate_timetable(loaded: Loaded, name: str, payload: bytes) -> bytes:
    """Ask a user's timetable for moments.

    Args:
        loaded: The project.
        name: Of the flow.
        payload: A ``MomentsInput``.

    Raises:
        UnknownFlow: There is no such flow, or its schedule is no timetable of a user.
    """
    flow = loaded.flows.get(name)
    if flow is None or flow.timetable is None:
        raise UnknownFlow(f"there is no timetable of flow {name!r} in this version of the code")
    asked = _decode_moments(payload)
    # Only a flow with a timetable needs it.
    from ostinato.authoring.timetables import moments_after  # noqa: PLC0415 - see above

    found = moments_after(
        flow.timetable,
        asked.after_us,
        timezone=asked.timezone,
        now_us=asked.now_us,
        count=asked.count,
        has_all=asked.has_all,
        is_tick=asked.is_tick,
    )
    return _encode(found)


#: What can be evaluated: by kind, a function of the project, a name and a payload.
EVALUATIONS: Mapping[str, Callable[[Loaded, str, bytes], bytes]] = {
    "sensor": evaluate_sensor,
    "timetable": evaluate_timetable,
}


class Evaluator:
    """Evaluates what a socket asks for, until it is closed.

    Args:
        connection: To the process that asks.
        loaded: The project.
    """

    def __init__(self, connection: socket.socket, loaded: Loaded) -> None:
        self._connection = connection
        self._loaded = loaded
        self._reader = FrameReader()
        self._messages: list[bytes] = []
        self._calls = 0
        self._is_open = False

    def serve(self) -> None:
        """Answer until the other end is gone."""
        self._output = _redirect_output()
        signal.signal(signal.SIGALRM, self._stop)
        current_vault.set(EvaluationVault(self._call))
        self._send(Ready(os.getpid()))
        while (message := self._receive()) is not None:
            if isinstance(message, Evaluate):
                self._send(self._evaluate(message))

    def _evaluate(self, asked: Evaluate) -> Evaluated | NotEvaluated:
        os.ftruncate(self._output, 0)
        try:
            with self._limited(asked.timeout_s):
                payload = EVALUATIONS[asked.kind](self._loaded, asked.name, asked.payload)
        except EvaluationTimeout as error:
            failure = describe_failure(error, FailureKind.TIMEOUT)
            failure = msgspec.structs.replace(failure, type="Timeout")
            return NotEvaluated(failure, self._said())
        except BaseException as error:  # noqa: BLE001 - users' code may raise anything
            return NotEvaluated(describe_failure(error), self._said())
        return Evaluated(payload, self._said())

    @contextlib.contextmanager
    def _limited(self, timeout_s: float) -> Iterator[None]:
        self._timeout_s = timeout_s
        self._is_open = True
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        try:
            yield
        finally:
            self._is_open = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_open:
            self._is_open = False
            raise EvaluationTimeout(f"it took longer than {self._timeout_s:g} s")

    def _said(self) -> str:
        """Return the end of what was printed and logged."""
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        size = os.fstat(self._output).st_size
        data = os.pread(self._output, MAX_OUTPUT_BYTES, max(size - MAX_OUTPUT_BYTES, 0))
        # No store keeps the character NUL.
        return masker.mask(
            data.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
        )

    # The socket

    def _call(self, method: str, args: dict[str, Any]) -> Any:
        self._calls += 1
        self._send(msg.Call(self._calls, 0, method, args))
        while (message := self._receive()) is not None:
            if isinstance(message, msg.Reply) and message.id == self._calls:
                if message.error:
                    raise ExecutionError(message.error)
                return message.value
        raise EvaluationTimeout("nobody waits for it any more")

    def _send(self, message: FromEvaluator) -> None:
        # What cannot be told any more is not missed: the reader finds the closed socket.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.sendall(frame(_encode(message)))

    def _receive(self) -> ToEvaluator | None:
        while not self._messages:
            try:
                data = self._connection.recv(_READ_BYTES)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._messages = self._reader.feed(data)
        message: ToEvaluator = _decode(self._messages.pop(0))
        return message


def _redirect_output() -> int:
    """Send what is printed and logged to a nameless file, and return its descriptor."""
    with tempfile.TemporaryFile() as file:
        output = os.dup(file.fileno())
    # Whoever writes appends: it is emptied before each call.
    fcntl.fcntl(output, fcntl.F_SETFL, fcntl.fcntl(output, fcntl.F_GETFL) | os.O_APPEND)
    for number in (1, 2):
        os.dup2(output, number)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), "utf-8", "replace", line_buffering=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), "utf-8", "replace", line_buffering=True)
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s", force=True)
    return output
