"""This module tests runs that are paused because their body waits for a person."""

from ostinato.engine import events as ev
from ostinato.model.deferral import Deferral, InputRequest, Resumption
from ostinato.model.step import BODY
from tests.unit.engine.driving import Driven, flow, task

REQUEST = InputRequest("Ready?")


def body() -> Driven:
    run = Driven(flow(task(BODY)))
    run.begin(BODY)
    return run


def began(number: int) -> ev.PauseBegan:
    return ev.PauseBegan(1, "@pause", (number,), REQUEST)


def ended(number: int) -> ev.PauseEnded:
    return ev.PauseEnded(1, "@pause", (number,))


def test_run_is_paused_until_the_last_pause_is_over() -> None:
    run = body()

    run.feed(began(0))
    run.feed(began(1))
    run.feed(ended(0))
    assert run.machine.state.label == "paused"

    run.feed(ended(1))
    assert run.machine.state.label == "running"


def test_run_is_paused_while_its_body_is_deferred_for_a_person() -> None:
    run = body()

    run.feed(ev.AttemptDeferred(1, BODY, (), 1, 0, deferral=Deferral(request=REQUEST)))
    assert run.machine.state.label == "paused"

    run.feed(ev.DeferralEnded(1, BODY, (), 1, Resumption("")))
    assert run.machine.state.label == "running"


def test_pause_of_a_process_that_died_begins_anew() -> None:
    run = body()
    run.feed(began(0))

    run.feed(ev.Recovered(2))

    assert run.machine.state.label == "running"
    run.feed(ended(0))
    assert run.machine.state.label == "running"


def test_run_that_is_paused_can_be_cancelled() -> None:
    run = body()
    run.feed(began(0))

    run.feed(ev.CancelRequested(2, "ana"))

    assert run.machine.state.label == "cancelling"
