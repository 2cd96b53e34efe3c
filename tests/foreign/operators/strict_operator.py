"""This module holds an operator that takes few arguments, and its path."""

from typing import Any

try:
    from airflow.sdk import BaseOperator
except ImportError:
    from ostinato import BaseOperator


class StrictOperator(BaseOperator):
    """Keep the path of its file."""

    def __init__(self, file_path: str, size: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.file_path = file_path
        self.size = size

    def execute(self, context: Any) -> str:
        return self.file_path
