"""This module holds the operator that chooses by the time of the day or the date."""

from datetime import UTC, datetime, time
from typing import Unpack

from ostinato.authoring.operators.branch import Choice, TwoWayBranchOperator
from ostinato.authoring.policies import Policies
from ostinato.authoring.ports import Context

Bound = datetime | time | None


class BranchDateTimeOperator(TwoWayBranchOperator):
    """Choose one way inside of a window of time, and the other one outside.

    Bounds belong to the window. Two times of the day of which the lower one is later make a
    window over midnight. What has no time zone is read in the flow's.

    Args:
        task_id: Unique in its group.
        follow_task_ids_if_true: Ids of tasks or groups directly behind, inside of the window.
        follow_task_ids_if_false: Ids of tasks or groups directly behind, outside of it.
        target_lower: Begin of the window: a datetime or a time of the day; None for no bound.
        target_upper: End of the window: a datetime or a time of the day; None for no bound.
        use_task_logical_date: Whether the run's logical date decides instead of the clock.
        policies: How it is run, see ``Policies``.

    Example:
        ``BranchDateTimeOperator(task_id="early", target_upper=time(8), ...)``
    """

    def __init__(
        self,
        task_id: str,
        *,
        follow_task_ids_if_true: Choice,
        follow_task_ids_if_false: Choice,
        target_lower: Bound = None,
        target_upper: Bound = None,
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
        self.target_lower = target_lower
        self.target_upper = target_upper
        if target_lower is None and target_upper is None:
            raise self.refusal("it needs target_lower, target_upper or both")
        for name in ("target_lower", "target_upper"):
            bound = getattr(self, name)
            if not isinstance(bound, datetime | time | None):
                raise self.refusal(f"{name} is {bound!r}, neither a datetime nor a time")

    def is_true(self, context: Context) -> bool:
        """Whether the moment lies in the window.

        Args:
            context: Of the attempt.
        """
        moment = self.moment(context)
        lower, upper = self.target_lower, self.target_upper
        is_after = lower is None or _offset(moment, lower) >= 0
        is_before = upper is None or _offset(moment, upper) <= 0
        if _is_over_midnight(lower, upper):
            return is_after or is_before
        return is_after and is_before


def _is_over_midnight(lower: Bound, upper: Bound) -> bool:
    if not isinstance(lower, time) or not isinstance(upper, time):
        return False
    return lower.replace(tzinfo=None) > upper.replace(tzinfo=None)


def _offset(moment: datetime, bound: datetime | time) -> float:
    """Return how many seconds a moment lies after a bound; of a time of the day, of that day."""
    local = moment.astimezone(bound.tzinfo or moment.tzinfo)
    if isinstance(bound, datetime):
        aware = bound.replace(tzinfo=bound.tzinfo or moment.tzinfo)
        # In UTC, for times of one zone are subtracted as if no clock was ever changed.
        return (local.astimezone(UTC) - aware.astimezone(UTC)).total_seconds()
    plain = local.replace(tzinfo=None)
    return (plain - datetime.combine(plain, bound.replace(tzinfo=None))).total_seconds()
