"""This module writes projects whose code is loaded by real code hosts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ostinato.executors.nursery import Nursery
from ostinato.executors.served_code import Save, ServedCode
from ostinato.project.discovery import find_project
from ostinato.project.target import Target

FLOW = """
from ostinato import dag, task

@task
def work():
    return {result!r}

@dag
def {name}():
    work()

{name}()
"""


def write_project(root: Path, **flows: object) -> None:
    """Write a project with a file for each flow, whose task returns a value."""
    (root / "ostinato.yaml").write_text("name: shop\n")
    (root / "flows").mkdir(exist_ok=True)
    for name, result in flows.items():
        write_flow(root, name, result)


def write_flow(root: Path, name: str, result: object) -> Path:
    """Write the file of a flow."""
    file = root / "flows" / f"{name}.py"
    file.write_text(FLOW.format(name=name, result=result))
    return file


@contextmanager
def served(root: Path, save: Save | None = None) -> Iterator[ServedCode]:
    """Give the code of a project, not loaded yet."""
    nursery = Nursery.fork()
    code = ServedCode(find_project(Target(path=root)), nursery, save=save)
    try:
        yield code
    finally:
        code.close()
        nursery.close()
