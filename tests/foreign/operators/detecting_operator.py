"""This module holds an operator that finds its dependencies by itself."""

import re
from typing import Any

try:
    from airflow.sdk import BaseOperator
except ImportError:
    from ostinato import BaseOperator


class DetectingOperator(BaseOperator):
    """Depend on whatever its query reads."""

    template_fields = ("sql",)

    def __init__(self, sql: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.dependencies = re.findall(r"(?:from|join)\s+(\w+)", sql)

    def execute(self, context: Any) -> str:
        return self.sql
