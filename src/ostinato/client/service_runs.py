"""This module fills in the runs that a service asks of its workers."""

from collections.abc import Mapping
from typing import Any

from ostinato.client.new_runs import SERVICE, code_version, run_to_create
from ostinato.model.flow import FlowDefinition
from ostinato.project.discovery import Project
from ostinato.store.records import NewRun


class ServiceRuns:
    """Fill in runs that any worker may execute.

    Args:
        project: Whose runs they are.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        # What is deployed changes with the definitions; to look for it takes a millisecond.
        self._code: dict[str, str] = {}

    def new(
        self,
        flow: FlowDefinition,
        manifest_version: str,
        params: Mapping[str, Any],
        *,
        trigger: str,
        date_us: int,
        logical_key: str,
        interval_us: tuple[int, int] | None = None,
        tags: tuple[str, ...] = (),
        priority: int = 0,
    ) -> NewRun:
        """Return a run as it is to be created; arguments are as of ``run_to_create``."""
        code = self._code.get(manifest_version)
        if code is None:
            code = self._code[manifest_version] = code_version(self._project)
        return run_to_create(
            flow,
            manifest_version,
            params,
            project=self._project,
            date_us=date_us,
            interval_us=interval_us,
            code=code,
            trigger=trigger,
            home=SERVICE,
            tags=tags,
            logical_key=logical_key,
            priority=priority,
        )
