"""What waits in a worker goes on there or at the next one: people, moments, triggers, callbacks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ostinato.model.notice import NoticeState
from ostinato.model.state import RunState, TaskRunState
from tests.unit.coordinator.workers import Works, opened_works, until
from tests.unit.executors.projects import served, write_project

pytestmark = pytest.mark.slow

FLOWS = """
import time
from datetime import timedelta
from pathlib import Path

from ostinato import dag, flow, suspend, task
from ostinato.operators import FileSensor, TimeDeltaSensor

HERE = Path(__file__).parent


def told(context):
    (HERE / "told").write_text("told")


@task(on_failure=told)
def fails():
    raise OSError("broken")


def slowly(context):
    note = HERE / "began"
    note.touch()
    while not (HERE / "go").exists():
        time.sleep(0.005)
    told(context)


@task(on_failure=slowly)
def fails_slowly():
    raise OSError("broken")


@dag
def telling_slowly():
    fails_slowly()


@task
def numbers():
    return [1, 2, 3]


@task
def double(number):
    return 2 * number


@task(retries=2, retry_delay=0.01)
def flaky(ctx):
    if ctx.try_number < 3:
        raise OSError("again")


@dag
def telling():
    fails()


@dag
def mapping():
    double.expand(number=numbers())
    flaky()


@dag
def waiting():
    TimeDeltaSensor(task_id="moment", delta=timedelta(seconds=0.1))
    FileSensor(task_id="file", filepath=str(HERE / "file"), poke_interval=0.05)


@flow
def asking():
    return suspend("may it?")


telling()
telling_slowly()
mapping()
waiting()
"""


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Works]:
    write_project(tmp_path)
    (tmp_path / "flows" / "flows.py").write_text(FLOWS)
    with served(tmp_path) as code, opened_works(tmp_path, code) as opened:
        assert code.problems == ()
        yield opened


def test_callbacks_are_executed(works: Works) -> None:
    row = works.ask("telling")[0]

    with works.worker():
        works.ended(row)
        until(lambda: [each.state for each in works.store.notices(row.id)] == [NoticeState.DONE])

    assert (works.project.root / "flows" / "told").read_text() == "told"


def test_callbacks_of_a_run_that_has_ended_are_executed_by_the_next_worker(works: Works) -> None:
    row = works.ask("telling_slowly")[0]
    flows = works.project.root / "flows"
    with works.worker():
        works.ended(row)
        until((flows / "began").exists)
    was_told = (flows / "told").exists()

    (flows / "go").touch()
    with works.worker():
        until(lambda: [each.state for each in works.store.notices(row.id)] == [NoticeState.DONE])

    assert not was_told
    assert (flows / "told").exists()


def test_mapped_tasks_and_retries(works: Works) -> None:
    row = works.ask("mapping")[0]

    with works.worker():
        ended = works.ended(row)

    assert (ended.state, ended.reason) == (RunState.SUCCEEDED, "")


def test_what_waits_for_a_trigger_goes_on_at_the_next_worker(works: Works) -> None:
    row = works.ask("waiting")[0]
    with works.worker():
        until(lambda: len(works.store.waiting(row.id)) == 1)

    (works.project.root / "flows" / "file").touch()
    with works.worker():
        assert works.ended(row).state is RunState.SUCCEEDED


def test_a_suspended_run_goes_on_once_it_is_answered(works: Works) -> None:
    row = works.ask("asking")[0]
    with works.worker():
        until(lambda: works.state(row) is RunState.PAUSED)
    [waiting] = works.store.waiting(row.id)
    works.store.request(
        row.id, "answer", "ann", task_id=waiting.task_id, path=waiting.path, payload=b"true"
    )

    with works.worker():
        ended = works.ended(row)

    assert ended.state is RunState.SUCCEEDED
    assert waiting.state == TaskRunState.DEFERRED
