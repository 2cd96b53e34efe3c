"""This module holds the operator that does nothing."""

from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.ports import Context


class EmptyOperator(Operator):
    """Do nothing: a point where edges meet."""

    operator_name = "empty"

    def execute(self, context: Context) -> None:
        """Succeed at once.

        Args:
            context: Of the attempt.
        """
