"""This module lets a flow that is a function wait for a person: its process waits, or ends."""

from datetime import timedelta
from typing import Any, TypeVar, overload

from ostinato.authoring import session
from ostinato.authoring.parameters import REQUIRED, converter_of, json_default, schema_of
from ostinato.authoring.places import calling_place, relative_place
from ostinato.authoring.quantities import seconds_of
from ostinato.authoring.signals import Fail
from ostinato.authoring.signatures import UNTYPED
from ostinato.authoring.steps import Question, Waiting, current_steps
from ostinato.errors import InvalidArgument, UsageError
from ostinato.model.deferral import InputRequest

T = TypeVar("T")


@overload
def wait_for_input(
    model: type[T],
    title: str = "",
    *,
    message: str = "",
    timeout: float | timedelta | str | None = None,
    default: Any = REQUIRED,
) -> T: ...


@overload
def wait_for_input(
    model: Any = None,
    title: str = "",
    *,
    message: str = "",
    timeout: float | timedelta | str | None = None,
    default: Any = REQUIRED,
) -> Any: ...


def wait_for_input(
    model: Any = None,
    title: str = "",
    *,
    message: str = "",
    timeout: float | timedelta | str | None = None,
    default: Any = REQUIRED,
) -> Any:
    """Ask a person, and return the answer as an object of a type.

    The function ends here and its process is given back. When the answer is there it is
    executed again from its first line, with what its steps gave before; so the answer, once
    recorded, is the same in every replay.

    Args:
        model: A type, a Pydantic model, or a JSON Schema; anything is accepted by default.
        title: One line that says what is asked.
        message: More of it, as Markdown.
        timeout: How long to wait: seconds, a timedelta, or text such as ``"2d"``.
        default: The answer when nobody answers in time.

    Raises:
        DeferralTimeout: Nobody answered in time, and there is no default.

    Example:
        ``rows = wait_for_input(int, "How many rows?", timeout="1d", default=100)``
    """
    return _ask(Waiting.INPUT, model, title or "input", message, timeout, default)


def suspend(
    title: str = "",
    *,
    message: str = "",
    timeout: float | timedelta | str | None = None,
    wait_for_input: Any = None,
) -> Any:
    """Wait for a person and hold nothing meanwhile: the flow's process ends.

    ``ostinato answer`` answers, ``ostinato resume`` goes on.

    Args:
        title: One line that says what is waited for.
        message: More of it, as Markdown.
        timeout: How long an answer may take.
        wait_for_input: What is asked, as the ``model`` of ``wait_for_input``; without it a
            person approves, or rejects, which fails the flow.

    Raises:
        DeferralTimeout: Nobody answered in time.
        Fail: It was rejected.
    """
    return _stop(Waiting.SUSPEND, wait_for_input, title or "suspended", message, timeout)


def pause(
    title: str = "",
    *,
    message: str = "",
    timeout: float | timedelta | str | None = None,
    wait_for_input: Any = None,
) -> Any:
    """Wait for a person, here: the process and all that it holds in memory stay.

    Args:
        title: One line that says what is waited for.
        message: More of it, as Markdown.
        timeout: How long an answer may take.
        wait_for_input: What is asked, as the ``model`` of ``wait_for_input``; without it a
            person approves, or rejects, which fails the flow.

    Raises:
        DeferralTimeout: Nobody answered in time.
        Fail: It was rejected.
    """
    return _stop(Waiting.PAUSE, wait_for_input, title or "paused", message, timeout)


def pause_flow_run(
    wait_for_input: Any = None,
    timeout: float | timedelta | str | None = None,
    poll_interval: float | None = None,
    key: str = "",
) -> Any:
    """Wait for a person, here; Prefect's name of ``pause``.

    Args:
        wait_for_input: What is asked; without it a person approves.
        timeout: How long an answer may take; for ever by default.
        poll_interval: Accepted and not needed: the answer wakes who waits.
        key: Shown as the title.

    Raises:
        DeferralTimeout: Nobody answered in time.
        Fail: It was rejected.
    """
    del poll_interval
    return _stop(Waiting.PAUSE, wait_for_input, key or "paused", "", timeout)


def suspend_flow_run(
    wait_for_input: Any = None,
    timeout: float | timedelta | str | None = None,
    key: str = "",
) -> Any:
    """Wait for a person and hold nothing meanwhile; Prefect's name of ``suspend``.

    Args:
        wait_for_input: What is asked; without it a person approves.
        timeout: How long an answer may take; for ever by default.
        key: Shown as the title.

    Raises:
        DeferralTimeout: Nobody answered in time.
        Fail: It was rejected.
    """
    return _stop(Waiting.SUSPEND, wait_for_input, key or "suspended", "", timeout)


def resume_flow_run(flow_run_id: str, run_input: Any = None, *, by: str = "") -> None:
    """Answer a run that waits for a person, from a script.

    Args:
        flow_run_id: The run: an id, ``etl#17``, or the name of a flow for its newest run.
        run_input: The answer; by default what it waits for is approved.
        by: Who answers; by default who runs the script.

    Raises:
        RunNotFound: There is no such run.
        AnswerError: It waits for nobody, or the answer does not fit.
        UsageError: A task executes here.
    """
    if session.running_context() is not None:
        message = "resume_flow_run() is called in a task or a flow"
        hint = "answer from a script, or by ostinato answer"
        raise UsageError(message, place=relative_place(calling_place()), hint=hint)
    answer = True if run_input is None else run_input
    session.local_session().answer(str(flow_run_id), answer, by=by)


def _stop(
    waiting: Waiting,
    model: Any,
    title: str,
    message: str,
    timeout: float | timedelta | str | None,
) -> Any:
    if model is not None:
        return _ask(waiting, model, title, message, timeout, REQUIRED)
    if not _ask(waiting, bool, title, message, timeout, REQUIRED):
        raise Fail(f"{title!r} was rejected")
    return None


def _ask(
    waiting: Waiting,
    model: Any,
    title: str,
    message: str,
    timeout: float | timedelta | str | None,
    default: Any,
) -> Any:
    place = relative_place(calling_place())
    steps = current_steps.get()
    if steps is None:
        name = waiting.value.removeprefix("@")
        name = "wait_for_input" if waiting is Waiting.INPUT else name
        raise UsageError(
            f"{name}() is called outside of a flow",
            place=place,
            hint="call it in a function with @flow; in a graph, use InputOperator",
        )
    try:
        timeout_s = None if timeout is None else seconds_of(timeout)
    except ValueError as err:
        raise InvalidArgument(f"timeout: {err}", place=place) from None
    is_plain = model is None or isinstance(model, dict)
    annotation = UNTYPED if is_plain else model
    has_default = default is not REQUIRED
    request = InputRequest(
        title,
        message,
        dict(model) if isinstance(model, dict) else schema_of(annotation),
        json_default("default", default, place) if has_default else None,
        has_default,
    )
    convert = None if is_plain else converter_of(annotation)
    kind = getattr(model, "__name__", str(model))
    return steps.ask(Question(waiting, request, convert, kind, timeout_s))
