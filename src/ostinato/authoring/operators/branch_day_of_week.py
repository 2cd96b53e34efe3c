"""This module holds the operator that chooses by the day of the week."""

from collections.abc import Iterable
from typing import Unpack

from ostinato.authoring.operators.branch import Choice, TwoWayBranchOperator
from ostinato.authoring.policies import Policies
from ostinato.authoring.ports import Context
from ostinato.authoring.weekdays import WeekDay, weekdays_of


class BranchDayOfWeekOperator(TwoWayBranchOperator):
    """Choose one way on some days of the week, and the other one on the others.

    Days begin and end in the flow's zone.

    Args:
        task_id: Unique in its group.
        follow_task_ids_if_true: Ids of tasks or groups directly behind, on these days.
        follow_task_ids_if_false: Ids of tasks or groups directly behind, on other days.
        week_day: Days: ``"monday"``, ``"Mon"``, ``WeekDay.MONDAY``, or several.
        use_task_logical_date: Whether the run's logical date decides instead of the clock.
        policies: How it is run, see ``Policies``.

    Example:
        ``BranchDayOfWeekOperator(task_id="weekend", week_day=["Sat", "Sun"], ...)``
    """

    def __init__(
        self,
        task_id: str,
        *,
        follow_task_ids_if_true: Choice,
        follow_task_ids_if_false: Choice,
        week_day: str | WeekDay | Iterable[str | WeekDay],
        use_task_logical_date: bool = False,
        **policies: Unpack[Policies],
    ) -> None:
        super().__init__(
            task_id,
            follow_task_ids_if_true=follow_task_ids_if_true,
            follow_task_ids_if_false=follow_task_ids_if_false,
            use_task_logical_date=use_task_logical_date,
            **policies,
        )
        try:
            self.week_day = weekdays_of(week_day)
        except ValueError as err:
            raise self.refusal(f"week_day: {err}") from None

    def is_true(self, context: Context) -> bool:
        """Whether it is one of the days.

        Args:
            context: Of the attempt.
        """
        return self.moment(context).isoweekday() in self.week_day
