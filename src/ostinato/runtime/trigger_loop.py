"""This module runs triggers on an event loop that they share."""

import asyncio
import contextlib
import importlib
import itertools
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import msgspec

from ostinato.authoring.triggers import Trigger, current_port
from ostinato.clock import SystemClock
from ostinato.errors import ExecutionError, TriggerFailed
from ostinato.model.deferral import TriggerSpec
from ostinato.runtime import messages as msg
from ostinato.runtime.failures import describe_failure
from ostinato.runtime.frames import FrameReader, frame
from ostinato.runtime.masking import masker

#: Seconds for which one trigger may keep all others from going on.
BLOCKED_S = 10.0

#: Seconds between two looks of the watch, and between two beats of the loop.
BEAT_S = 1.0

_READ_BYTES = 256 * 1024
_encode = msgspec.json.Encoder().encode


class TriggerLoop:
    """Runs triggers by their tokens; belongs to the thread of its event loop.

    Args:
        loop: Where they run.
        tell: Takes what becomes of them, and their calls.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, tell: Callable[[msg.FromTriggers], None]
    ) -> None:
        self._loop = loop
        self._tell = tell
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)

    def take(self, message: msg.ToTriggers) -> None:
        """Do what the coordinator says."""
        match message:
            case msg.StartTriggers(triggers=triggers):
                for token, spec in triggers:
                    self._tasks[token] = self._loop.create_task(self._run(token, spec))
            case msg.StopTrigger(token=token):
                task = self._tasks.pop(token, None)
                if task is not None:
                    task.cancel()
            case msg.Reply():
                self._reply(message)

    def token_of(self, task: "asyncio.Task[Any] | None") -> int | None:
        """Return which trigger a task of the loop runs, None if it is none."""
        return next((token for token, one in self._tasks.items() if one is task), None)

    async def call(self, token: int, method: str, args: dict[str, Any]) -> Any:
        """Ask the coordinator for something on behalf of a trigger.

        Raises:
            ExecutionError: It refuses.
        """
        number = next(self._numbers)
        answer = self._replies[number] = self._loop.create_future()
        try:
            self._tell(msg.Call(number, token, method, args))
            return await answer
        finally:
            del self._replies[number]

    async def close(self) -> None:
        """Cancel what still runs."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, token: int, spec: TriggerSpec) -> None:
        current_port.set(_Port(self, token))
        report: msg.TriggerReport
        try:
            payload = await load_trigger(spec).run()
            report = msg.Fired(token, _encode_payload(spec, payload))
        except Exception as error:  # noqa: BLE001 - users' triggers may raise anything
            report = msg.Broken(token, describe_failure(error))
        if self._tasks.pop(token, None) is not None:
            self._tell(report)

    def _reply(self, reply: msg.Reply) -> None:
        answer = self._replies.get(reply.id)
        if answer is None or answer.done():
            return
        if reply.error:
            answer.set_exception(ExecutionError(reply.error))
        else:
            answer.set_result(reply.value)


class _Port:
    def __init__(self, triggers: TriggerLoop, token: int) -> None:
        self._triggers = triggers
        self._token = token

    async def call(self, method: str, args: dict[str, Any]) -> Any:
        answer = await self._triggers.call(self._token, method, args)
        if isinstance(answer, dict):
            masker.add(answer.get("secrets", ()))
        return answer


def load_trigger(spec: TriggerSpec) -> Trigger:
    """Make a trigger from what is stored of it.

    Raises:
        TriggerFailed: Its class is not where it was.
        InvalidArgument: Its class takes other fields.
    """
    module_name, _, name = spec.type.partition(":")
    try:
        # Users' files are loaded under names of their own, so they are looked up first.
        found: Any = sys.modules.get(module_name) or importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as err:
        raise TriggerFailed(f"trigger {spec.type} cannot be found: {err}") from None
    if not (isinstance(found, type) and issubclass(found, Trigger)):
        raise TriggerFailed(f"{spec.type} is no trigger")
    return found.from_args(spec.args)


def _encode_payload(spec: TriggerSpec, payload: Any) -> bytes:
    try:
        return _encode(payload)
    except (TypeError, ValueError) as err:
        message = f"trigger {spec.type} returned what is no JSON value: {err}"
        raise TriggerFailed(message) from None


class TriggerServer:
    """Serves a socket with triggers until its other end is closed.

    Args:
        connection: To the coordinator.
        is_watched: Whether to end the process when a trigger blocks the loop; the process must
            have no other use.
    """

    def __init__(self, connection: socket.socket, *, is_watched: bool) -> None:
        self._connection = connection
        self._is_watched = is_watched
        self._reader = FrameReader()
        self._sending = threading.Lock()
        self._clock = SystemClock()
        self._beat_s = self._clock.monotonic_s()

    def serve(self) -> None:
        """Run the event loop until the coordinator is gone."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._triggers = TriggerLoop(loop, self._tell)
        self._is_over = asyncio.Event()
        self._connection.settimeout(None)
        loop.add_reader(self._connection, self._read)
        if self._is_watched:
            self._beat(loop)
            watch = threading.Thread(target=self._watch, args=(loop,), daemon=True)
            watch.start()
        await self._is_over.wait()
        loop.remove_reader(self._connection)
        await self._triggers.close()

    def _read(self) -> None:
        try:
            data = self._connection.recv(_READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._is_over.set()
            return
        for message in self._reader.feed(data):
            self._triggers.take(msg.decode_to_triggers(message))

    def _tell(self, message: msg.FromTriggers) -> None:
        # What cannot be told any more is not missed: the reader finds the closed socket.
        with self._sending, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.sendall(frame(msg.encode(message)))

    # The watch over a process of its own

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beat_s = self._clock.monotonic_s()
        loop.call_later(BEAT_S, self._beat, loop)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the process when one trigger keeps the others from going on; name it before."""
        seen_s = self._clock.monotonic_s()
        pause = threading.Event()
        while True:
            pause.wait(BEAT_S)
            now_s = self._clock.monotonic_s()
            if now_s - seen_s > 3 * BEAT_S:
                # The whole process stood still, so the loop is not to blame.
                self._beat_s = now_s
            seen_s = now_s
            if now_s - self._beat_s > BLOCKED_S and not self._sending.locked():
                self._accuse(asyncio.current_task(loop))
                # The handler of no exception can hold this back.
                signal.raise_signal(signal.SIGKILL)

    def _accuse(self, task: "asyncio.Task[Any] | None") -> None:
        token = self._triggers.token_of(task)
        if token is None:
            return
        main = threading.main_thread().ident
        stack = traceback.extract_stack(sys._current_frames()[main]) if main else []
        where = f" at {stack[-1].filename}:{stack[-1].lineno}" if stack else ""
        error = TriggerFailed(
            f"it blocked the loop of all triggers for {BLOCKED_S:g} s{where}",
            hint="a trigger awaits: use asyncio.to_thread for what blocks",
        )
        self._tell(msg.Broken(token, describe_failure(error)))


def serve_triggers(connection: socket.socket, *, is_watched: bool) -> None:
    """Run triggers for the coordinator at the other end of a socket, until it is closed.

    Args:
        connection: To the coordinator.
        is_watched: Whether this process is for triggers alone, and ends when one blocks it.
    """
    TriggerServer(connection, is_watched=is_watched).serve()
