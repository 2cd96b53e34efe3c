"""This module tests deferral under virtual time: triggers, time-outs, people."""

import asyncio
import threading
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from pydantic import BaseModel

from ostinato import DAG, ApprovalOperator, Defer, InputOperator, Operator, Sensor, Trigger, testing
from ostinato.engine import events as ev
from ostinato.errors import AnswerError, InvalidArgument, UnknownTask, UsageError


class Later(Trigger):
    seconds: float
    value: Any = None

    async def run(self) -> Any:
        await asyncio.sleep(self.seconds)
        if self.value == "boom":
            message = "the table is gone"
            raise LookupError(message)
        return self.value


class InThread(Trigger):
    async def run(self) -> str:
        return await asyncio.to_thread(lambda: threading.current_thread().name[:7])


class Object(Trigger):
    async def run(self) -> object:
        return object()


class Wait(Operator):
    def __init__(self, task_id: str, wait: Trigger, limit: Any = None, **options: Any) -> None:
        self.wait = wait
        self.limit = limit
        super().__init__(task_id, **options)

    def execute(self, context: Any) -> NoReturn:
        raise Defer(trigger=self.wait, timeout=self.limit)

    def execute_complete(self, context: Any, event: Any) -> Any:
        return [event, context.try_number]


def one(*args: Any, **options: Any) -> DAG:
    with DAG("etl") as dag:
        Wait("wait", *args, **options)
    return dag


def test_task_goes_on_with_what_its_trigger_returned() -> None:
    with testing.run(one(Later(seconds=3600, value={"rows": 3}))) as run:
        assert run.result("wait") == [{"rows": 3}, 1]
        assert run.attempts("wait") == 2
        assert timedelta(hours=1) <= run.duration < timedelta(hours=1, seconds=1)


def test_trigger_that_awaits_something_real_is_waited_for() -> None:
    with testing.run(one(InThread())) as run:
        assert run.result("wait") == ["asyncio", 1]


def test_trigger_that_raises_fails_the_attempt_and_is_retried() -> None:
    with testing.run(one(Later(seconds=60, value="boom"), retries=1)) as run:
        assert run.states == {"wait": "failed"}
        failure = run.task_run("wait").failure
        assert failure is not None
        assert "LookupError: the table is gone" in failure.message
        assert len(run.starts_of("wait")) == 4


def test_trigger_that_returns_no_json_fails_the_attempt() -> None:
    with testing.run(one(Object())) as run:
        failure = run.task_run("wait").failure
        assert failure is not None
        assert "returned what is no JSON value" in failure.message


def test_trigger_that_takes_too_long_is_stopped() -> None:
    with testing.run(one(Later(seconds=3600), limit="10m")) as run:
        assert run.states == {"wait": "failed"}
        assert run.duration == timedelta(minutes=10)
        failure = run.task_run("wait").failure
        assert failure is not None
        assert failure.type.endswith("DeferralTimeout")


def test_deadline_and_timeout_of_the_run_end_a_wait() -> None:
    with testing.run(one(Later(seconds=3600), deadline="5m")) as run:
        assert run.states == {"wait": "failed"}
        assert run.duration == timedelta(minutes=5)
    with DAG("limited", timeout="2m") as limited:
        Wait("wait", Later(seconds=3600))
    with testing.run(limited) as run:
        assert run.states == {"wait": "cancelled"}
        assert run.duration == timedelta(minutes=2)


class Ready(Sensor):
    def poke(self, context: Any) -> bool:
        return False

    def trigger(self, context: Any) -> Trigger:
        return Later(seconds=7 * 24 * 3600 - 60, value="found")


def test_sensor_waits_a_week_by_its_trigger() -> None:
    with DAG("etl") as dag:
        Ready("ready")
        Ready("soft", timeout="1d", soft_fail=True)
        Ready("hard", timeout="1d", retries=3)

    with testing.run(dag) as run:
        assert run.result("ready") == "found"
        assert run.states == {"ready": "succeeded", "soft": "skipped", "hard": "failed"}
        assert run.attempts("hard") == 2


def test_two_thousand_triggers_share_the_loop() -> None:
    with DAG("etl") as dag:
        Wait.partial("wait", wait=Later(seconds=60, value=1)).expand(limit=[3600] * 2_000)

    with testing.run(dag) as run:
        assert {view.state for view in run.task_runs} == {"succeeded"}
        assert run.duration < timedelta(seconds=61)


# People


class Order(BaseModel):
    rows: int
    table: str = "flights"


def test_answers_of_people_are_results() -> None:
    with DAG("etl") as dag:
        InputOperator(task_id="any")
        InputOperator(task_id="rows", title="How many rows?", schema=int)
        InputOperator(task_id="order", schema=Order)
        ApprovalOperator(task_id="release", title="Release {{ ds }}?")

    answers = {"any": ["x"], "rows": 5, "order": {"rows": 3}, "release": True}
    with testing.run(dag, answers=answers) as run:
        assert run.result("any") == ["x"]
        assert run.result("rows") == 5
        assert run.result("order") == Order(rows=3)
        assert run.result("release") is True
        ended = [event for event in run.events if isinstance(event, ev.DeferralEnded)]
        assert {event.resumption.by for event in ended} == {"test"}


def test_rejection_skips_what_is_behind_or_fails() -> None:
    def flow(**options: Any) -> DAG:
        with DAG("etl") as dag:
            ApprovalOperator(task_id="release", **options) >> InputOperator(task_id="after")
        return dag

    with testing.run(flow(), answers={"release": False}) as run:
        assert run.states == {"release": "succeeded", "after": "skipped"}
    with testing.run(flow(fail_on_reject=True), answers={"release": False}) as run:
        assert run.states == {"release": "failed", "after": "upstream_failed"}


def test_nobody_answers_in_time() -> None:
    with DAG("etl") as dag:
        InputOperator(task_id="default", schema=int, wait="1h", default=7)
        InputOperator(task_id="soft", wait="2h", soft_fail=True)
        ApprovalOperator(task_id="hard", wait="3h", retries=2)

    with testing.run(dag) as run:
        assert run.result("default") == 7
        assert run.states == {"default": "succeeded", "soft": "skipped", "hard": "failed"}
        assert run.duration == timedelta(hours=3)


def test_waiting_for_a_person_for_ever_is_refused_where_nobody_is() -> None:
    with DAG("etl") as dag:
        InputOperator(task_id="rows", title="How many rows?", schema=int)

    with pytest.raises(UsageError, match="task 'rows' waits for a person, and nobody answers"):
        testing.run(dag)
    with pytest.raises(AnswerError, match=r"'many' is not an integer \(it takes integer\)"):
        testing.run(dag, answers={"rows": "many"})


def test_wrong_arguments_of_a_question_are_told() -> None:
    with pytest.raises(InvalidArgument, match="wait: 'soon' is no duration"):
        ApprovalOperator(task_id="a", wait="soon")
    with pytest.raises(InvalidArgument, match="cannot be written as JSON"):
        InputOperator(task_id="a", default=object())


def test_answer_for_a_task_that_is_not_there_is_refused() -> None:
    with DAG("etl") as dag:
        InputOperator("rows", title="How many?", default=3, wait="1h")

    with pytest.raises(UnknownTask, match=r"'row', which is not there \(did you mean 'rows'\?\)"):
        testing.run(dag, answers={"row": 5})


class Typed(Trigger):
    count: int


def test_trigger_with_a_wrong_field_is_told_where_it_is_made() -> None:
    wrong: Any = "many"

    with pytest.raises(InvalidArgument, match="a field of trigger Typed has a wrong value: Exp"):
        Defer(trigger=Typed(count=wrong))
