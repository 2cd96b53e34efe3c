"""This module holds the operator that runs the command that a function returns."""

from collections.abc import Callable, Mapping
from typing import Any

from ostinato.authoring.operators.bash import BashOperator
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.operators.python import FunctionOperator
from ostinato.authoring.ports import Context


class BashFunctionOperator(FunctionOperator, BashOperator):
    """Run the command that a function returns.

    Args:
        task_id: Unique in its group.
        python_callable: Returns the command.
        options: What ``BashOperator`` takes, and policies.
    """

    operator_name = "bash"
    template_fields = FunctionOperator.template_fields
    #: Arguments of a function are no scripts, wherever they end.
    template_ext = ()

    def __init__(
        self, task_id: str, *, python_callable: Callable[..., Any], **options: Any
    ) -> None:
        super().__init__(task_id, python_callable=python_callable, bash_command="", **options)

    def arguments(self) -> dict[str, Any]:
        """Return the function's arguments, and the command's surroundings under names apart."""
        around = {f"bash.{name}": getattr(self, name) for name in ("env", "cwd")}
        return {**super().arguments(), **around}

    def bind(self, arguments: Mapping[str, Any]) -> Operator:
        """Return a copy for one attempt, with resolved arguments.

        Args:
            arguments: What ``arguments()`` returned, with all references replaced.
        """
        named = dict(arguments)
        around = {name: named.pop(f"bash.{name}", None) for name in ("env", "cwd")}
        bound = super().bind(named)
        bound.__dict__.update(around)
        return bound

    def execute(self, context: Context) -> Any:
        """Ask the function for the command and run it.

        Args:
            context: Of the attempt.
        """
        self.bash_command = context.render(self.call(context), field="bash_command")
        return BashOperator.execute(self, context)
