"""Declare branches in groups, a short circuit and trigger rules over what they skip."""

from ostinato import DAG, TaskGroup, dag, task
from ostinato.operators import (
    BashOperator,
    BranchDayOfWeekOperator,
    BranchPythonOperator,
    EmptyOperator,
    LatestOnlyOperator,
)

DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


def larger(first: int, second: int) -> str:
    """Choose by name within the group."""
    return "left" if first > second else "right"


@dag(schedule=None, tags=["branches"])
def branches() -> None:
    @task.branch
    def choose(amount: int) -> list[str]:
        return ["sides", "alone"] if amount else []

    @task
    def amount() -> int:
        return 3

    @task.short_circuit
    def nothing() -> bool:
        return False

    chosen = choose(amount())
    with TaskGroup("sides", tooltip="Two ways") as sides:
        pick = BranchPythonOperator(task_id="pick", python_callable=larger, op_args=[2, 1])
        with TaskGroup("inner"):
            EmptyOperator(task_id="deep")
        left = EmptyOperator(task_id="left")
        right = BashOperator(task_id="right", bash_command="exit 1")
        pick >> [left, right]
    alone, other = EmptyOperator(task_id="alone"), EmptyOperator(task_id="other")
    end = EmptyOperator(task_id="end", trigger_rule="none_failed_min_one_success")
    chosen >> [alone, other]
    chosen >> sides >> end
    [alone, other] >> end
    stopped = nothing()
    (
        stopped
        >> EmptyOperator(task_id="behind")
        >> EmptyOperator(task_id="far_behind", trigger_rule="all_done")
    )
    weekday = BranchDayOfWeekOperator(
        task_id="weekday",
        week_day=DAYS,
        follow_task_ids_if_true="some_day",
        follow_task_ids_if_false="no_day",
    )
    weekday >> [EmptyOperator(task_id="some_day"), EmptyOperator(task_id="no_day")]
    LatestOnlyOperator(task_id="latest") >> EmptyOperator(task_id="newest")


branches()

with DAG("unlike_prefix") as unlike_prefix:
    with TaskGroup("outer", prefix_group_id=False):
        first = EmptyOperator(task_id="first")
        with TaskGroup("nested"):
            second = EmptyOperator(task_id="second")
    first >> second
