"""Callbacks are told of their moments, inline and under virtual time."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ostinato import Defer, Notifier, Skip, dag, get_current_context, task, testing
from ostinato.coordinator.notices import RETRY_DELAYS_S
from ostinato.model.identity import format_path
from ostinato.model.notice import Callback, Moment


class Told:
    """Remember what callbacks were told."""

    def __init__(self) -> None:
        self.of: list[str] = []
        self.contexts: list[dict[str, Any]] = []

    def __call__(self, context: Any) -> None:
        name = f"{context['task_id']}[{format_path(context['map_path'])}]"
        self.of.append(f"{context['moment']} {name.removesuffix('[]')}".strip())
        self.contexts.append(dict(context.items()))


def everything(told: Callable[[Any], None]) -> dict[str, Any]:
    names = ("on_start", "on_success", "on_failure", "on_retry", "on_skip")
    return dict.fromkeys(names, told)


def test_each_moment_is_told_of_once() -> None:
    told = Told()

    @dag(default_args=everything(told), on_success=told, on_failure=told)
    def etl() -> None:
        @task(retries=1)
        def fails() -> None:
            raise ValueError("row 3 is bad")

        @task
        def skips() -> None:
            raise Skip("no rows")

        @task
        def works() -> int:
            return 1

        fails()
        skips()
        works()

    run = testing.run(etl())

    assert sorted(told.of) == sorted(
        [
            "start fails",
            "start skips",
            "start works",
            "skip skips",
            "success works",
            "retry fails",
            "failure fails",
            "run_failure",
        ]
    )
    assert [notice.state for notice in run.notices] == ["done"] * 8


def test_a_callback_knows_its_task_run_and_what_happened() -> None:
    told = Told()

    @dag(on_failure=told)
    def etl(day: str = "2025-01-31") -> None:
        @task(on_failure=told)
        def load(row: int) -> None:
            raise KeyError(row)

        load.expand(row=[7])

    testing.run(etl(), date="2025-01-31")

    of_task, of_run = told.contexts
    assert of_task["task_run"] == "load[0]"
    assert of_task["try_number"] == 1
    assert of_task["state"] == "failed"
    assert isinstance(of_task["exception"], KeyError)
    assert str(of_task["exception"]) == "7"
    assert of_task["failure"].frames[-1].code == "raise KeyError(row)"
    assert of_task["error"].endswith("KeyError: 7")
    assert of_task["params"] == {"day": "2025-01-31"}
    assert of_task["ds"] == "2025-01-31"
    assert of_task["ti"]["task_id"] == "load"
    assert of_task["task"].task_id == "load"
    assert of_task["command"] == "ostinato show 'etl#1' 'load[0]'"
    assert of_run["task"] is None
    assert of_run["reason"] == "task 'load' failed"
    assert str(of_run["exception"]) == "7"
    assert of_run["run_name"] == "etl#1"
    assert of_run["command"] == "ostinato show 'etl#1'"
    assert of_run["duration"] == timedelta(0)


class Curious(Exception):
    """An error of the user's own."""


class Demanding(UnicodeError):
    """An error whose base wants other arguments."""


@pytest.mark.parametrize(
    ("error", "is_a"),
    [
        (Curious("why"), Exception),
        (TimeoutError("why"), TimeoutError),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "why"), Exception),
        (ExceptionGroup("why", [ValueError("x")]), Exception),
    ],
)
def test_the_exception_looks_like_the_original(error: Exception, is_a: type[Exception]) -> None:
    told = Told()

    @dag
    def etl() -> None:
        @task(on_failure=told)
        def load() -> None:
            raise error

        load()

    testing.run(etl())

    exception = told.contexts[0]["exception"]
    assert isinstance(exception, is_a)
    assert type(exception).__name__ == type(error).__name__
    assert "why" in str(exception)


def test_a_callback_may_look_at_values_and_store_none() -> None:
    seen: list[Any] = []

    def look(context: Any) -> None:
        seen.append(context.pull("load"))
        seen.append(get_current_context().task_id)
        context.push("mine", 5)

    @dag(on_success=look)
    def etl() -> None:
        @task
        def load() -> int:
            return 42

        load()

    run = testing.run(etl())

    assert seen == [42, ""]
    assert run.notices[0].failure is not None
    assert "a callback stores no values" in run.notices[0].failure.message


def test_a_callback_that_raises_is_recorded_and_changes_nothing_else() -> None:
    told = Told()

    def broken(context: Any) -> None:
        raise ValueError("oops")

    @dag(on_success=[broken, told])
    def etl() -> None:
        @task(on_success=broken)
        def load() -> int:
            return 1

        load()

    run = testing.run(etl())

    assert run.state == "succeeded"
    assert run.states == {"load": "succeeded"}
    assert told.of == ["run_success"]
    states = [(each.recipient, each.state, each.tries) for each in run.notices]
    assert [state[1:] for state in states] == [("failed", 1), ("failed", 1), ("done", 1)]
    assert run.notices[0].failure is not None
    assert run.notices[0].failure.message == "oops"


def test_a_callback_that_defers_has_failed() -> None:
    def wait(context: Any) -> None:
        raise Defer(delta="1h")

    def skip(context: Any) -> None:
        raise Skip("not today")

    @dag(on_success=[wait, skip])
    def etl() -> None:
        task(lambda: 1).override(task_id="load")()

    run = testing.run(etl())

    assert [each.state for each in run.notices] == ["failed", "done"]


def test_an_asynchronous_callback_is_awaited() -> None:
    told = Told()

    async def tell(context: Any) -> None:
        await asyncio.sleep(0)
        told(context)

    @dag(on_success=tell)
    def etl() -> None:
        task(lambda: 1).override(task_id="load")()

    testing.run(etl())

    assert told.of == ["run_success"]


def test_a_late_run_is_told_of_at_its_deadline_and_goes_on() -> None:
    told = Told()

    @dag(deadline="30m", on_deadline=told)
    def etl() -> None:
        @task(retries=1, retry_delay="1h")
        def load() -> int:
            if get_current_context().try_number == 1:
                raise ConnectionError
            return 1

        load()

    run = testing.run(etl())

    assert told.of == ["deadline"]
    assert told.contexts[0]["state"] == "running"
    assert run.state == "succeeded"
    row = run.notices[0]
    assert row.created_us - told.contexts[0]["started_at"].timestamp() * 1e6 == 1800e6


def test_notices_take_no_slots_and_are_no_attempts() -> None:
    told = Told()

    @dag(default_args={"on_start": told, "pool": "one"})
    def etl() -> None:
        @task
        def load(row: int) -> int:
            return row

        load.expand(row=[1, 2, 3])

    run = testing.run(etl(), pools={"one": 1})

    assert told.of == ["start load[0]", "start load[1]", "start load[2]"]
    assert run.order == ["load[0]", "load[1]", "load[2]"]


# Alerts


TEAM = {"team": "json://localhost/hook"}


def alerts(*rules: dict[str, Any], **channels: Any) -> dict[str, Any]:
    given = [{"channels": ["team"], "on": ["failure"], **rule} for rule in rules]
    return {"channels": {**TEAM, **channels}, "rules": given}


@dag(tags=["prod"])
def failing() -> None:
    @task
    def load() -> None:
        raise ValueError("row 3 is bad\nand so on")

    load()


def sent(run: testing.MemoryRun) -> list[tuple[str, str]]:
    return [(notice.recipient, notice.title) for notice in run.notices if notice.state == "done"]


def test_an_alert_says_what_happened_where_and_what_to_look_at() -> None:
    run = testing.run(failing(), alerts=alerts({"on": ["failure", "run_failure"]}))

    of_task, of_run = run.notices
    assert of_task.title == "failing#1: load failed"
    assert of_task.body.splitlines()[0].endswith("ValueError: row 3 is bad")
    assert "test_notices.py:" in of_task.body
    assert of_task.body.endswith("look at it: ostinato show 'failing#1' 'load'")
    assert of_run.title == "failing#1 failed"
    assert of_run.body.splitlines()[0] == "task 'load' failed"


def test_a_rule_has_templates_of_its_own() -> None:
    rule = {
        "title": "{{ flow }} {{ ds }}",
        "body": "{{ failure.message[:5] }} {{ var is defined }}",
    }

    run = testing.run(failing(), alerts=alerts(rule), date="2025-02-03")

    assert (run.notices[0].title, run.notices[0].body) == ("failing 2025-02-03", "row 3 True")


def test_a_template_that_cannot_be_rendered_is_not_tried_again() -> None:
    run = testing.run(failing(), alerts=alerts({"body": "{{ filure }}"}))

    (notice,) = run.notices
    assert (notice.state, notice.tries) == ("failed", 1)
    assert notice.failure is not None
    assert notice.failure.message == (
        "'body' of an alert: 'filure' is unknown (did you mean 'failure'?)"
    )


def test_each_url_of_a_channel_is_an_alert_of_its_own() -> None:
    rule = {"channels": ["oncall", "team"]}
    urls = ["json://localhost/a", "json://localhost/b"]

    run = testing.run(failing(), alerts=alerts(rule, oncall=urls))

    assert [recipient for recipient, _ in sent(run)] == ["oncall[0]", "oncall[1]", "team"]


def test_only_what_a_rule_is_about_is_told() -> None:
    rules = (
        {"flows": ["etl_*"]},
        {"tags": ["test"]},
        {"tasks": ["extract"]},
        {"on": ["retry", "success", "run_success"]},
    )

    assert testing.run(failing(), alerts=alerts(*rules)).notices == []


def test_an_alert_is_not_repeated_in_later_runs_until_its_time_is_over() -> None:
    hourly = alerts({"every": "1h"})
    first = testing.run(failing(), alerts=hourly)
    second = testing.run(failing(), alerts=hourly, after=first)

    @dag(name="failing")
    def late() -> None:
        @task(retries=1, retry_delay="59m")
        def load() -> None:
            raise ValueError("again")

        load()

    third = testing.run(late(), alerts=hourly, after=second)

    @dag(name="failing")
    def later() -> None:
        @task(retries=1, retry_delay="1m")
        def load() -> None:
            raise ValueError("again")

        load()

    fourth = testing.run(later(), alerts=hourly, after=third)

    assert [len(run.notices) for run in (first, second, third, fourth)] == [1, 0, 0, 1]


def test_a_run_alerts_once_of_a_mapped_task() -> None:
    @dag
    def wide() -> None:
        @task
        def load(row: int) -> None:
            raise ValueError(row)

        load.expand(row=list(range(50)))

    first = testing.run(wide(), alerts=alerts({}))
    second = testing.run(wide(), alerts=alerts({}), after=first)

    assert [len(first.notices), len(second.notices)] == [1, 1]


NIGHT = {"from": "22:00", "to": "07:00", "timezone": "Europe/Berlin"}


def test_an_alert_of_the_night_is_held_until_the_morning() -> None:
    start = datetime(2025, 1, 1, 22, 30, tzinfo=UTC)

    run = testing.run(failing(), start=start, alerts=alerts({"quiet": NIGHT}))

    (notice,) = run.notices
    assert notice.state == "done"
    assert notice.created_us == start.timestamp() * 1e6
    assert notice.ended_us == datetime(2025, 1, 2, 6, tzinfo=UTC).timestamp() * 1e6
    assert run.duration == timedelta(0)


def test_an_alert_of_the_night_is_dropped_and_shown() -> None:
    start = datetime(2025, 1, 1, 22, 30, tzinfo=UTC)

    run = testing.run(failing(), start=start, alerts=alerts({"quiet": {**NIGHT, "then": "drop"}}))

    assert [notice.state for notice in run.notices] == ["dropped"]


def test_a_dropped_alert_lets_the_next_one_through() -> None:
    @dag
    def slow() -> None:
        @task(retries=1, retry_delay="8h")
        def load() -> None:
            raise ValueError

        load()

    rule = {"on": ["retry", "failure"], "every": "1d", "quiet": {**NIGHT, "then": "drop"}}
    start = datetime(2025, 1, 1, 22, 30, tzinfo=UTC)

    run = testing.run(slow(), start=start, alerts=alerts(rule))
    again = testing.run(slow(), start=start, alerts=alerts(rule), after=run)

    assert [(n.moment, n.state) for n in run.notices] == [("retry", "dropped"), ("failure", "done")]
    assert [(n.moment, n.state) for n in again.notices] == [("retry", "done")]


# Notifiers


def test_a_notifier_sends_to_a_channel_or_a_url() -> None:
    notifiers = [Notifier("team", title="{{ run_name }} is down"), Notifier("json://host/s3cret")]

    @dag(on_failure=notifiers)
    def etl() -> None:
        @task
        def load() -> None:
            raise ValueError

        load()

    run = testing.run(etl(), alerts=alerts())

    assert sent(run) == [("team", "etl#1 is down"), ("json://…", "etl#1 failed")]


class Down:
    """A notifier whose channel cannot be reached."""

    def __init__(self, times: int) -> None:
        self.times = times

    def declare(self, moment: Moment) -> Callback:
        return Callback(moment, "down", tries=5)

    def __call__(self, context: Any) -> None:
        self.times -= 1
        if self.times >= 0:
            raise ConnectionError("nobody listens")


@pytest.mark.parametrize(("times", "tries", "state"), [(3, 4, "done"), (9, 5, "failed")])
def test_a_channel_that_is_down_is_tried_again_later(times: int, tries: int, state: str) -> None:
    @dag(on_success=Down(times))
    def etl() -> None:
        task(lambda: 1).override(task_id="load")()

    run = testing.run(etl())

    (notice,) = run.notices
    assert (notice.state, notice.tries) == (state, tries)
    waited_s = (notice.ended_us - notice.created_us) / 1e6
    assert waited_s == sum(RETRY_DELAYS_S[: tries - 1])
    assert run.duration == timedelta(0)
