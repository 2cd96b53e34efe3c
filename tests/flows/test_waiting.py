"""This module tests flows that are functions and wait for a person."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from pydantic import BaseModel, field_validator

from ostinato import (
    Fail,
    flow,
    pause,
    pause_flow_run,
    resume_flow_run,
    suspend,
    suspend_flow_run,
    task,
    wait_for_input,
)
from ostinato.cli.entry import root
from ostinato.client.local import LocalClient
from ostinato.engine.events import RunStateChanged
from ostinato.errors import AnswerError, DeferralTimeout, FlowSuspended, UsageError
from ostinato.model.step import decode_step
from ostinato.store.protocol import Store
from ostinato.store.sqlite import open_store

PATIENCE_S = 30.0


class Order(BaseModel):
    rows: int
    table: str = "sales"

    @field_validator("rows")
    @classmethod
    def even(cls, rows: int) -> int:
        if rows % 2:
            message = "rows must be even"
            raise ValueError(message)
        return rows


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for what the flows record."""
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))
    return tmp_path


def opened(home: Path) -> tuple[Store, LocalClient]:
    store = open_store(home / "store.db")
    return store, LocalClient(store, values_root=home, logs_root=home)


def answering(home: Path, answer: Any, name: str = "") -> Callable[[], None]:
    """Answer, from another thread, what is asked, by its name; return what waits for that."""

    def run() -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not (home / "store.db").exists():
            assert time.monotonic() < end_s
            time.sleep(0.02)
        store, client = opened(home)
        try:
            while not (waiting := [one for one in client.inputs() if name in one.name]):
                assert time.monotonic() < end_s
                time.sleep(0.02)
            one = waiting[0]
            client.answer(one.run_id, one.task_id, one.path, answer, "ana")
        finally:
            store.close()

    thread = threading.Thread(target=run, name="person")
    thread.start()
    return thread.join


counts: list[str] = []


@task
def count(name: str) -> str:
    counts.append(name)
    return name


@pytest.fixture(autouse=True)
def _no_counts() -> None:
    counts.clear()


def test_input_is_an_object_of_its_type_and_says_who_answered(home: Path) -> None:
    @flow
    def order() -> Order:
        count("before")
        return wait_for_input(Order, "What is needed?")

    join = answering(home, {"rows": 4})
    found = order()
    join()

    assert found == Order(rows=4)
    # The body was executed twice, the step once.
    assert counts == ["before"]
    store, _ = opened(home)
    run = store.find_run("last")
    assert run is not None
    asked = [row for row, _ in store.steps(run.id)[0] if row.task_id == "@input"]
    assert [row.path for row in asked] == ["1"]
    assert asked[0].step is not None
    assert decode_step(asked[0].step).by == "ana"
    store.close()


def test_answer_that_the_type_refuses_names_line_and_step(home: Path) -> None:
    @flow
    def order() -> Order:
        return wait_for_input(Order)

    join = answering(home, {"rows": 3})
    with pytest.raises(AnswerError) as caught:
        order()
    join()

    text = str(caught.value)
    assert "test_waiting.py:" in text
    assert "step @input[0] was answered {'rows': 3}, which is no Order" in text
    assert "rows must be even" in text


def test_answer_of_the_wrong_type_is_refused_before_it_comes(home: Path) -> None:
    @flow
    def rows() -> int:
        return wait_for_input(int, "How many?")

    refused: list[str] = []

    def ask_first() -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not (home / "store.db").exists():
            time.sleep(0.02)
        store, client = opened(home)
        while not (waiting := client.inputs()) and time.monotonic() < end_s:
            time.sleep(0.02)
        one = waiting[0]
        try:
            client.answer(one.run_id, one.task_id, one.path, "many", "ana")
        except AnswerError as error:
            refused.append(str(error))
        client.answer(one.run_id, one.task_id, one.path, 5, "ana")
        store.close()

    thread = threading.Thread(target=ask_first)
    thread.start()
    assert rows() == 5
    thread.join()
    assert "How many?" in refused[0]


def test_nobody_answers_in_time(home: Path) -> None:
    @flow
    def patient() -> int:
        return wait_for_input(int, "How many?", timeout=0.05, default=7)

    @flow
    def strict() -> int:
        return wait_for_input(int, "How many?", timeout=0.05)

    @flow
    def paused() -> None:
        pause("Ready?", timeout=0.05)

    assert patient() == 7
    for each in (strict, paused):
        with pytest.raises(
            DeferralTimeout, match=r"test_waiting.py:\d+: nobody answered .* within"
        ):
            each()


def test_pause_keeps_the_process_and_what_it_holds(home: Path) -> None:
    bodies: list[int] = []

    @flow
    def held() -> Any:
        bodies.append(1)
        pause("Ready?")
        return pause("Which?", wait_for_input=dict[str, int])

    first = answering(home, True)
    second = threading.Thread(target=lambda: (first(), answering(home, {"a": 1}, "@pause[1]")()))
    second.start()
    found = held()
    second.join()

    assert found == {"a": 1}
    assert bodies == [1]


def test_rejection_fails_the_flow(home: Path) -> None:
    @flow
    def release() -> None:
        pause("Release it?")

    join = answering(home, False)
    with pytest.raises(Fail, match="'Release it\\?' was rejected"):
        release()
    join()


def test_suspended_flow_leaves_its_process(home: Path) -> None:
    @flow
    def release() -> str:
        count("before")
        suspend("Release it?")
        return str(count("after"))

    with pytest.raises(FlowSuspended, match="release#1 is suspended"):
        release()

    store, client = opened(home)
    (one,) = client.inputs()
    run = client.run("last")
    assert (one.name, one.request.title) == ("@body", "Release it?")
    assert run.owner == 0
    assert store.check_integrity() == []
    assert counts == ["before"]
    store.close()


def test_cancelled_pause_leaves_nothing_that_waits(home: Path) -> None:
    @flow
    def held() -> None:
        pause("Ready?")

    def cancel() -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not (home / "store.db").exists():
            time.sleep(0.02)
        store, client = opened(home)
        while not (waiting := client.inputs()) and time.monotonic() < end_s:
            time.sleep(0.02)
        client.cancel(waiting[0].run_id, "ana")
        store.close()

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(Exception, match="cancelled"):
        held()
    thread.join()

    store, client = opened(home)
    assert client.inputs() == []
    assert store.check_integrity() == []
    store.close()


def test_subflow_waits_inside_of_its_caller(home: Path) -> None:
    @flow
    def inner() -> int:
        return wait_for_input(int, "How many?")

    @flow
    def outer() -> int:
        return int(inner()) + 1

    join = answering(home, 2)
    assert outer() == 3
    join()


def test_questions_belong_into_flows() -> None:
    with pytest.raises(UsageError, match="wait_for_input\\(\\) is called outside of a flow"):
        wait_for_input(int)


def test_questions_keep_what_json_schemas_say(home: Path) -> None:
    @flow
    def rows() -> Any:
        return wait_for_input({"type": "integer", "minimum": 3}, timeout=0.05, default=4)

    assert rows() == 4
    assert msgspec.json.encode(rows()) == b"4"


def test_run_is_paused_while_it_waits_and_goes_on_with_the_answer(home: Path) -> None:
    seen: list[str] = []

    def look() -> None:
        store, client = opened(home)
        seen.append(client.run("last").state.label)
        store.close()

    @flow
    def order() -> None:
        pause("Ready?")
        look()
        wait_for_input(int, "How many?")
        look()

    def answer_both() -> None:
        answering(home, answer=True, name="@pause")()
        look()
        answering(home, 3, name="@body")()

    person = threading.Thread(target=answer_both)
    person.start()
    order()
    person.join()

    # What is seen between the answer and what follows it may be either.
    assert seen[0] in ("running", "paused")
    store, client = opened(home)
    run = client.run("last")
    changes = [
        each.event.state
        for each in client.events(run_id=run.id)
        if isinstance(each.event, RunStateChanged)
    ]
    by = {view.name: view.answered_by for view in client.task_runs(run.id)}
    store.close()
    assert changes == ["paused", "running", "paused", "running"]
    assert run.state.label == "succeeded"
    assert (by["@pause[0]"], by["@input[1]"]) == ("ana", "ana")
    assert (
        "✔ @pause  succeeded: answered by ana" in CliRunner().invoke(root, ["show", "last"]).output
    )


def test_suspended_run_is_paused(home: Path) -> None:
    @flow
    def order() -> None:
        suspend_flow_run()

    with pytest.raises(FlowSuspended):
        order()

    store, client = opened(home)
    assert client.run("last").state.label == "paused"
    assert client.inputs()[0].holds_nothing
    store.close()


def test_suspended_run_is_answered_and_goes_on_where_it_is_served(home: Path) -> None:
    @flow
    def order() -> int:
        return suspend_flow_run(wait_for_input=int, key="rows")  # type: ignore[no-any-return]  # an int

    run = order.start()
    order.serve(runs=1)
    assert run.state == "paused"

    resume_flow_run(run.name, 5, by="ben")
    order.serve(runs=1)

    assert run.result() == 5


def test_pause_has_the_name_that_prefect_gives_it(home: Path) -> None:
    @flow
    def order() -> int:
        return pause_flow_run(wait_for_input=int, timeout=30)  # type: ignore[no-any-return]  # an int

    join = answering(home, 5)
    assert order() == 5
    join()


def test_nobody_is_answered_who_does_not_ask(home: Path) -> None:
    @flow
    def order() -> None:
        resume_flow_run("order")

    with pytest.raises(UsageError, match="in a task or a flow"):
        order()
    with pytest.raises(AnswerError, match="order#1 waits for nobody"):
        resume_flow_run("order")


def test_script_says_what_it_waits_for(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @flow
    def order() -> int:
        pause("Ready?")
        return wait_for_input(int, "How many?")

    def answer_both() -> None:
        answering(home, answer=True, name="@pause")()
        answering(home, 3, name="@body")()

    person = threading.Thread(target=answer_both)
    person.start()
    order()
    person.join()

    assert capsys.readouterr().err.splitlines() == [
        "order#1 @pause[0] waits for a person: Ready?",
        "  ostinato answer 'order#1' '@pause[0]' --approve",
        "order#1 @body waits for a person: How many?",
        "  ostinato answer 'order#1' @body VALUE",
    ]


def test_number_of_a_step_that_asks_alone_may_be_left_out(home: Path) -> None:
    @flow
    def order() -> int:
        return pause(wait_for_input=int)  # type: ignore[no-any-return]  # an int

    run = CliRunner().invoke

    def answer() -> None:
        end_s = time.monotonic() + PATIENCE_S
        while "@pause[0]" not in run(root, ["inputs"]).output:
            assert time.monotonic() < end_s
            time.sleep(0.02)
        how = "  paused: ostinato answer 'order#1' '@pause[0]' VALUE"
        while how not in run(root, ["show", "order"]).output:
            assert time.monotonic() < end_s
            time.sleep(0.02)
        assert "waits for a person: ostinato inputs" in run(root, ["runs"]).output
        run(root, ["answer", "order", "@pause", "7"])

    person = threading.Thread(target=answer)
    person.start()
    assert order() == 7
    person.join()
