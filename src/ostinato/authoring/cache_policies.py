"""This module says of what the key is made under which a step's result is kept for others."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from msgspec import Struct, structs

from ostinato.authoring.places import calling_place, relative_place
from ostinato.authoring.quantities import seconds_of
from ostinato.errors import InvalidArgument, Place

#: Of the context and the arguments by name; None where a call is not to be kept.
KeyFunction = Callable[[Any, dict[str, Any]], str | None]


class CachePolicy(Struct, frozen=True):
    """What makes up the key; policies add up with ``+``, arguments are left out with ``-``.

    Attributes:
        inputs: Whether the arguments are part of it.
        code: Whether the source of the task is.
        params: Whether the parameters of the flow are.
        run: Whether the run is, so that its results are for itself only.
        without: Arguments that are left out.
        functions: Functions that return parts of it.
    """

    inputs: bool = False
    code: bool = False
    params: bool = False
    run: bool = False
    without: frozenset[str] = frozenset()
    functions: tuple[KeyFunction, ...] = ()

    def __add__(self, other: "CachePolicy") -> "CachePolicy":
        """Return the policy whose keys have the parts of both."""
        if not isinstance(other, CachePolicy):
            return NotImplemented
        return CachePolicy(
            self.inputs or other.inputs,
            self.code or other.code,
            self.params or other.params,
            self.run or other.run,
            self.without | other.without,
            self.functions + other.functions,
        )

    def __sub__(self, names: str | Iterable[str]) -> "CachePolicy":
        """Return the policy without one argument, or several."""
        left_out = {names} if isinstance(names, str) else set(names)
        return structs.replace(self, without=self.without | left_out)

    @property
    def is_empty(self) -> bool:
        """Whether nothing makes up a key, so that nothing is kept."""
        return not (self.inputs or self.code or self.params or self.run or self.functions)


#: Prefect's names.
INPUTS = CachePolicy(inputs=True)
TASK_SOURCE = CachePolicy(code=True)
FLOW_PARAMETERS = CachePolicy(params=True)
RUN_ID = CachePolicy(run=True)
DEFAULT = INPUTS + TASK_SOURCE + RUN_ID
NO_CACHE = CachePolicy()

_BY_NAME = {
    "inputs": INPUTS,
    "code": TASK_SOURCE,
    "params": FLOW_PARAMETERS,
    "run": RUN_ID,
}


class Caching(NamedTuple):
    """How the results of a task are kept for others.

    Attributes:
        policy: Of what the key is made.
        expires_s: Seconds for which a result is kept; 0 for ever.
        is_refreshed: Whether it is executed nevertheless, and its result kept anew.
    """

    policy: CachePolicy
    expires_s: float = 0.0
    is_refreshed: bool = False


#: Options of a task that say how its results are kept.
CACHE_NAMES = frozenset(
    {"cache", "cache_policy", "cache_expiration", "cache_key_fn", "refresh_cache"}
)


def read_caching(options: Mapping[str, Any], place: Place | None = None) -> Caching | None:
    """Return what a task's options say of keeping its results, None where nothing is kept.

    Args:
        options: As the user wrote them; what else is among them is not looked at.
        place: Where they stand; by default where this is called from.

    Raises:
        InvalidArgument: A value is wrong.
    """
    given = {name: options[name] for name in CACHE_NAMES if options.get(name) is not None}
    if not given:
        return None
    try:
        written = given.get("cache", given.get("cache_policy"))
        policy = NO_CACHE if written is None else _policy(written)
        function = given.get("cache_key_fn")
        if function is not None:
            if not callable(function):
                message = f"cache_key_fn is a function, not {function!r}"
                raise ValueError(message)
            policy += CachePolicy(functions=(function,))
        elif written is None and given.get("cache_expiration") is not None:
            policy = INPUTS + TASK_SOURCE
        expires_s = seconds_of(given.get("cache_expiration", 0))
    except (TypeError, ValueError) as err:
        place = place or relative_place(calling_place())
        raise InvalidArgument(str(err), place=place) from None
    if policy.is_empty:
        return None
    return Caching(policy, expires_s, bool(given.get("refresh_cache", False)))


def _policy(written: object) -> CachePolicy:
    if isinstance(written, CachePolicy):
        return written
    if written is True:
        return INPUTS + TASK_SOURCE
    if written is False:
        return NO_CACHE
    if isinstance(written, str):
        policy = NO_CACHE
        for name in written.replace(" ", "").split("+"):
            if name not in _BY_NAME:
                message = f"cache: {name!r} is none of {', '.join(_BY_NAME)}"
                raise ValueError(message)
            policy += _BY_NAME[name]
        return policy
    message = f"cache: {written!r} is no cache policy, such as INPUTS + TASK_SOURCE"
    raise ValueError(message)
