"""This module holds the operator that skips what is behind it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ostinato.authoring.operators.python import FunctionOperator
from ostinato.authoring.ports import Context
from ostinato.authoring.references import Reference
from ostinato.model.flow import TaskKind


class ShortCircuitOperator(FunctionOperator):
    """Call a function; if what it returns is falsy, skip what is downstream.

    Args:
        task_id: Unique in its group.
        python_callable: Takes what the function of a ``PythonOperator`` takes.
        op_args: Positional arguments.
        op_kwargs: Arguments by name.
        ignore_downstream_trigger_rules: Whether all that is downstream is skipped; else only
            what is directly behind, and the trigger rules decide on the rest.
        options: Policies, see ``Policies``.
    """

    operator_name = "short_circuit"
    kind = TaskKind.SHORT_CIRCUIT

    def __init__(
        self,
        task_id: str,
        *,
        python_callable: Callable[..., Any],
        op_args: Sequence[Any] | Reference = (),
        op_kwargs: Mapping[str, Any] | Reference | None = None,
        ignore_downstream_trigger_rules: bool = True,
        **options: Any,
    ) -> None:
        self.ignore_downstream_trigger_rules = ignore_downstream_trigger_rules
        super().__init__(
            task_id,
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            **options,
        )

    def execute(self, context: Context) -> Any:
        """Return what the function returns; a falsy value stops what is downstream.

        Args:
            context: Of the attempt.
        """
        return self.call(context)
