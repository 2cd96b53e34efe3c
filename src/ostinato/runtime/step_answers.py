"""This module makes of what came back to a flow that asked a person what the flow goes on with."""

from typing import Any

from ostinato.authoring.steps import Question
from ostinato.errors import AnswerError, DeferralTimeout, OstinatoError
from ostinato.model.deferral import Outcome, Resumption

#: Longer answers are cut in messages.
_MAX_SHOWN = 80


def answer_of(question: Question, found: Resumption, name: str, place: str) -> Any:
    """Return the answer as JSON values.

    Args:
        question: What was asked.
        found: How the wait ended.
        name: Of the step.
        place: ``file:line`` of the call.

    Raises:
        DeferralTimeout: Nobody answered in time, and there is no default.
    """
    if found.outcome is not Outcome.TIMEOUT:
        return found.payload
    request = question.request
    if request.has_default:
        return request.default
    limit_s = question.timeout_s or 0
    message = f"{place}: nobody answered {request.title!r} of step {name} within {limit_s:g} s"
    raise DeferralTimeout(message)


def converted_answer(question: Question, payload: Any, name: str, place: str) -> Any:
    """Return an answer as an object of the type that was asked for.

    Raises:
        AnswerError: It is none; says which step was answered how.
    """
    if question.convert is None:
        return payload
    try:
        return question.convert(payload)
    except OstinatoError:
        raise
    except Exception as error:
        shown = repr(payload)
        shown = shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}…"
        first = str(error).strip().replace("\n", "; ")
        message = f"{place}: step {name} was answered {shown}, which is no {question.kind}: {first}"
        raise AnswerError(message) from error
