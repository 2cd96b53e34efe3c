"""This module keeps triggers waiting, in a process or thread that they share."""

import selectors
import socket
import threading
from collections.abc import Callable
from typing import Any, Protocol

from ostinato.clock import Clock, SystemClock
from ostinato.errors import OstinatoError, TriggerFailed
from ostinato.executors.protocol import CallHandler
from ostinato.model.deferral import TriggerSpec
from ostinato.runtime import messages as msg
from ostinato.runtime.failures import describe_failure
from ostinato.runtime.frames import FrameReader, frame

#: How often the process of a trigger may end under it before it counts as broken.
MAX_LOSSES = 5

#: Seconds before a peer that was lost is replaced; each further loss doubles them.
FIRST_PAUSE_S = 0.1

#: Seconds after which a peer without triggers is let go.
IDLE_S = 60.0

_READ_BYTES = 256 * 1024


class Triggers(Protocol):
    """Wait for conditions on behalf of deferred task runs.

    It belongs to the thread of its coordinator's loop. Every started trigger is reported
    exactly once, unless it is stopped before.
    """

    def start(self, token: int, spec: TriggerSpec) -> None:
        """Wait with a trigger; that its task run is deferred is durable."""
        ...

    def stop(self, token: int) -> None:
        """Forget a trigger; an unknown token changes nothing."""
        ...

    def register(self, selector: selectors.BaseSelector) -> None:
        """Remember where to register what the loop must wait for."""
        ...

    def poll(self) -> list[msg.TriggerReport]:
        """Return what has come, and hand over what was started."""
        ...

    def has_work(self) -> bool:
        """Whether ``poll`` would do or return something without waiting."""
        ...

    def next_check_s(self) -> float | None:
        """Return in how many seconds ``poll`` must be called even if nothing comes."""
        ...

    def next_us(self) -> int | None:
        """Return the virtual moment at which a trigger goes on; None where time is real."""
        ...

    def close(self) -> None:
        """Forget all triggers and free everything."""
        ...


class TriggerHost:
    """Keep triggers waiting at the other end of a socket.

    The peer is made when the first trigger is started, and made anew when it is lost; then all
    triggers start again from their stored arguments.

    Args:
        connect: Makes a peer that serves its end of a socket pair.
        answer: Answers the calls of triggers.
        clock: Measures the pauses between peers.
    """

    def __init__(
        self,
        connect: Callable[[socket.socket], None],
        answer: CallHandler,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._connect = connect
        self._answer = answer
        self._clock = clock or SystemClock()
        self._specs: dict[int, TriggerSpec] = {}
        self._losses: dict[int, int] = {}
        self._starting: list[int] = []
        self._reports: list[msg.TriggerReport] = []
        self._selector: selectors.BaseSelector | None = None
        self._connection: socket.socket | None = None
        self._reader = FrameReader()
        self._unsent = bytearray()
        self._lost_in_a_row = 0
        self._not_before_s = 0.0
        self._idle_since_s = 0.0

    def start(self, token: int, spec: TriggerSpec) -> None:
        """Wait with a trigger from the next ``poll`` on."""
        self._specs[token] = spec
        self._starting.append(token)

    def stop(self, token: int) -> None:
        """Forget a trigger; an unknown token changes nothing."""
        self._losses.pop(token, None)
        if self._specs.pop(token, None) is not None and self._connection is not None:
            self._send(msg.StopTrigger(token))
            self._note_idle()

    def register(self, selector: selectors.BaseSelector) -> None:
        """Remember where to register the socket of a peer."""
        self._selector = selector

    def poll(self) -> list[msg.TriggerReport]:
        """Return what has come, and hand over what was started."""
        if self._starting:
            self._hand_over()
        elif self._is_idle():
            self._disconnect()
        reports, self._reports = self._reports, []
        return reports

    def has_work(self) -> bool:
        """Whether reports wait, or triggers that can be handed over."""
        return bool(self._reports) or (bool(self._starting) and self._pause_s() <= 0)

    def next_check_s(self) -> float | None:
        """Return when a lost peer may be replaced, or an idle one let go."""
        if self._starting:
            return max(self._pause_s(), 0.0)
        if self._connection is not None and not self._specs:
            return max(self._idle_since_s + IDLE_S - self._clock.monotonic_s(), 0.0)
        return None

    def next_us(self) -> int | None:
        """Return None: time is real."""
        return None

    def close(self) -> None:
        """Close the socket, on which the peer ends."""
        self._specs.clear()
        self._starting.clear()
        self._disconnect()

    # The peer

    def _hand_over(self) -> None:
        if self._connection is None:
            if self._pause_s() > 0:
                return
            self._open()
        started = [(token, self._specs[token]) for token in self._starting if token in self._specs]
        self._starting.clear()
        if started:
            self._send(msg.StartTriggers(tuple(started)))

    def _open(self) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(0)
        self._connection = ours
        self._reader = FrameReader()
        assert self._selector is not None
        self._selector.register(ours, selectors.EVENT_READ, self._exchange)
        self._connect(theirs)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._unsent.clear()
        if connection is not None:
            if self._selector is not None:
                self._selector.unregister(connection)
            connection.close()

    def _lose(self) -> None:
        """Note that the peer is gone; all triggers start again at a new one."""
        self._disconnect()
        self._not_before_s = self._clock.monotonic_s() + FIRST_PAUSE_S * 2**self._lost_in_a_row
        self._lost_in_a_row += 1
        for token in list(self._specs):
            losses = self._losses[token] = self._losses.get(token, 0) + 1
            if losses > MAX_LOSSES:
                message = f"the process of its trigger ended under it {losses} times"
                del self._specs[token], self._losses[token]
                self._reports.append(msg.Broken(token, describe_failure(TriggerFailed(message))))
        self._starting = list(self._specs)

    def _pause_s(self) -> float:
        return self._not_before_s - self._clock.monotonic_s()

    def _note_idle(self) -> None:
        if not self._specs:
            self._idle_since_s = self._clock.monotonic_s()

    def _is_idle(self) -> bool:
        if self._connection is None or self._specs:
            return False
        return self._clock.monotonic_s() - self._idle_since_s >= IDLE_S

    # Frames

    def _send(self, message: msg.ToTriggers) -> None:
        self._unsent += frame(msg.encode(message))
        self._flush()

    def _flush(self) -> None:
        assert self._connection is not None
        assert self._selector is not None
        try:
            sent = self._connection.send(self._unsent) if self._unsent else 0
        except BlockingIOError:
            sent = 0
        except (BrokenPipeError, ConnectionResetError):
            # Its end is found when the socket is read.
            sent = len(self._unsent)
        del self._unsent[:sent]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        self._selector.modify(self._connection, events, self._exchange)

    def _exchange(self) -> None:
        """Send what is left to send and read what has come; the loop calls it."""
        if self._connection is None:
            return
        if self._unsent:
            self._flush()
        try:
            data = self._connection.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._lose()
            return
        for message in self._reader.feed(data):
            self._take(msg.decode_from_triggers(message))

    def _take(self, message: msg.FromTriggers) -> None:
        if isinstance(message, msg.Call):
            self._send(self._reply(message))
            return
        self._lost_in_a_row = 0
        if self._specs.pop(message.token, None) is not None:
            self._losses.pop(message.token, None)
            self._reports.append(message)
            self._note_idle()

    def _reply(self, call: msg.Call) -> msg.Reply:
        try:
            value: Any = self._answer(call.token, call.method, call.args)
        except OstinatoError as error:
            return msg.Reply(call.id, error=str(error))
        return msg.Reply(call.id, value)


def serve_in_thread(connection: socket.socket) -> None:
    """Serve triggers in a thread of this process, for runs without child processes.

    Args:
        connection: The peer's end of a socket pair; closing the other one ends the thread.
    """
    # asyncio is for those who wait.
    from ostinato.runtime.trigger_loop import serve_triggers  # noqa: PLC0415 - see above

    def serve() -> None:
        with connection:
            serve_triggers(connection, is_watched=False)

    threading.Thread(target=serve, name="triggers", daemon=True).start()
