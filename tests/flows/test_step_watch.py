"""This module tests that steps which take long are seen while they do."""

import threading
import time

import pytest

from ostinato import flow, task
from ostinato.client.local import LocalClient
from ostinato.engine import events as ev
from ostinato.errors import ExecutionError
from ostinato.runtime.step_watch import LONG_S, StepWatch
from ostinato.store.sqlite import open_store


def test_step_is_told_of_once_it_has_lasted() -> None:
    told: list[tuple[str, tuple[int, ...]]] = []
    is_told = threading.Event()

    def tell(task_id: str, path: tuple[int, ...], at_us: int) -> None:
        assert at_us == 7
        told.append((task_id, path))
        is_told.set()

    watch = StepWatch(tell)
    watch.begin("short", (0,), 7)
    watch.end((0,))
    watch.begin("long", (1,), 7)

    assert is_told.wait(30)
    watch.end((1,))
    watch.close()
    assert told == [("long", (1,))]


def test_watch_ends_with_an_attempt_that_was_given_up() -> None:
    asked = threading.Event()

    def tell(*_: object) -> None:
        asked.set()
        message = "given up"
        raise ExecutionError(message)

    watch = StepWatch(tell)
    watch.begin("long", (1,), 7)

    assert asked.wait(30)
    watch.close()


@pytest.mark.slow
def test_beginning_of_a_long_step_is_an_event(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("OSTINATO_HOME", str(home))

    @task
    def quick() -> None:
        pass

    @task
    def slow() -> None:
        time.sleep(3 * LONG_S)

    @flow
    def etl() -> None:
        quick()
        slow()

    etl()

    store = open_store(home / "store.db")
    client = LocalClient(store, values_root=home, logs_root=home)
    found = [
        type(each.event).__name__ + each.event.task_id
        for each in client.events(run_id=client.run("last").id)
        if isinstance(each.event, ev.StepStarted | ev.StepEnded)
    ]
    store.close()
    assert found == ["StepEndedquick", "StepStartedslow", "StepEndedslow"]
