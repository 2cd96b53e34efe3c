"""This module keeps a project's code loaded for a service, and its definitions in the store."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ostinato.cli.opening import Opened
from ostinato.executors.nursery import Nursery
from ostinato.executors.served_code import CodeChange, ServedCode

logger = logging.getLogger(__name__)


@contextmanager
def opened_code(opened: Opened, nursery: Nursery) -> Iterator[ServedCode]:
    """Load the code of a project and keep what is in force of it, here and in the store.

    Args:
        opened: The project with its store.
        nursery: Forks the code hosts.
    """
    code = ServedCode(opened.project, nursery)

    def save(change: CodeChange) -> None:
        for served in code.manifests:
            opened.store.save_manifest(served.version, opened.project.name, served.data)
        for problem in change.problems:
            level = logging.ERROR if problem.is_error else logging.WARNING
            logger.log(level, "%s", problem)

    code.subscribe(save)
    try:
        code.load()
        yield code
    finally:
        code.close()
