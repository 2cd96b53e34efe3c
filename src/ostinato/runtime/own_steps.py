"""This module stands among the steps for what is no task of the user."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ostinato.authoring.cache_policies import Caching
from ostinato.authoring.transactions import Hook
from ostinato.model.policy import DEFAULT_POLICY


class OwnTask:
    """Stands among the steps for what is no task: a subflow, a transaction, one of its hooks."""

    def __init__(
        self, task_id: str, function: Callable[..., Any] | None = None, *, is_async: bool = False
    ) -> None:
        self.function = function or _nothing
        self.task_id = task_id
        self.is_async = is_async
        self.commit_hooks: tuple[Hook, ...] = ()
        self.rollback_hooks: tuple[Hook, ...] = ()
        self.policy = DEFAULT_POLICY
        self.caching: Caching | None = None
        self.map_name = ""
        self.is_placed = False
        self.retry_if: Any = None

    def may_retry(self, error: BaseException) -> bool | None:
        """Leave it to the policy."""
        del error
        return None

    def name_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments, which have names already."""
        del args
        return dict(kwargs)


def _nothing() -> None:
    """Stand for a function that is never called."""
