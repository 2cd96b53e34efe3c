"""This module makes the runs that messages start, and keeps what became of each."""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ostinato.client.local import LocalClient
from ostinato.client.parameters import validate_params
from ostinato.client.records import NewRun
from ostinato.client.service_runs import ServiceRuns
from ostinato.clock import Clock
from ostinato.errors import OstinatoError
from ostinato.executors.served_code import InForce
from ostinato.model.event_source import EventSource
from ostinato.model.flow import FlowDefinition
from ostinato.model.message import Message
from ostinato.model.sensor_state import SensorState, TickOutcome, TickRow
from ostinato.project.discovery import Project

logger = logging.getLogger(__name__)

#: What ``trigger`` says of the runs.
TRIGGER = "event"

#: The parameter of a flow that gets a whole message.
WHOLE = "message"

#: Ids of new runs that a tick names.
_MAX_NAMED_RUNS = 20

#: Characters of the id of a message that are kept as they are.
MAX_ID = 500

#: A tick is kept although others are kept meanwhile, after so many tries at most.
_TRIES = 5


class Deliveries:
    """Make runs of messages; safe in all threads.

    The key of a run is made of its source and the id of its message, so that what is delivered
    again doubles nothing.

    Args:
        client: Where sources and runs are kept.
        project: Whose.
        flows: Finds the flows in force.
        clock: The time.
    """

    def __init__(
        self,
        client: LocalClient,
        project: Project,
        flows: Callable[[], Mapping[str, InForce]],
        clock: Clock,
    ) -> None:
        self._client = client
        self._project = project
        self._flows = flows
        self._clock = clock
        self._service_runs = ServiceRuns(project)

    def state(self, source: EventSource) -> SensorState:
        """Return what is kept of a source."""
        return self._client.sensors.ensure(self._project.name, source.label)

    def deliver(self, source: EventSource, messages: Sequence[Message]) -> None:
        """Start a run of each flow that listens, for each message; all in one commit.

        A message that does not fit a flow starts no run of it: its tick says so.

        Args:
            source: Where they come from.
            messages: In the order in which they came.

        Raises:
            StoreError: Nothing was kept.
        """
        if not messages:
            return
        started_us = self._clock.now_us()
        new, problems = self._runs(source, messages, started_us)
        rows = self._client.create_runs(new) if new else []
        fresh = list(dict.fromkeys(row.id for row in rows if row.created_us >= started_us))
        known = len({row.id for row in rows}) - len(fresh)
        reason = ""
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            reason = f"{problems[0]}{more}".replace("\0", "")
            logger.warning("%s: %s", source.label, reason)
        outcome = TickOutcome.REQUESTED if rows else TickOutcome.SKIPPED
        tick = TickRow(
            0,
            started_us,
            self._clock.now_us(),
            1,
            TickOutcome.FAILED if problems else outcome,
            reason or ("" if rows else "no flow listens"),
            len(fresh),
            known,
            ",".join(map(str, fresh[:_MAX_NAMED_RUNS])),
        )
        self._keep(source, tick, has_failed=bool(problems))

    def note(self, source: EventSource, outcome: TickOutcome, reason: str) -> None:
        """Keep what happened to a source beside its messages.

        Raises:
            StoreError: It could not be kept.
        """
        now_us = self._clock.now_us()
        tick = TickRow(0, now_us, now_us, 1, outcome, reason.replace("\0", ""))
        self._keep(source, tick, has_failed=outcome is TickOutcome.FAILED)

    def _keep(self, source: EventSource, tick: TickRow, *, has_failed: bool) -> None:
        for _ in range(_TRIES):
            before = self.state(source)
            after = before._replace(
                ticked_us=tick.ended_us,
                succeeded_us=before.succeeded_us if has_failed else tick.ended_us,
                failures=before.failures + 1 if has_failed else 0,
            )
            if self._client.sensors.keep_tick(before, after, tick):
                return

    def _runs(
        self, source: EventSource, messages: Sequence[Message], now_us: int
    ) -> tuple[list[NewRun], list[str]]:
        listening = [
            flow
            for flow in self._flows().values()
            if any(each.label == source.label for each in flow.definition.on)
        ]
        new: list[NewRun] = []
        problems: list[str] = []
        for message in messages:
            for flow in listening:
                try:
                    new.append(self._run(source, flow, message, now_us))
                except OstinatoError as error:
                    problems.append(f"message {message.id}: {error}")
        return new, problems

    def _run(self, source: EventSource, flow: InForce, message: Message, now_us: int) -> NewRun:
        return self._service_runs.new(
            flow.definition,
            flow.version,
            validate_params(flow.definition, params_of(flow.definition, message.body)),
            trigger=TRIGGER,
            date_us=now_us,
            tags=(f"event:{source.label}",),
            logical_key=f"event:{source.label}:{key_of(message.id)}",
        )


def key_of(name: str) -> str:
    r"""Return the id of a message as keys of runs can hold it.

    >>> key_of("m1"), len(key_of("x" * 10_000)), key_of("a\0b") == key_of("ab")
    ('m1', 464, False)
    """
    plain = name.encode("utf-8", "backslashreplace").decode().replace("\0", "")
    if plain == name and len(plain) <= MAX_ID:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()
    return f"{plain[: MAX_ID - 100]}:{digest[:63]}"


def params_of(flow: FlowDefinition, body: Any) -> dict[str, Any]:
    """Return the parameters of a run that a message starts.

    Args:
        flow: What is to run.
        body: What the message says. Of a JSON object the keys are taken that are parameters; a
            parameter ``message`` that it does not name is the whole.

    >>> from ostinato.model.flow import Parameter
    >>> flow = FlowDefinition("etl", parameters=(Parameter("path"), Parameter("message")))
    >>> params_of(flow, {"path": "a.csv", "size": 7})
    {'path': 'a.csv', 'message': {'path': 'a.csv', 'size': 7}}
    """
    names = [parameter.name for parameter in flow.parameters]
    params = {n: body[n] for n in names if n in body} if isinstance(body, dict) else {}
    if WHOLE in names and WHOLE not in params:
        params[WHOLE] = body
    return params
