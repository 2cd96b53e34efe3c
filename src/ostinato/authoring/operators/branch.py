"""This module holds the operator that chooses among the tasks behind it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Unpack

from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.operators.python import FunctionOperator
from ostinato.authoring.places import relative_place
from ostinato.authoring.policies import Policies
from ostinato.authoring.ports import Context
from ostinato.authoring.suggestions import did_you_mean
from ostinato.errors import UnknownTask
from ostinato.model.flow import TaskKind

#: Id of a task or group, or several.
Choice = str | Iterable[str]


class BranchOperator(Operator):
    """Choose among the tasks directly behind: write ``choose_branch``; the others are skipped.

    Attributes:
        possible_choices: Ids that it may choose, where they are known before it runs; then they
            are checked with the flow.
    """

    operator_name = "branch"
    kind = TaskKind.BRANCH
    possible_choices: Sequence[str] = ()

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
        place = relative_place(self.place)
        raise UnknownTask(message, place=place, hint=did_you_mean(chosen, known))


class TwoWayBranchOperator(BranchOperator):
    """Choose one of two ways by a moment: write ``is_true``.

    Args:
        task_id: Unique in its group.
        follow_task_ids_if_true: Ids of tasks or groups directly behind.
        follow_task_ids_if_false: Ids of tasks or groups directly behind.
        use_task_logical_date: Whether the run's logical date decides instead of the clock.
        policies: How it is run, see ``Policies``.
    """

    def __init__(
        self,
        task_id: str,
        *,
        follow_task_ids_if_true: Choice,
        follow_task_ids_if_false: Choice,
        use_task_logical_date: bool = False,
        **policies: Unpack[Policies],
    ) -> None:
        super().__init__(task_id, **policies)
        self.follow_task_ids_if_true = self._ids("true", follow_task_ids_if_true)
        self.follow_task_ids_if_false = self._ids("false", follow_task_ids_if_false)
        self.use_task_logical_date = use_task_logical_date
        self.possible_choices = (*self.follow_task_ids_if_true, *self.follow_task_ids_if_false)

    def _ids(self, way: str, choice: object) -> tuple[str, ...]:
        ids = (choice,) if isinstance(choice, str) else choice
        if isinstance(ids, Iterable):
            named = tuple(ids)
            if all(isinstance(each, str) for each in named):
                return named
        raise self.refusal(f"follow_task_ids_if_{way} is {choice!r}, neither an id nor several")

    def moment(self, context: Context) -> datetime:
        """Return what decides: the present or the logical date, in the flow's zone.

        Args:
            context: Of the attempt.
        """
        if self.use_task_logical_date:
            return context.logical_date
        return context.now.astimezone(context.logical_date.tzinfo)

    def is_true(self, context: Context) -> bool:
        """Return which way to go.

        Args:
            context: Of the attempt.
        """
        raise NotImplementedError

    def choose_branch(self, context: Context) -> Any:
        """Return the ids of the way to go.

        Args:
            context: Of the attempt.
        """
        return (
            self.follow_task_ids_if_true if self.is_true(context) else self.follow_task_ids_if_false
        )


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
