"""This module holds the operator that lets only the newest run of a schedule go on."""

from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.ports import Context
from ostinato.model.flow import TaskKind


class LatestOnlyOperator(Operator):
    """Skip what is directly behind unless the run covers the newest interval of its schedule.

    Runs that somebody asked for and flows without a schedule pass. What is further behind
    follows its trigger rule.

    Args:
        task_id: Unique in its group.
        policies: How it is run, see ``Policies``.
    """

    operator_name = "latest_only"
    kind = TaskKind.SHORT_CIRCUIT
    ignore_downstream_trigger_rules = False

    def execute(self, context: Context) -> bool:
        """Return whether the run is the newest; if it is not, what is behind is skipped.

        Args:
            context: Of the attempt.
        """
        if not context.is_latest:
            context.logger.info("a newer interval has begun than that of this run")
        return context.is_latest
