"""This module keeps names in templates that are not known yet: they stay as they are written."""

from typing import Any

from jinja2 import DebugUndefined
from jinja2.exceptions import SecurityError
from jinja2.sandbox import SandboxedEnvironment

#: Letters or items that a template may make by repeating.
MAX_REPEATED = 1_000_000

#: The largest power that a template may take.
MAX_EXPONENT = 1000


class KeptName(DebugUndefined):
    """A name, with what is asked of it, that renders as the expression that it stands in."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._grown(f"{self._undefined_name}.{name}")

    def __getitem__(self, key: object) -> Any:
        return self._grown(f"{self._undefined_name}[{key!r}]")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the call as it is written."""
        parts = [_written(one) for one in args]
        parts += [f"{name}={_written(value)}" for name, value in kwargs.items()]
        return self._grown(f"{self._undefined_name}({', '.join(parts)})")

    def __str__(self) -> str:
        self._refuse_unsafe()
        return super().__str__()

    def _grown(self, expression: str) -> "KeptName":
        self._refuse_unsafe()
        return KeptName(name=expression)

    def _refuse_unsafe(self) -> None:
        if self._undefined_exception is SecurityError:
            raise SecurityError(self._undefined_hint)


#: Items that the ranges of one file's templates may have together; loops are nested.
MAX_COUNTED = 1_000_000


class LoadingEnvironment(SandboxedEnvironment):
    """Render templates of files while they are loaded: without reaching Python, without hanging."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._counted = 0
        self.globals["range"] = self._range

    def _range(self, *bounds: int) -> range:
        numbers = range(*bounds)
        self._counted += len(numbers)
        if self._counted > MAX_COUNTED:
            message = f"ranges of more than {MAX_COUNTED:,} items together are too long"
            raise OverflowError(message)
        return numbers

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Refuse products and powers that would take forever or all memory."""
        if operator == "**" and isinstance(right, int | float) and abs(right) > MAX_EXPONENT:
            message = f"a power over {MAX_EXPONENT} is too large"
            raise OverflowError(message)
        if operator == "*":
            for one, other in ((left, right), (right, left)):
                is_long = isinstance(one, str | bytes | list | tuple) and isinstance(other, int)
                if is_long and len(one) * other > MAX_REPEATED:
                    message = f"more than {MAX_REPEATED:,} repetitions are too many"
                    raise OverflowError(message)
        return super().call_binop(context, operator, left, right)


def _written(value: object) -> str:
    if isinstance(value, KeptName):
        return str(value._undefined_name)
    return repr(value)
