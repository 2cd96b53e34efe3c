"""This module holds an operator that makes a group of two tasks."""

from typing import Any

try:
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import TaskGroup
except ImportError:
    from ostinato import EmptyOperator, TaskGroup


class PairOperator:
    """Make two tasks, one after the other."""

    _gusty_parameters = ("task_id", "dag", "task_group", "extra")

    def __new__(cls, task_id: str, dag: Any, task_group: Any = None, *, extra: bool = False) -> Any:
        group = TaskGroup(task_id, prefix_group_id=True, dag=dag, parent_group=task_group)
        first = EmptyOperator(task_id="first", dag=dag, task_group=group)
        last = EmptyOperator(task_id="last", dag=dag, task_group=group)
        first >> last
        if extra:
            EmptyOperator(task_id="extra", dag=dag, task_group=group)
        return group
