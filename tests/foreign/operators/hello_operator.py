"""This module holds operators as users write them, for gusty and for Ostinato."""

from typing import Any

try:
    from airflow.sdk import BaseOperator
except ImportError:
    from ostinato import BaseOperator


class HelloOperator(BaseOperator):
    """Greet."""

    template_fields = ("name",)

    def __init__(self, name: str = "world", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = name

    def execute(self, context: Any) -> str:
        return f"hello {self.name}"
