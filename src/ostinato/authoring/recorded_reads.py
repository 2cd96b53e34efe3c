"""This module reads time, chance and environment so that a replay of a flow reads the same."""

import os
import uuid as uuids
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ostinato.authoring.cache_policies import Caching
from ostinato.authoring.steps import current_steps
from ostinato.authoring.transactions import Hook
from ostinato.clock import SystemClock, draw_chance
from ostinato.model.policy import DEFAULT_POLICY


class _Read:
    """A step that reads something that is another thing each time."""

    is_async = False
    map_name = ""
    is_placed = False
    retry_if: Any = None
    commit_hooks: tuple[Hook, ...] = ()
    rollback_hooks: tuple[Hook, ...] = ()
    policy = DEFAULT_POLICY
    caching: Caching | None = None

    def __init__(self, task_id: str, function: Callable[..., Any]) -> None:
        self.task_id = task_id
        self.function = function

    def __call__(self, **arguments: Any) -> Any:
        steps = current_steps.get()
        return self.function(**arguments) if steps is None else steps.call(self, (), arguments)

    def may_retry(self, error: BaseException) -> bool | None:
        del error
        return None

    def name_arguments(self, args: Any, kwargs: Any) -> dict[str, Any]:
        del args
        return dict(kwargs)


_now = _Read("@now", lambda: SystemClock().now_us())
_random = _Read("@random", draw_chance)
_uuid = _Read("@uuid", lambda: str(uuids.uuid4()))  # noqa: TID251 - the user's, and no id of ours
_env = _Read("@env", lambda name: os.environ.get(name))


def now() -> datetime:
    """Return the time in UTC; in a flow that is a function, the same in each replay."""
    return datetime.fromtimestamp(_now() / 1e6, UTC)


def random() -> float:
    """Return a number from 0 to 1; in a flow that is a function, the same in each replay."""
    return float(_random())


def uuid() -> uuids.UUID:
    """Return a random UUID; in a flow that is a function, the same in each replay."""
    return uuids.UUID(_uuid())


def env(name: str, default: str | None = None) -> str | None:
    """Return an environment variable; in a flow that is a function, the same in each replay.

    It is stored with the run: read secrets from connections.

    Args:
        name: Of the variable.
        default: What one that is not set gives.
    """
    value = _env(name=name)
    return default if value is None else str(value)
