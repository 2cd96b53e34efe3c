"""This module puts keys of a task that follow older releases of Airflow into words of today."""

import re

from ostinato.authoring.files.operator_names.operator_aliases import ALIASES
from ostinato.authoring.files.task_specs import TaskSpec

#: Older names of trigger rules.
_TRIGGER_RULES = {
    "dummy": "always",
    "none_failed_or_skipped": "none_failed_min_one_success",
}

#: How operators of one database named their connection: ``postgres_conn_id``.
_CONNECTION = re.compile(r"[a-z0-9]+_conn_id")


def translate_airflow(spec: TaskSpec) -> None:
    """Replace older words among the values of a task.

    Args:
        spec: Of the task; its values are changed.
    """
    translated: set[str] = set()
    rule = spec.values.get("trigger_rule")
    if isinstance(rule, str) and rule in _TRIGGER_RULES:
        spec.values["trigger_rule"] = _TRIGGER_RULES[rule]
        translated.add("trigger_rule")
    operator = spec.values.get("operator")
    last = operator.rpartition(".")[2] if isinstance(operator, str) else ""
    if ALIASES.get(last) == "SqlOperator":
        for name in [*spec.values]:
            if _CONNECTION.fullmatch(name) and "conn_id" not in spec.values:
                spec.values["conn_id"] = spec.values.pop(name)
    spec.translated = frozenset(translated)
