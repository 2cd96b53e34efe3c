"""This module holds defaults to the operators that they are for, when a flow is built."""

from collections.abc import Iterable

from ostinato.authoring.groups import TaskGroup
from ostinato.authoring.operators.operator import MappedOperator, Operator, own_arguments
from ostinato.authoring.places import relative_place
from ostinato.authoring.policies import POLICY_NAMES
from ostinato.authoring.suggestions import did_you_mean
from ostinato.errors import InvalidArgument


def check_default_args(groups: Iterable[TaskGroup]) -> None:
    """Refuse defaults that none of the tasks they are for knows.

    Args:
        groups: The groups of a flow, its root among them.

    Raises:
        InvalidArgument: A default is neither a policy nor an argument of any task's operator.
    """
    for group in groups:
        inherited = group.parent.operator_defaults if group.parent else {}
        own = [name for name in group.operator_defaults if name not in inherited]
        tasks = [task for task in group.tasks() if isinstance(task, Operator)] if own else []
        if not tasks:
            continue
        known = {name for kind in set(map(_class_of, tasks)) for name in own_arguments(kind)}
        for name in own:
            if name not in known:
                raise InvalidArgument(
                    f"no task takes the argument {name!r} of default_args",
                    place=relative_place(group.place),
                    hint=did_you_mean(name, known | POLICY_NAMES),
                )


def _class_of(task: Operator) -> type[Operator]:
    return task.operator_class if isinstance(task, MappedOperator) else type(task)
