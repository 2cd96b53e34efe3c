"""This module is what callers may do with sensors, and with sources of messages."""

from collections.abc import Iterable

from ostinato.client.sensors import Sensors
from ostinato.server.api import documents
from ostinato.server.api.operations import Ask, Operation


class SensorOperations:
    """Show sensors, pause and resume them.

    Args:
        sensors: How they stand.
        project: Name of the project.
    """

    def __init__(self, sensors: Sensors, project: str) -> None:
        self._sensors = sensors
        self._project = project

    def operations(self) -> Iterable[Operation]:
        """Yield the operations."""
        yield Operation(
            method="GET",
            path="/sensors",
            name="list_sensors",
            summary="List the sensors and sources of messages that a scheduler has seen.",
            handle=self._list,
            returns=documents.SensorList,
        )
        yield Operation(
            method="GET",
            path="/sensors/ticks",
            name="list_sensor_ticks",
            summary="List the newest ticks of a sensor, with what came of them, newest first.",
            handle=self._ticks,
            returns=documents.SensorTickList,
            query=documents.SensorTickQuery,
            refusals=(404,),
        )
        yield Operation(
            method="POST",
            path="/sensors/pause",
            name="pause_sensor",
            summary="Call a sensor no more until it is resumed.",
            handle=self._pause,
            returns=documents.Sensor,
            query=documents.SensorQuery,
            refusals=(404,),
        )
        yield Operation(
            method="POST",
            path="/sensors/resume",
            name="resume_sensor",
            summary="Have a paused sensor go on, at once.",
            handle=self._resume,
            returns=documents.Sensor,
            query=documents.SensorQuery,
            refusals=(404,),
        )

    def _list(self, _ask: Ask) -> documents.SensorList:
        states = self._sensors.states(self._project)
        return documents.SensorList([documents.sensor_document(state) for state in states])

    def _ticks(self, ask: Ask) -> documents.SensorTickList:
        query: documents.SensorTickQuery = ask.query
        found = self._sensors.ticks(self._project, query.name, limit=query.limit)
        return documents.SensorTickList([documents.sensor_tick_document(tick) for tick in found])

    def _pause(self, ask: Ask) -> documents.Sensor:
        query: documents.SensorQuery = ask.query
        self._sensors.pause(self._project, query.name)
        return self._document(query.name)

    def _resume(self, ask: Ask) -> documents.Sensor:
        query: documents.SensorQuery = ask.query
        self._sensors.resume(self._project, query.name)
        return self._document(query.name)

    def _document(self, name: str) -> documents.Sensor:
        return documents.sensor_document(self._sensors.state(self._project, name))
