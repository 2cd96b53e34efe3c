"""This module holds the operator that chooses among the tasks behind it."""

from collections.abc import Mapping
from typing import Any

from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.operators.python import FunctionOperator
from ostinato.authoring.ports import Context
from ostinato.authoring.suggestions import did_you_mean
from ostinato.errors import UnknownTask
from ostinato.model.flow import TaskKind


class BranchOperator(Operator):
    """Choose among the tasks directly behind: write ``choose_branch``; the others are skipped."""

    operator_name = "branch"
    kind = TaskKind.BRANCH

    def choose_branch(self, context: Context) -> Any:
        """Return the id of a task or group, a list of ids, or None to skip all.

        Args:
            context: Of the attempt.
        """
        raise NotImplementedError

    def execute(self, context: Context) -> list[str]:
        """Return the ids of the chosen tasks and groups.

        Args:
            context: Of the attempt.
        """
        return self.chosen_ids(self.choose_branch(context))

    def chosen_ids(self, choice: Any) -> list[str]:
        """Return a choice as full ids.

        Args:
            choice: Ids as the user wrote them; in a group, those of its tasks may do without
                the group's prefix.

        Raises:
            UnknownTask: If an id names no task or group behind this task.
            TypeError: If the choice is not made of ids.
        """
        ids = [] if choice is None else [choice] if isinstance(choice, str) else choice
        if not isinstance(ids, list | tuple | set) or not all(isinstance(i, str) for i in ids):
            message = f"{self.node_id!r} must return ids of tasks, not {choice!r}"
            raise TypeError(message)
        return [self._full_id(chosen) for chosen in ids]

    def _full_id(self, chosen: str) -> str:
        known: Mapping[str, Any] = self.graph.known_ids() if self.graph else {}
        prefix = self.group.child_prefix if self.group else ""
        for candidate in (chosen, prefix + chosen):
            if candidate in known or not known:
                return candidate
        message = f"{self.node_id!r} chose {chosen!r}, which is no task or group of its flow"
        raise UnknownTask(message, hint=did_you_mean(chosen, known))


class BranchPythonOperator(FunctionOperator, BranchOperator):
    """Call a function that chooses among the tasks directly behind; the others are skipped.

    A task that the chosen path reaches anyway is not skipped.

    Args:
        task_id: Unique in its group.
        python_callable: Returns the id of a task or group, a list of ids, or None to skip all;
            takes what the function of a ``PythonOperator`` takes.
        op_args: Positional arguments.
        op_kwargs: Arguments by name.
        options: Policies, see ``Policies``.
    """

    operator_name = "branch"

    def choose_branch(self, context: Context) -> Any:
        """Call the function.

        Args:
            context: Of the attempt.
        """
        return self.call(context)
