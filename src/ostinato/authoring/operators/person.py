"""This module holds the operators that wait for a person: an approval, an input."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NoReturn

from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.parameters import REQUIRED, converter_of, json_default, schema_of
from ostinato.authoring.places import relative_place
from ostinato.authoring.ports import Context
from ostinato.authoring.quantities import seconds_of
from ostinato.authoring.signals import Defer, Fail, Skip
from ostinato.authoring.signatures import UNTYPED
from ostinato.errors import InvalidArgument
from ostinato.model.deferral import InputRequest
from ostinato.model.flow import TaskKind


class PersonOperator(Operator):
    """Ask a person, and hold nothing until somebody answers or the time is over.

    Args:
        task_id: Unique in its group.
        title: One line that says what is asked. Airflow: ``subject``.
        message: More of it, as Markdown. Airflow: ``body``.
        wait: How long to wait for an answer; without it there is no end.
        soft_fail: Whether the task is skipped instead of failed when the time is over.
        subject: Airflow's name of the title.
        body: Airflow's name of the message.
        policies: How it is run, see ``Policies``.
    """

    template_fields: Sequence[str] = ("title", "message")

    def __init__(
        self,
        task_id: str,
        *,
        title: str = "",
        message: str = "",
        wait: float | timedelta | str | None = None,
        soft_fail: bool = False,
        subject: str = "",
        body: str = "",
        **policies: Any,
    ) -> None:
        super().__init__(task_id, **policies)
        self.title: Any = title or subject or self.label
        self.message: Any = message or body
        self.wait_s = None if wait is None else self._duration(wait)
        self.soft_fail = soft_fail
        self.schema: dict[str, Any] = {}
        self.default: Any = REQUIRED

    def execute(self, context: Context) -> NoReturn:
        """Ask.

        Args:
            context: Of the attempt.

        Raises:
            Defer: Always; ``execute_complete`` is called with the answer.
        """
        del context
        has_default = self.default is not REQUIRED
        request = InputRequest(
            self.title,
            self.message,
            self.schema,
            self.default if has_default else None,
            has_default,
        )
        raise Defer(request=request, timeout=self.wait_s)

    def execute_complete(self, context: Context, event: Any) -> Any:
        """Return the task's result.

        Args:
            context: Of the attempt.
            event: The answer.
        """
        del context
        return event

    def on_deferral_timeout(self, context: Context) -> Any:
        """Go on with the default, if there is one.

        Args:
            context: Of the attempt.

        Raises:
            Fail: If there is none; without retries.
            Skip: If ``soft_fail`` says so.
        """
        if self.default is not REQUIRED:
            context.logger.info("nobody answered in time: going on with %r", self.default)
            return self.execute_complete(context, self.default)
        reason = f"nobody answered {self.title!r} within {self.wait_s or 0:g} s"
        raise Skip(reason) if self.soft_fail else Fail(reason)

    def _duration(self, value: float | timedelta | str) -> float:
        try:
            return seconds_of(value)
        except ValueError as err:
            raise InvalidArgument(f"wait: {err}", place=relative_place(self.place)) from None


class ApprovalOperator(PersonOperator):
    """Wait until a person approves; what is behind is skipped if they reject.

    Its result is whether it was approved.

    Args:
        task_id: Unique in its group.
        default: What holds when nobody answers in time: True approves, False rejects.
        fail_on_reject: Whether a rejection fails the task, in place of skipping what is behind.
        ignore_downstream_trigger_rules: Whether all that is downstream is skipped; else only
            what is directly behind.
        options: What ``PersonOperator`` takes, and policies.

    Example:
        ``ApprovalOperator(task_id="release", title="Release {{ ds }}?", wait="2d")``
    """

    operator_name = "approval"
    kind = TaskKind.SHORT_CIRCUIT

    def __init__(
        self,
        task_id: str,
        *,
        default: bool | None = None,
        fail_on_reject: bool = False,
        ignore_downstream_trigger_rules: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.schema = {"type": "boolean"}
        if default is not None:
            self.default = default
        self.fail_on_reject = fail_on_reject
        self.ignore_downstream_trigger_rules = ignore_downstream_trigger_rules

    def execute_complete(self, context: Context, event: Any) -> bool:
        """Return whether it was approved; False skips what is behind.

        Args:
            context: Of the attempt.
            event: The answer.

        Raises:
            Fail: If it was rejected, and ``fail_on_reject`` says so.
        """
        del context
        if not event and self.fail_on_reject:
            raise Fail(f"{self.title!r} was rejected")
        return bool(event)


class InputOperator(PersonOperator):
    """Wait for an answer of a person, which is the task's result.

    Args:
        task_id: Unique in its group.
        schema: What an answer must be: a type, a Pydantic model, or a JSON Schema; anything by
            default. With a type the result is an object of it.
        default: The answer when nobody answers in time.
        options: What ``PersonOperator`` takes, and policies.

    Example:
        ``InputOperator(task_id="rows", title="How many rows?", schema=int, default=100)``
    """

    operator_name = "input"

    def __init__(
        self,
        task_id: str,
        *,
        schema: Any = None,
        default: Any = REQUIRED,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        annotation = UNTYPED if schema is None or isinstance(schema, dict) else schema
        self._convert = converter_of(annotation) if annotation is not UNTYPED else None
        self.schema = dict(schema) if isinstance(schema, dict) else schema_of(annotation)
        if default is not REQUIRED:
            self.default = json_default("default", default, relative_place(self.place))

    def execute_complete(self, context: Context, event: Any) -> Any:
        """Return the answer, as an object of its type.

        Args:
            context: Of the attempt.
            event: The answer as JSON values.
        """
        del context
        return event if self._convert is None else self._convert(event)
