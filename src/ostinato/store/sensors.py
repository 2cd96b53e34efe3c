"""This module keeps event sensors, their ticks, and messages that are to start runs."""

from collections.abc import Collection, Mapping, Sequence

from ostinato.clock import Clock
from ostinato.model.sensor_state import ReceivedMessage, SensorState, TickOutcome, TickRow
from ostinato.store.database import Database

#: Ticks of a sensor that are kept; those that skip for one reason in a row count as one.
KEPT_TICKS = 500

#: Old ticks are deleted whenever so many have come.
PRUNE_EVERY = 50


class SensorStore:
    """Event sensors in the tables of any store.

    Args:
        database: Of the store.
        sql: Statements by name.
        clock: Stamps rows.
    """

    def __init__(self, database: Database, sql: Mapping[str, str], clock: Clock) -> None:
        self._database = database
        self._sql = sql
        self._clock = clock

    def ensure(
        self, project: str, name: str, *, is_paused: bool = False, cursor: str | None = None
    ) -> SensorState:
        """Return what is kept of a sensor, which is begun with these values if it is new."""
        found = self.find(project, name)
        if found is None:
            with self._database.writing() as connection:
                values = (project, name, int(is_paused), cursor)
                connection.execute(self._sql["insert_sensor"], values)
            found = self.find(project, name)
            assert found is not None, "sensors are never deleted"
        return found

    def find(self, project: str, name: str) -> SensorState | None:
        """Return what is kept of a sensor, None if it was never seen."""
        found = self._database.read(self._sql["select_sensor"], (project, name))
        return _state(found[0]) if found else None

    def all(self, project: str) -> list[SensorState]:
        """Return what is kept of all sensors of a project, in the order of their names."""
        return [_state(row) for row in self._database.read(self._sql["select_sensors"], (project,))]

    def keep_tick(self, before: SensorState, after: SensorState, tick: TickRow) -> bool:
        """Keep what a tick came to, in one commit; return whether it still counts.

        It does not where another tick has ended meanwhile, or somebody has changed the sensor:
        then nothing is written.

        Args:
            before: What was kept when the tick began.
            after: What is to be kept; its number does not count.
            tick: The tick; its number does not count.
        """
        key = (before.project, before.name)
        number = before.number + 1
        with self._database.writing() as connection:
            state = (after.cursor, after.ticked_us, after.succeeded_us, after.last_run_key)
            values = (*state, after.failures, *key, before.number)
            if connection.execute(self._sql["update_sensor"], values).rowcount == 0:
                return False
            is_repeated = False
            if tick.outcome == TickOutcome.SKIPPED:
                repeated = (tick.ended_us, *key, tick.reason, tick.output, *key)
                is_repeated = (
                    connection.execute(self._sql["repeat_sensor_tick"], repeated).rowcount > 0
                )
            if not is_repeated:
                row = (*key, *tick._replace(number=number))
                connection.execute(self._sql["insert_sensor_tick"], row)
            if number % PRUNE_EVERY == 0:
                connection.execute(self._sql["delete_sensor_ticks"], (*key, *key, KEPT_TICKS))
        return True

    def move_cursor(self, before: SensorState, cursor: str) -> bool:
        """Have a sensor go on from a cursor without a tick, unless it was changed meanwhile."""
        return self._change(
            "move_sensor_cursor", (cursor, before.project, before.name, before.number)
        )

    def ticks(self, project: str, name: str, *, before: int = 0, limit: int = 50) -> list[TickRow]:
        """Return ticks of a sensor, newest first.

        Args:
            project: Whose sensor it is.
            name: Of the sensor.
            before: Only those before this number; 0 for the newest.
            limit: At most so many.
        """
        values = (project, name, before or 2**62, limit)
        found = self._database.read(self._sql["select_sensor_ticks"], values)
        return [TickRow._make(row) for row in found]

    def pause(self, project: str, name: str, *, is_paused: bool) -> bool:
        """Pause or resume a sensor, and return whether it is known."""
        return self._change("pause_sensor", (int(is_paused), project, name))

    def set_cursor(self, project: str, name: str, cursor: str | None) -> bool:
        """Have a sensor go on from another cursor, and return whether it is known."""
        return self._change("set_sensor_cursor", (cursor, project, name))

    # Messages

    def receive(self, project: str, source: str, message_id: str, body: bytes) -> bool:
        """Keep a message until its runs are there; return whether it is new.

        Args:
            project: Whose it is.
            source: Label of the source that it came from.
            message_id: Names it.
            body: JSON.
        """
        values = (project, source, message_id, self._clock.now_us(), body)
        return self._change("insert_message", values)

    def messages(self, project: str, source: str, *, limit: int = 100) -> list[ReceivedMessage]:
        """Return messages of a source that wait for their runs, in the order of receipt."""
        found = self._database.read(self._sql["select_messages"], (project, source, limit))
        return [ReceivedMessage._make(row) for row in found]

    def forget_messages(self, ids: Sequence[int]) -> None:
        """Delete messages whose runs are there."""
        with self._database.writing() as connection:
            connection.executemany(self._sql["delete_message"], [(each,) for each in ids])

    # Files

    def seen_files(self, project: str, source: str) -> set[str]:
        """Return the files of a source that have arrived and are still there."""
        found = self._database.read(self._sql["select_seen_files"], (project, source))
        return {file for (file,) in found}

    def note_files(
        self, project: str, source: str, *, arrived: Collection[str], gone: Collection[str]
    ) -> None:
        """Keep that files have arrived, and forget those that are gone, in one commit."""
        key = (project, source)
        with self._database.writing() as connection:
            connection.executemany(self._sql["insert_seen_file"], [(*key, f) for f in arrived])
            connection.executemany(self._sql["delete_seen_file"], [(*key, f) for f in gone])

    def _change(self, statement: str, values: tuple[object, ...]) -> bool:
        with self._database.writing() as connection:
            return connection.execute(self._sql[statement], values).rowcount > 0


def _state(row: Sequence[object]) -> SensorState:
    state = SensorState._make(row)
    return state._replace(is_paused=bool(state.is_paused))
