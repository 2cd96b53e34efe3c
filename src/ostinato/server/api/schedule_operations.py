"""This module is what callers may do with schedules."""

from collections.abc import Iterable

from ostinato.client.flows import FlowDirectory, ServedFlow
from ostinato.client.schedules import Schedules
from ostinato.errors import UnknownFlow
from ostinato.model.schedule_tick import ScheduleRow
from ostinato.server.api import documents
from ostinato.server.api.operations import Ask, Operation

#: Who asked, where a schedule says who paused it.
_BY = "api"


class ScheduleOperations:
    """Show schedules, pause and resume them.

    Args:
        schedules: How they stand.
        flows: That are served.
        project: Name of the project.
    """

    def __init__(self, schedules: Schedules, flows: FlowDirectory, project: str) -> None:
        self._schedules = schedules
        self._flows = flows
        self._project = project

    def operations(self) -> Iterable[Operation]:
        """Yield the operations."""
        yield Operation(
            method="GET",
            path="/schedules",
            name="list_schedules",
            summary="List the schedules of the flows that are served.",
            handle=self._list,
            returns=documents.ScheduleList,
        )
        yield Operation(
            method="GET",
            path="/schedules/{flow}/ticks",
            name="list_schedule_ticks",
            summary="List the newest ticks of a schedule, with what they did, newest first.",
            handle=self._ticks,
            returns=documents.ScheduleTickList,
            query=documents.ScheduleTickQuery,
            refusals=(404,),
        )
        yield Operation(
            method="POST",
            path="/schedules/{flow}/pause",
            name="pause_schedule",
            summary="Have a schedule make no runs until it is resumed.",
            handle=self._pause,
            returns=documents.Schedule,
            refusals=(404,),
        )
        yield Operation(
            method="POST",
            path="/schedules/{flow}/resume",
            name="resume_schedule",
            summary="Have a paused schedule go on.",
            handle=self._resume,
            returns=documents.Schedule,
            refusals=(404,),
        )

    def _list(self, _ask: Ask) -> documents.ScheduleList:
        rows = self._schedules.all(self._project)
        return documents.ScheduleList(
            [
                documents.schedule_document(flow, rows.get(flow.definition.name))
                for flow in self._flows.all()
                if flow.definition.schedule
            ]
        )

    def _ticks(self, ask: Ask) -> documents.ScheduleTickList:
        name = self._scheduled(ask).definition.name
        query: documents.ScheduleTickQuery = ask.query
        found = self._schedules.ticks(self._project, name, limit=query.limit)
        return documents.ScheduleTickList([documents.tick_document(tick) for tick in found])

    def _pause(self, ask: Ask) -> documents.Schedule:
        flow = self._scheduled(ask)
        self._schedules.pause(self._project, [flow.definition.name], _BY)
        return documents.schedule_document(flow, self._row(flow))

    def _resume(self, ask: Ask) -> documents.Schedule:
        flow = self._scheduled(ask)
        self._schedules.resume(self._project, [flow.definition.name], _BY)
        return documents.schedule_document(flow, self._row(flow))

    def _row(self, flow: ServedFlow) -> ScheduleRow | None:
        return self._schedules.find(self._project, flow.definition.name)

    def _scheduled(self, ask: Ask) -> ServedFlow:
        flow = self._flows.find(ask.path["flow"])
        if not flow.definition.schedule:
            raise UnknownFlow(f"flow {flow.definition.name!r} has no schedule")
        return flow
