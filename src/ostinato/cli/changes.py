"""This module compares a flow with the version that an earlier run had of it."""

from ostinato.cli import code
from ostinato.cli.opening import name_of
from ostinato.client.local import LocalClient
from ostinato.errors import RunNotFound, UsageError
from ostinato.model.changes import changed_tasks
from ostinato.model.flow import FlowDefinition
from ostinato.model.manifest import Manifest
from ostinato.model.selection import Changes
from ostinato.store.protocol import RunFilter
from ostinato.store.records import RunRow


def changes_since(
    client: LocalClient, run: str, flow: FlowDefinition, manifest: Manifest
) -> Changes:
    """Return what tells the tasks that are others than in a run.

    Args:
        client: Asks the store.
        run: As people name it; empty for the flow's last run of all its tasks.
        flow: As it is.
        manifest: What is loaded.
    """

    def changes() -> dict[str, frozenset[str]]:
        row = client.run(run) if run else _last_run(client, flow.name)
        before = client.flow(row)
        if before is None:
            hint = "name another one by --state RUN"
            raise UsageError(f"the definitions of {name_of(row)} are no longer kept", hint=hint)
        return changed_tasks(
            flow, manifest.sources, before=before, sources_before=client.sources(row)
        )

    return changes


def _last_run(client: LocalClient, flow: str) -> RunRow:
    cursor = ""
    while True:
        rows, cursor = client.runs(RunFilter(flow=flow), cursor=cursor)
        for row in rows:
            # A run of some tasks says nothing about the others.
            if code.PARTIAL not in row.tags:
                return row
        if not cursor:
            message = f"flow {flow!r} has no run that state: could be compared with"
            raise RunNotFound(message, hint="run it once as a whole, or name one by --state RUN")
