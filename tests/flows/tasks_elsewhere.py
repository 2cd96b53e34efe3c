"""This module holds tasks whose steps are attempts of their own.

It is imported by the tests that need it alone: while there are such tasks, scripts fork.
"""

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

from ostinato import Fail, Skip, flow, task


@task(executor="process")
def process_id(number: int = 0) -> int:
    return os.getpid()


@task(executor="thread")
def thread_name() -> tuple[int, str]:
    return os.getpid(), threading.current_thread().name


@task(isolation="fork")
def forked() -> int:
    return os.getpid()


@task(executor="process")
async def doubled(number: int) -> int:
    await asyncio.sleep(0)
    return number * 2


@task
def plain(number: int) -> int:
    return number + 1


@task(executor="process")
def outer(number: int) -> tuple[int, int, int]:
    return os.getpid(), plain(number), process_id()


@task(executor="process", retries=2)
def third_time(file: Path) -> str:
    file.write_text(file.read_text() + "x" if file.exists() else "x")
    if len(file.read_text()) < 3:
        raise OSError("again")
    return file.read_text()


class Refused(Exception):
    """An error of the user's own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@task(executor="process")
def refuse(number: int) -> None:
    raise Refused(number)


@task(executor="process")
def skip() -> None:
    raise Skip("not today")


@task(executor="process", retries=3)
def fail_for_good(file: Path) -> None:
    file.write_text(file.read_text() + "x" if file.exists() else "x")
    raise Fail("no use")


@task(executor="process", retries=3, retry_if=lambda error: False)
def never_again(file: Path) -> None:
    file.write_text(file.read_text() + "x" if file.exists() else "x")
    raise OSError("no")


@task(executor="process", timeout=0.1)
def sleeps() -> None:
    time.sleep(60)


@task(executor="process", lost_attempts=1)
def ends_its_process() -> None:
    os._exit(3)


@task(executor="process")
def size_of(data: Any) -> int:
    return len(data)


@task(executor="process")
def make_lock() -> Any:
    return threading.Lock()


@task(executor="process", cache="inputs", max_active=1)
def counted(file: str) -> int:
    path = Path(file)
    path.write_text(path.read_text() + "x" if path.exists() else "x")
    return len(path.read_text())


@task(max_active=1)
def alone(file: Path) -> bool:
    was_free = not file.exists()
    file.touch()
    time.sleep(0.01)
    file.unlink()
    return was_free


@task(max_active=1)
def nested_alone(depth: int) -> int:
    return 1 + nested_alone(depth - 1) if depth else 0


@task(pool="nowhere")
def pooled() -> None:
    """Never executed."""


@task(executor="dask")
def on_a_cluster() -> None:
    """Never executed."""


@task(executor="process")
def waits_for_ever() -> None:
    threading.Event().wait()


@task(compute={"memory": "50MB"})
def greedy() -> int:
    return len(bytearray(400_000_000))


@flow
def inner(number: int) -> int:
    return int(doubled.submit(number).result())


@flow
def two_processes() -> tuple[int, int]:
    return os.getpid(), process_id()
