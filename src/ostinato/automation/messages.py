"""This module listens for the messages that start runs: webhooks, files, and systems outside."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from ostinato.authoring.listeners import Listener, listener_for
from ostinato.automation.deliveries import Deliveries
from ostinato.automation.file_arrivals import FileArrivals
from ostinato.automation.sensors import Code
from ostinato.client.local import LocalClient
from ostinato.clock import Clock, SystemClock
from ostinato.errors import StoreError
from ostinato.executors.served_code import InForce
from ostinato.model.connection import Connection
from ostinato.model.event_source import EventSource, FileArrival, Webhook
from ostinato.model.health import PartHealth
from ostinato.model.message import Message
from ostinato.model.sensor_state import SensorState, TickOutcome
from ostinato.project.discovery import Project

logger = logging.getLogger(__name__)

#: Seconds between two looks where nobody says that there is something.
LOOK_S = 5.0

#: Seconds between two looks of one that is not active, and after the store has failed.
IDLE_S = 2.0

#: Seconds until a listener that has failed listens again: each failure doubles them.
FIRST_PAUSE_S, MAX_PAUSE_S = 0.5, 60.0

#: Messages that are delivered in one commit.
_MAX_MESSAGES = 100


class MessageDriver:
    """Listen for messages and start their runs; a part of a scheduler.

    Args:
        client: Where sources and runs are kept.
        project: Whose.
        code: What is in force of its code.
        connect: Returns a connection by its id.
        clock: The time.
        is_active: Whether it is this one that listens, of several.
    """

    name = "messages"

    def __init__(
        self,
        client: LocalClient,
        project: Project,
        code: Code,
        *,
        connect: Callable[[str], Connection],
        clock: Clock | None = None,
        is_active: Callable[[], bool] = lambda: True,
    ) -> None:
        self._client = client
        self._project = project
        self._code = code
        self._connect = connect
        self._clock = clock or SystemClock()
        self._is_active = is_active
        self._deliveries = Deliveries(client, project, lambda: code.flows, self._clock)
        self._listening: dict[str, _Listening] = {}
        self._files: _FileThread | None = None
        self._wake = threading.Event()
        self._is_stopped = False
        self._problem = ""
        code.subscribe(lambda _change: self.wake())

    # The part

    def serve(self) -> None:
        """Listen until it is stopped."""
        try:
            while not self._is_stopped:
                self._wake.wait(self._look())
                self._wake.clear()
        finally:
            self._end()

    def stop(self) -> None:
        """Have ``serve`` return soon."""
        self._is_stopped = True
        self._wake.set()

    def drain(self) -> None:
        """Have ``serve`` return soon: what was delivered is durable, the rest comes again."""
        self.stop()

    def wake(self) -> None:
        """Have it look at once; safe in all threads."""
        self._wake.set()

    def health(self) -> PartHealth:
        """Return how it is."""
        return PartHealth(is_ready=not self._problem, detail=self._problem)

    def _look(self) -> float:
        try:
            if not self._is_active():
                self._listen({}, {})
                return IDLE_S
            self.turn()
        except StoreError as error:
            if not self._problem:
                logger.error("messages wait for the store: %s", error)
            self._problem = str(error)
            return IDLE_S
        self._problem = ""
        return LOOK_S if self._listening or self._files or self._has_webhooks() else LOOK_S * 12

    def turn(self) -> None:
        """Begin and end to listen as the code says, and deliver what was posted.

        Raises:
            StoreError: What was delivered until then stays.
        """
        sources = sources_of(self._code.flows)
        states = {label: self._deliveries.state(source) for label, source in sources.items()}
        self._listen(sources, states)
        for label, source in sources.items():
            if isinstance(source, Webhook) and not states[label].is_paused:
                self._deliver_posted(source)

    def _has_webhooks(self) -> bool:
        return any(isinstance(each, Webhook) for each in sources_of(self._code.flows).values())

    def _deliver_posted(self, source: Webhook) -> None:
        while True:
            posted = self._client.sensors.messages(
                self._project.name, source.label, limit=_MAX_MESSAGES
            )
            messages = [Message(each.message_id, _decoded(each.body)) for each in posted]
            self._deliveries.deliver(source, messages)
            if posted:
                self._client.sensors.forget_messages(posted)
            if len(posted) < _MAX_MESSAGES:
                return

    # Listeners

    def _listen(
        self, sources: Mapping[str, EventSource], states: Mapping[str, SensorState]
    ) -> None:
        wanted = {label: s for label, s in sources.items() if not states[label].is_paused}
        files = {label: s for label, s in wanted.items() if isinstance(s, FileArrival)}
        others = {
            label: s for label, s in wanted.items() if not isinstance(s, FileArrival | Webhook)
        }
        for label, listening in list(self._listening.items()):
            if others.get(label) != listening.source or not listening.is_alive():
                listening.stop()
                del self._listening[label]
        for label, source in others.items():
            if label not in self._listening:
                listening = _Listening(source, self._open, self._deliveries, self._is_active)
                self._listening[label] = listening
                listening.start()
        if self._files is not None:
            self._files.look_for(files)
        elif files:
            self._files = _FileThread(self._client, self._project, self._deliveries, self._clock)
            self._files.look_for(files)
            self._files.start()

    def _open(self, source: EventSource) -> Listener:
        connection = self._connect(getattr(source, "conn_id", ""))
        return listener_for(source, connection)

    def _end(self) -> None:
        threads: list[_Listening | _FileThread] = list(self._listening.values())
        if self._files is not None:
            threads.append(self._files)
        for thread in threads:
            thread.stop()
        for thread in threads:
            # One that hangs in a foreign library ends with the process.
            thread.join(IDLE_S)
        if self._files is not None:
            self._files.close()


class _StandsBy(Exception):
    """End a listener: another scheduler listens, and has what was not taken."""


class _Listening(threading.Thread):
    """Listens to one source, again and again."""

    def __init__(
        self,
        source: EventSource,
        open_listener: Callable[[EventSource], Listener],
        deliveries: Deliveries,
        is_active: Callable[[], bool],
    ) -> None:
        super().__init__(name=source.label, daemon=True)
        self.source = source
        self._open = open_listener
        self._deliveries = deliveries
        self._is_active = is_active
        self._stopping = threading.Event()
        self._failures = 0

    @property
    def is_stopped(self) -> bool:
        """Whether it is to end."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Have it end soon."""
        self._stopping.set()

    def ready(self) -> None:
        """Keep that it listens."""
        self._failures = 0
        self._deliveries.note(self.source, TickOutcome.SKIPPED, "listening")

    def deliver(self, messages: Sequence[Message]) -> None:
        """Start the runs of messages."""
        # A process that was stopped for a while may have been replaced.
        if not self._is_active():
            raise _StandsBy
        self._failures = 0
        for start in range(0, len(messages), _MAX_MESSAGES):
            self._deliveries.deliver(self.source, messages[start : start + _MAX_MESSAGES])

    def run(self) -> None:
        """Listen, and after each failure listen again."""
        while not self.is_stopped:
            try:
                self._open(self.source).listen(self)
            except _StandsBy:
                return
            except Exception as error:  # noqa: BLE001 - drivers of foreign systems raise anything
                if self._stopping.is_set():
                    return
                self._note_failure(error)
            pause_s = min(FIRST_PAUSE_S * 2.0 ** min(self._failures, 10), MAX_PAUSE_S)
            self._failures += 1
            self._stopping.wait(pause_s)

    def _note_failure(self, error: Exception) -> None:
        text = " ".join(str(error).split()) or type(error).__name__
        logger.warning("%s: %s", self.source.label, text)
        try:
            self._deliveries.note(self.source, TickOutcome.FAILED, text)
        except StoreError as failure:
            logger.error("%s: it could not be kept: %s", self.source.label, failure)


class _FileThread(threading.Thread):
    """Waits for the files of all sources."""

    def __init__(
        self, client: LocalClient, project: Project, deliveries: Deliveries, clock: Clock
    ) -> None:
        super().__init__(name="files", daemon=True)
        self._sources: Mapping[str, FileArrival] = {}
        self._arrivals = FileArrivals(client, project, deliveries.deliver, clock)
        self._is_ending = False

    def look_for(self, sources: Mapping[str, FileArrival]) -> None:
        """Say whose files are waited for from now on."""
        if sources != self._sources:
            self._sources = sources
            self._arrivals.wake()

    def stop(self) -> None:
        """Have it end soon."""
        self._is_ending = True
        if self.is_alive():
            self._arrivals.wake()

    def run(self) -> None:
        """Look for files until it is stopped."""
        while not self._is_ending:
            pause_s = IDLE_S
            try:
                pause_s = self._arrivals.look(self._sources)
            except (StoreError, OSError) as error:
                logger.error("files that arrive: %s", error)
            self._arrivals.wait(pause_s)

    def close(self) -> None:
        """Let go of what it watches with, once it has ended."""
        if not self.is_alive():
            self._arrivals.close()


def sources_of(flows: Mapping[str, InForce]) -> dict[str, EventSource]:
    """Return all that flows listen to, by label."""
    sources: dict[str, EventSource] = {}
    for flow in flows.values():
        for source in flow.definition.on:
            sources.setdefault(source.label, source)
    return sources


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body.decode("utf-8", "replace")
