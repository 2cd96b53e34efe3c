"""This module checks what a person answers to a task that waits for one."""

from typing import Any

import msgspec
from msgspec import Struct

from ostinato.authoring.json_schema import describe, find_problem
from ostinato.errors import AnswerError
from ostinato.model.deferral import InputRequest
from ostinato.model.identity import RunId


class WaitingInput(Struct, frozen=True):
    """A task run that waits for a person.

    Attributes:
        run_id: Of its run.
        task_id: Of its task.
        path: Its indices as text; empty where nothing is mapped.
        since_us: When it began to wait.
        due_us: When its time is over, 0 for never.
        request: What is asked.
        holds_nothing: Whether the process that drove the run has ended, as its flow wants it.
    """

    run_id: RunId
    task_id: str
    path: str
    since_us: int
    due_us: int
    request: InputRequest
    holds_nothing: bool = False

    @property
    def name(self) -> str:
        """Task and index, such as ``approve[3]``."""
        return f"{self.task_id}[{self.path}]" if self.path else self.task_id


def check_answer(request: InputRequest, answer: Any, name: str) -> None:
    """Refuse an answer that does not fit what was asked.

    Args:
        request: What was asked.
        answer: As JSON values.
        name: Of the task run, for the message.

    Raises:
        AnswerError: It does not fit; says what would.
    """
    problem = find_problem(answer, request.schema)
    if problem:
        hint = f"it takes {wanted(request)}"
        raise AnswerError(f"{name!r} asks {request.title!r}: {problem}", hint=hint)


def wanted(request: InputRequest) -> str:
    """Return in a few words what answers a request.

    >>> fields = {"rows": {"type": "integer"}, "table": {"type": "string"}}
    >>> wanted(InputRequest("What?", "", {"type": "object", "properties": fields}))
    'object as JSON: {"rows": integer, "table": string}'
    """
    text = describe(request.schema)
    fields = request.schema.get("properties")
    if not isinstance(fields, dict) or not fields:
        return text
    shown = ", ".join(f'"{name}": {describe(schema)}' for name, schema in fields.items())
    return f"{text} as JSON: {{{shown}}}"


def answer_command(run: str, task: str, request: InputRequest) -> str:
    """Return the command that answers what a person is asked.

    >>> answer_command("etl#3", "@pause[0]", InputRequest("Ready?", schema={"type": "boolean"}))
    "ostinato answer 'etl#3' '@pause[0]' --approve"
    """
    value = "--approve" if request.schema == {"type": "boolean"} else "VALUE"
    shown = f"'{task}'" if "[" in task else task
    return f"ostinato answer '{run}' {shown} {value}"


def read_answer(request: InputRequest, text: str) -> Any:
    """Return what a person wrote as JSON values: JSON where it is some, else text.

    Args:
        request: What was asked; a text that fits its schema as it stands is left as text.
        text: As it was written.

    Raises:
        AnswerError: It begins as JSON does, and is none.
    """
    if request.schema and not find_problem(text, request.schema):
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as err:
        if text.lstrip()[:1] in ("{", "["):
            message = f"{request.title!r}: the answer is no JSON: {err}"
            raise AnswerError(message, hint=f"it takes {wanted(request)}") from None
        return text
