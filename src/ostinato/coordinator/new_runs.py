"""This module leaves runs to who serves their flows."""

from ostinato.client.new_runs import SERVICE, run_to_create
from ostinato.coordinator.triggered_runs import Asked, target_in_file
from ostinato.errors import UnknownFlow
from ostinato.model.manifest import Manifest, decode_manifest, encode_manifest, version_of
from ostinato.project.discovery import Project
from ostinato.store.protocol import RunFilter, Store
from ostinato.store.records import RunRow


def leave_run(
    store: Store,
    project: Project,
    manifest: Manifest,
    asked: Asked,
    *,
    code: str,
    now_us: int,
) -> RunRow:
    """Create a run that nobody drives yet, and return it; one that is there already is left.

    Args:
        store: Where it is recorded.
        project: Whose run it is.
        manifest: Its definitions.
        asked: For what.
        code: What ``code_version`` returns.
        now_us: Logical date of a run that is asked for without one.
    """
    data = encode_manifest(manifest)
    version = version_of(data)
    store.save_manifest(version, project.name, data)
    new = run_to_create(
        asked.flow,
        version,
        asked.params,
        project=project,
        date_us=now_us if asked.date_us is None else asked.date_us,
        code=code,
        trigger=asked.trigger,
        home=SERVICE,
        target=target_in_file(asked.flow),
        tags=(asked.tag,) if asked.tag else (),
        logical_key=asked.logical_key or None,
    )
    return store.create_runs([new])[0]


def known_manifest(store: Store, project: Project, flow: str) -> Manifest:
    """Return the definitions of a flow that has run, or that somebody has served.

    Args:
        store: Where they are kept.
        project: Whose flow it is.
        flow: Its name.

    Raises:
        UnknownFlow: There is none.
    """
    newest, _ = store.runs(RunFilter(flow=flow), limit=1)
    kept = store.load_manifest(newest[0].manifest_version) if newest else None
    for data in [kept] if kept is not None else store.manifests(project.name):
        manifest = decode_manifest(data)
        if manifest.flow(flow) is not None:
            return manifest
    message = f"there was no run of a flow {flow!r} in project {project.name!r}"
    raise UnknownFlow(message, hint="run or serve it once, or start it by its object")
