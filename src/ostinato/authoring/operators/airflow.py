"""This module executes operators of Airflow's own, where Airflow is installed."""

import importlib
import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.policies import POLICY_NAMES
from ostinato.authoring.ports import Context
from ostinato.authoring.signals import Fail, Skip

#: Where Airflow keeps what tells its operators that they are executed as tasks.
_GUARDS = ("airflow.sdk.bases.operator", "airflow.models.baseoperator")

#: Airflow's exceptions that decide how a task ends, by name.
_ENDINGS: Mapping[str, type[Exception]] = {
    "AirflowSkipException": Skip,
    "AirflowFailException": Fail,
}


class AirflowOperator(Operator):
    """Execute an operator of Airflow's own; ``operator_of`` makes a class of it for each of these.

    Deferrable ones and those that choose what runs behind them need Airflow itself.

    Args:
        task_id: Unique in its group.
        options: Arguments of the operator, and policies.

    Attributes:
        airflow_class: The operator.
    """

    airflow_class: ClassVar[Any] = None

    def __init__(self, task_id: str, **options: Any) -> None:
        ours = {*POLICY_NAMES, "dag", "task_group"} - _own_names(self.airflow_class)
        self.given: dict[str, Any] = {k: v for k, v in options.items() if k not in ours}
        super().__init__(task_id, **{k: v for k, v in options.items() if k in ours})
        self._make(self.given)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the operator."""
        return dict(self.given)

    def rendered_arguments(self) -> frozenset[str]:
        """Return its template fields."""
        return frozenset(self.airflow_class.template_fields)

    def bind(self, arguments: Mapping[str, Any]) -> Operator:
        """Return a copy for one attempt, with resolved arguments.

        Args:
            arguments: What ``arguments()`` returned, with all references replaced.
        """
        bound = super().bind({})
        bound.given = dict(arguments)  # type: ignore[attr-defined]  # it is one of this class
        return bound

    def execute(self, context: Context) -> Any:
        """Execute the operator, which receives the context as its own.

        Args:
            context: Of the attempt.

        Raises:
            Skip: It raises ``AirflowSkipException``.
            Fail: It raises ``AirflowFailException``.
        """
        operator = self._make(self.given)
        try:
            return operator.execute(context, **_sentinel(type(operator)))
        except Exception as error:
            ending = _ENDINGS.get(type(error).__name__)
            if ending is None:
                raise
            raise ending(str(error)) from error

    def _make(self, given: Mapping[str, Any]) -> Any:
        return self.airflow_class(task_id=self.label, **given)


@cache
def operator_of(airflow_class: Any) -> type[AirflowOperator]:
    """Return the class of tasks that execute an operator of Airflow's own.

    Args:
        airflow_class: The operator.
    """
    names = {"airflow_class": airflow_class, "_gusty_parameters": _accepted(airflow_class)}
    return type(airflow_class.__name__, (AirflowOperator,), names)


def _accepted(airflow_class: Any) -> frozenset[str]:
    return _own_names(airflow_class) | POLICY_NAMES


def _own_names(airflow_class: Any) -> frozenset[str]:
    """Return the arguments that an operator and its bases name, but for those of all operators."""
    names: set[str] = set(getattr(airflow_class, "template_fields", ()))
    for cls in getattr(airflow_class, "__mro__", ()):
        if cls.__name__ in ("BaseOperator", "AbstractOperator", "object"):
            break
        if "__init__" in vars(cls):
            names |= set(inspect.signature(cls.__init__).parameters)
    return frozenset(names - {"self", "args", "kwargs", "task_id"})


def _sentinel(operator: type) -> dict[str, Any]:
    for module in _GUARDS:
        try:
            guard = importlib.import_module(module).ExecutorSafeguard
        except (ImportError, AttributeError):
            continue
        return {f"{operator.__name__}__sentinel": guard.sentinel_value}
    return {}
