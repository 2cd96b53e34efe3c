"""This module puts together what happens by itself: schedules, sensors, backfills, retention."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ostinato.automation.backfills import BackfillDriver
from ostinato.automation.messages import MessageDriver
from ostinato.automation.retention import Pruner
from ostinato.automation.scheduler import Scheduler
from ostinato.automation.sensors import SensorDriver
from ostinato.cli.served_project import ServedProject
from ostinato.cli.service import Part
from ostinato.cli.version import version_number
from ostinato.client.flows import FlowDirectory
from ostinato.client.retention import Retention, policy_of
from ostinato.client.scheduler_role import SchedulerRole
from ostinato.client.vault_answers import VaultAnswers
from ostinato.clock import SystemClock

if TYPE_CHECKING:
    from ostinato.client.vault import Vault


@contextmanager
def scheduling(served: ServedProject) -> Iterator[list[Part]]:
    """Return the parts of a scheduler; of several schedulers of a project one is active.

    Args:
        served: The project, its store and its code in force.
    """
    opened, code = served.opened, served.code
    client, project = opened.client, opened.project
    directory = FlowDirectory(opened.store, project, SystemClock())

    def open_vault() -> "Vault":
        # Few projects have sensors that need it.
        from ostinato.client.vault import Vault

        return Vault(opened.store.vault, project)

    role = SchedulerRole(opened.store, project.name, version=version_number())
    try:
        scheduler = Scheduler(
            client,
            project,
            flows=lambda: code.flows,
            is_active=role.is_active,
            asks_users=True,
            is_complete=lambda: not any(problem.is_error for problem in code.problems),
        )
        backfills = BackfillDriver(client, project, directory, is_active=role.is_active)
        answers = VaultAnswers(open_vault)
        sensors = SensorDriver(
            client, project, code, answer=answers.answer, is_active=role.is_active
        )
        messages = MessageDriver(
            client,
            project,
            code,
            connect=lambda conn_id: open_vault().connection(conn_id),
            is_active=role.is_active,
        )
        retention = Retention(
            opened.store, project, policy_of(project.settings.retention), SystemClock()
        )
        pruner = Pruner(retention, is_active=role.is_active)
        code.subscribe(lambda _change: scheduler.wake())
        role.subscribe(scheduler.notice)
        for part in (backfills, sensors, messages):
            role.subscribe(part.wake)
        yield [scheduler, backfills, sensors, messages, pruner]
    finally:
        role.close()
