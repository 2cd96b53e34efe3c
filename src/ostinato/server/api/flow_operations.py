"""This module is what callers may do with flows."""

from collections.abc import Iterable

from ostinato.client.flows import FlowDirectory
from ostinato.server.api import documents
from ostinato.server.api.operations import Ask, Operation, Reply


class FlowOperations:
    """Show flows, and start runs of them.

    Args:
        flows: That are served.
    """

    def __init__(self, flows: FlowDirectory) -> None:
        self._flows = flows

    def operations(self) -> Iterable[Operation]:
        """Yield the operations."""
        yield Operation(
            method="GET",
            path="/flows",
            name="list_flows",
            summary="List the flows whose code is served.",
            handle=self._list,
            returns=documents.FlowList,
        )
        yield Operation(
            method="GET",
            path="/flows/{flow}",
            name="get_flow",
            summary="Show a flow, with its parameters.",
            handle=self._get,
            returns=documents.Flow,
            refusals=(404,),
        )
        yield Operation(
            method="POST",
            path="/flows/{flow}/runs",
            name="start_run",
            summary="Start a run; with a key that was used before, show the first one.",
            handle=self._start,
            returns=documents.Run,
            body=documents.NewRun,
            statuses=(201, 200),
            refusals=(404, 422),
            is_keyed=True,
        )

    def _list(self, _ask: Ask) -> documents.FlowList:
        return documents.FlowList([documents.flow_document(each) for each in self._flows.all()])

    def _get(self, ask: Ask) -> documents.Flow:
        return documents.flow_document(self._flows.find(ask.path["flow"]))

    def _start(self, ask: Ask) -> Reply:
        wanted: documents.NewRun = ask.body
        key = wanted.key or ask.key
        started = self._flows.start(
            ask.path["flow"],
            wanted.params,
            date=wanted.date,
            logical_key=f"api:{key}" if key else "",
            tags=wanted.tags,
        )
        return Reply(documents.run_document(started.run), 201 if started.is_new else 200)
