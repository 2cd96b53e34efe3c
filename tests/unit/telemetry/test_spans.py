"""Which spans are found in what a process commits."""

from pathlib import Path

import pytest

from ostinato import dag, flow, task
from ostinato.engine import events as ev
from ostinato.model.identity import RunId
from ostinato.model.state import RunState, TaskRunState
from ostinato.model.trace import attempt_span_id, run_span_id, task_run_span_id
from ostinato.store.protocol import RunFilter
from ostinato.store.records import EventRow, RunUpdate, TaskRunRow
from ostinato.store.sqlite import open_store
from ostinato.telemetry.spans import Changes, Span, SpanFinder

RUN = RunId(17)


def task_run(state: TaskRunState, *, attempt: int = 1, generation: int = 0) -> TaskRunRow:
    first = (RUN, "load", "", state, attempt, generation, 0, 0, 1_000, 2_000, 3_000, 9_000, 0)
    return TaskRunRow(*first, None, None, 0, None, None, "")


def find(*changes: Changes) -> list[Span]:
    finder = SpanFinder("shop")
    return [span for each in changes for span in finder.find(each)]


def test_lost_attempt_is_a_span_with_an_error() -> None:
    lost = ev.AttemptLost(9_000, "load", (), 1, "its process was killed")
    row = task_run(TaskRunState.QUEUED)

    (span,) = find(Changes([EventRow(RUN, "load", "", 9_000, lost)], [row], []))

    assert (span.name, span.error) == ("attempt load", "its process was killed")
    assert (span.started_us, span.ended_us) == (3_000, 9_000)
    assert span.span_id == attempt_span_id(RUN, "load", "", 0, 1)
    assert span.parent_id == task_run_span_id(RUN, "load", "", 0)


def test_task_run_that_never_began_is_no_span() -> None:
    row = task_run(TaskRunState.SKIPPED)._replace(first_started_us=0)

    assert find(Changes([], [row], [])) == []


def test_run_that_is_cleared_has_a_span_of_its_own_in_the_same_trace() -> None:
    ended = [RunUpdate(RunState.SUCCEEDED, "", 1_000, 9_000, number, RUN) for number in (0, 1)]

    first, again = find(Changes([], [], ended[:1]), Changes([], [], ended[1:]))

    assert first.trace_id == again.trace_id
    assert (first.span_id, again.span_id) == (run_span_id(RUN, 0), run_span_id(RUN, 1))


def spans_of_newest_run(home: Path) -> dict[str, Span]:
    """Return the spans of what the store recorded of a run, by the names of tasks."""
    store = open_store(home / "store.db")
    (row,) = store.runs(RunFilter(), limit=1)[0]
    update = RunUpdate(row.state, row.reason, row.started_us, row.ended_us, row.generation, row.id)
    finder = SpanFinder(row.project)
    finder.note_runs([row])
    found = list(finder.find(Changes([], list(store.all_task_runs(row.id)), [update])))
    store.close()
    return {f"{span.name} {span.attributes.get('ostinato.map_path', '')}": span for span in found}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))
    return tmp_path


def test_task_runs_are_parts_of_their_run(home: Path) -> None:
    @task
    def load() -> None:
        """Do nothing."""

    @dag
    def etl() -> None:
        load()

    etl().run()

    spans = spans_of_newest_run(home)
    run = spans["run etl "]
    assert spans["task load "].parent_id == run.span_id
    assert run.attributes["ostinato.run"] == "etl#1"
    assert run.started_us <= spans["task load "].started_us <= run.ended_us


def test_steps_are_parts_of_the_body_that_calls_them(home: Path) -> None:
    @task
    def step(number: int) -> int:
        return number

    @flow
    def total() -> None:
        step(1)
        step(2)

    total()

    spans = spans_of_newest_run(home)
    body = spans["task @body "]
    assert body.parent_id == spans["run total "].span_id
    assert {spans[f"task step {place}"].parent_id for place in "01"} == {body.span_id}
