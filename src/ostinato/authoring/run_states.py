"""This module reads the names of states as people write them."""

from collections.abc import Iterable

from ostinato.authoring.suggestions import did_you_mean
from ostinato.model.state import RunState, TaskRunState

#: Airflow's name of the one state that is called otherwise.
_ALIASES = {"success": "succeeded"}


def read_states(
    names: Iterable[str], *kinds: type[RunState] | type[TaskRunState]
) -> tuple[str, ...]:
    """Return the names of final states.

    Args:
        names: One, or several; ``success`` is ``succeeded``.
        kinds: Whose states they are.

    Raises:
        ValueError: If there is no such final state.

    >>> read_states(["success", "skipped"], TaskRunState)
    ('succeeded', 'skipped')
    """
    known = {state.label for kind in kinds for state in kind if state.is_terminal} - {"removed"}
    several = [names] if isinstance(names, str) else list(names)
    read = [_ALIASES.get(str(name), str(name)) for name in several]
    for name in read:
        if name not in known:
            guess = did_you_mean(name, known) or f"there are {', '.join(sorted(known))}"
            message = f"there is no final state {name!r} ({guess})"
            raise ValueError(message)
    return tuple(read)
