"""This module holds an operator that takes what its base takes."""

from typing import Any

from strict_operator import StrictOperator


class InheritedOperator(StrictOperator):
    """Have a colour too."""

    def __init__(self, colour: str = "red", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.colour = colour
