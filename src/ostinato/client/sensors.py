"""This module is what people may want of event sensors, and what drives them asks of the store."""

from collections.abc import Collection, Sequence

import msgspec
from msgspec import Struct

from ostinato.authoring.suggestions import did_you_mean
from ostinato.engine.events import RunEnded
from ostinato.errors import SensorNotFound
from ostinato.model.sensor_state import ReceivedMessage, SensorState, TickRow
from ostinato.model.sensor_tick import EndedRun
from ostinato.store.protocol import Store

#: Events of runs that are read at a time.
_PAGE = 1000


class RunEnd(Struct, frozen=True):
    """The end of a run, as the event log has it.

    Attributes:
        run: The run, as it was then.
        cursor: Behind this event.
    """

    run: EndedRun
    cursor: str


class Sensors:
    """Follow and steer event sensors; a scheduler drives them.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sensors = store.sensors

    def states(self, project: str) -> list[SensorState]:
        """Return what is kept of all sensors of a project, in the order of their names."""
        return self._sensors.all(project)

    def state(self, project: str, name: str) -> SensorState:
        """Return what is kept of a sensor.

        Raises:
            SensorNotFound: It was never seen.
        """
        found = self._sensors.find(project, name)
        if found is None:
            raise self._unknown(project, name)
        return found

    def ticks(self, project: str, name: str, *, before: int = 0, limit: int = 50) -> list[TickRow]:
        """Return ticks of a sensor, newest first.

        Raises:
            SensorNotFound: It was never seen.
        """
        self.state(project, name)
        return self._sensors.ticks(project, name, before=before, limit=limit)

    def pause(self, project: str, name: str) -> None:
        """Have a sensor wait until it is resumed.

        Raises:
            SensorNotFound: It was never seen.
        """
        if not self._sensors.pause(project, name, is_paused=True):
            raise self._unknown(project, name)
        self._store.wake_schedulers()

    def resume(self, project: str, name: str) -> None:
        """Have a paused sensor go on, at once.

        Raises:
            SensorNotFound: It was never seen.
        """
        if not self._sensors.pause(project, name, is_paused=False):
            raise self._unknown(project, name)
        self._store.wake_schedulers()

    def set_cursor(self, project: str, name: str, cursor: str | None) -> None:
        """Have a sensor go on from another cursor; None for the beginning.

        Raises:
            SensorNotFound: It was never seen.
        """
        if not self._sensors.set_cursor(project, name, cursor):
            raise self._unknown(project, name)
        self._store.wake_schedulers()

    # What drives them

    def ensure(
        self, project: str, name: str, *, is_paused: bool = False, cursor: str | None = None
    ) -> SensorState:
        """Return what is kept of a sensor, which is begun with these values if it is new."""
        return self._sensors.ensure(project, name, is_paused=is_paused, cursor=cursor)

    def keep_tick(self, before: SensorState, after: SensorState, tick: TickRow) -> bool:
        """Keep what a tick came to, in one commit; return whether it still counts."""
        return self._sensors.keep_tick(before, after, tick)

    def move_cursor(self, before: SensorState, cursor: str) -> bool:
        """Have a sensor go on from a cursor without a tick, unless it was changed meanwhile."""
        return self._sensors.move_cursor(before, cursor)

    def ends_of_runs(
        self,
        project: str,
        after: str,
        *,
        states: Collection[str],
        flows: Collection[str] = (),
        but: Collection[str] = (),
        limit: int = 100,
    ) -> tuple[list[RunEnd], str]:
        """Return runs that have ended, in the order of the log, and the cursor to go on from.

        Args:
            project: Whose runs.
            after: The cursor behind what is known.
            states: Labels of the states that count.
            flows: Names of the flows whose runs count; none for all.
            but: Names of flows whose runs do not count.
            limit: At most so many.
        """
        # Read before the events: what is written in between comes with the next look.
        end = self._store.event_cursor()
        found: list[RunEnd] = []
        while len(found) < limit:
            events = self._store.events(after=after, limit=_PAGE, of_runs=True)
            for logged in events:
                after = logged.cursor
                event = logged.event
                if not isinstance(event, RunEnded) or event.state not in states:
                    continue
                row = self._store.run(logged.run_id)
                if row is None or row.project != project or row.flow in but:
                    continue
                if flows and row.flow not in flows:
                    continue
                run = EndedRun(
                    str(row.id),
                    f"{row.flow}#{row.number}",
                    row.flow,
                    event.state,
                    event.reason,
                    msgspec.json.decode(row.params),
                    row.tags,
                    row.logical_date_us,
                    row.started_us,
                    event.at_us,
                    row.name,
                )
                found.append(RunEnd(run, after))
                if len(found) == limit:
                    return found, after
            if len(events) < _PAGE:
                return found, end
        return found, after

    def event_cursor(self) -> str:
        """Return the cursor behind the newest event."""
        return self._store.event_cursor()

    # Messages

    def receive(self, project: str, source: str, message_id: str, body: bytes) -> bool:
        """Keep a message until its runs are there, and return whether it is new.

        It is durable when this returns.

        Args:
            project: Whose it is.
            source: Label of the source that it came from.
            message_id: Names it: one that is sent twice is one.
            body: JSON.
        """
        is_new = self._sensors.receive(project, source, message_id, body)
        self._store.wake_schedulers()
        return is_new

    def messages(self, project: str, source: str, *, limit: int = 100) -> list[ReceivedMessage]:
        """Return messages of a source that wait for their runs, in the order of receipt."""
        return self._sensors.messages(project, source, limit=limit)

    def forget_messages(self, messages: Sequence[ReceivedMessage]) -> None:
        """Delete messages whose runs are there."""
        self._sensors.forget_messages([message.id for message in messages])

    # Files

    def seen_files(self, project: str, source: str) -> set[str]:
        """Return the files of a source that have arrived and are still there."""
        return self._sensors.seen_files(project, source)

    def note_files(
        self, project: str, source: str, *, arrived: Collection[str], gone: Collection[str]
    ) -> None:
        """Keep that files have arrived, and forget those that are gone, in one commit."""
        self._sensors.note_files(project, source, arrived=arrived, gone=gone)

    def _unknown(self, project: str, name: str) -> SensorNotFound:
        names = [state.name for state in self._sensors.all(project)]
        some = f"sensors are {', '.join(names[:10])}" if names else "a scheduler makes them known"
        message = f"no sensor {name!r} was ever seen in project {project!r}"
        return SensorNotFound(message, hint=did_you_mean(name, names) or some)
