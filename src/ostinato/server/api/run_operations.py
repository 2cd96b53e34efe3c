"""This module is what callers may do with runs."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec

from ostinato.client.local import LocalClient
from ostinato.client.new_runs import SERVICE
from ostinato.client.records import RunFilter, RunRow
from ostinato.model.identity import RunId
from ostinato.model.state import RunState, TaskRunState
from ostinato.server.api import documents
from ostinato.server.api.operations import Ask, Operation, Reply
from ostinato.server.faults import Fault, Refused

#: Who asked, where the event log says so.
_BY = "api"

#: Stands for the end of the event log.
NEWEST = "newest"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RunOperations:
    """Show runs and what is in them, cancel them, answer what they ask.

    Args:
        client: Asks the store.
    """

    def __init__(self, client: LocalClient) -> None:
        self._client = client

    def operations(self) -> Iterable[Operation]:
        """Yield the operations."""
        yield Operation(
            method="GET",
            path="/runs",
            name="list_runs",
            summary="List runs, newest first.",
            handle=self._list,
            returns=documents.RunPage,
            query=documents.RunQuery,
        )
        yield Operation(
            method="GET",
            path="/runs/{run}",
            name="get_run",
            summary="Show a run: by its id, flow#17, the newest of a flow, or `last`.",
            handle=self._get,
            returns=documents.Run,
            refusals=(404,),
        )
        yield Operation(
            method="POST",
            path="/runs/{run}/cancel",
            name="cancel_run",
            summary="Ask whoever drives a run to cancel it.",
            handle=self._cancel,
            returns=documents.Run,
            statuses=(202,),
            refusals=(404, 409),
        )
        yield Operation(
            method="POST",
            path="/runs/{run}/retry",
            name="retry_run",
            summary="Ask a worker to execute again what failed in an ended run, or what is named.",
            handle=self._retry,
            returns=documents.Run,
            body=documents.Retry,
            statuses=(202,),
            refusals=(404, 409),
        )
        yield Operation(
            method="GET",
            path="/runs/{run}/task_runs",
            name="list_task_runs",
            summary="List the task runs of a run that have left `pending`.",
            handle=self._task_runs,
            returns=documents.TaskRunPage,
            query=documents.TaskRunQuery,
            refusals=(404,),
        )
        yield Operation(
            method="GET",
            path="/events",
            name="list_events",
            summary="List what happened, in the order of the log; /events/stream goes on.",
            handle=self._events,
            returns=documents.EventPage,
            query=documents.EventQuery,
            refusals=(404,),
        )
        yield Operation(
            method="GET",
            path="/inputs",
            name="list_inputs",
            summary="List what waits for a person.",
            handle=self._inputs,
            returns=documents.InputList,
            query=documents.InputQuery,
            refusals=(404,),
        )
        yield Operation(
            method="POST",
            path="/runs/{run}/answers",
            name="answer_input",
            summary="Answer a task run that waits for a person.",
            handle=self._answer,
            returns=documents.Run,
            body=documents.Answer,
            statuses=(202,),
            refusals=(404, 422),
        )
        yield Operation(
            method="GET",
            path="/coordinators",
            name="list_coordinators",
            summary="List the processes that drive runs or fire schedules.",
            handle=self._coordinators,
            returns=documents.CoordinatorList,
        )

    def _list(self, ask: Ask) -> documents.RunPage:
        query: documents.RunQuery = ask.query
        which = RunFilter(
            flow=query.flow,
            states=tuple(RunState[state.upper()] for state in query.state),
            trigger=query.trigger,
            tag=query.tag,
            params=tuple(map(_param, query.param)),
            created_from_us=_microseconds(query.created_from),
            created_to_us=_microseconds(query.created_to),
        )
        rows, cursor = self._client.runs(which, cursor=query.cursor, limit=query.limit)
        return documents.RunPage([documents.run_document(row) for row in rows], cursor)

    def _get(self, ask: Ask) -> documents.Run:
        return documents.run_document(self._run(ask))

    def _cancel(self, ask: Ask) -> Reply:
        row = self._run(ask)
        if row.state.is_terminal:
            message = f"run {row.flow}#{row.number} has ended: it is {row.state.label}"
            raise Refused(Fault(409, "run-ended", message))
        self._client.cancel(row.id, _BY)
        return Reply(documents.run_document(self._client.run(str(row.id))), 202)

    def _retry(self, ask: Ask) -> Reply:
        row, wanted = self._run(ask), ask.body
        name = f"{row.flow}#{row.number}"
        if not row.state.is_terminal:
            message = f"run {name} has not ended: it is {row.state.label}"
            raise Refused(Fault(409, "run-not-ended", message))
        if row.home != SERVICE:
            hint = f"ostinato retry '{name}' executes it where it was executed"
            raise Refused(Fault(409, "run-is-local", f"no worker drove run {name}", hint))
        self._client.retry(
            row.id, _BY, tasks=wanted.tasks, only=wanted.only, is_failed_only=wanted.failed_only
        )
        return Reply(documents.run_document(row), 202)

    def _task_runs(self, ask: Ask) -> documents.TaskRunPage:
        query: documents.TaskRunQuery = ask.query
        views, cursor = self._client.task_runs_page(
            self._run(ask).id,
            task_id=query.task,
            states=tuple(TaskRunState[state.upper()] for state in query.state),
            cursor=query.cursor,
            limit=query.limit,
        )
        items = [documents.task_run_document(view) for view in views]
        return documents.TaskRunPage(items, cursor)

    def _events(self, ask: Ask) -> documents.EventPage:
        query: documents.EventQuery = ask.query
        run_id = self.run_id(query.run)
        if query.after == NEWEST:
            return documents.EventPage([], self._client.event_cursor())
        found = self._client.events(after=query.after, run_id=run_id, limit=query.limit)
        items = [documents.event_document(each) for each in found]
        return documents.EventPage(items, found[-1].cursor if found else query.after)

    def _inputs(self, ask: Ask) -> documents.InputList:
        query: documents.InputQuery = ask.query
        found = self._client.inputs(self.run_id(query.run))
        return documents.InputList([documents.input_document(each) for each in found])

    def _answer(self, ask: Ask) -> Reply:
        row, given = self._run(ask), ask.body
        self._client.answer(row.id, given.task, given.path, given.answer, given.by)
        return Reply(documents.run_document(row), 202)

    def _coordinators(self, _ask: Ask) -> documents.CoordinatorList:
        found = self._client.coordinators()
        return documents.CoordinatorList([documents.coordinator_document(row) for row in found])

    def _run(self, ask: Ask) -> RunRow:
        return self._client.run(ask.path["run"])

    def run_id(self, name: str) -> RunId | None:
        """Return the id of the run that somebody names, None for no name."""
        return self._client.run(name).id if name else None


def _param(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise Refused(Fault(400, "invalid-request", f"{text!r} is no filter", "write NAME=VALUE"))
    try:
        value = msgspec.json.encode(msgspec.json.decode(value)).decode()
    except msgspec.DecodeError:
        value = msgspec.json.encode(value).decode()
    return name, value


def _microseconds(moment: datetime | None) -> int:
    if moment is None:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - _EPOCH) // timedelta(microseconds=1), 0)
