"""This module reads the policies of tasks from keyword arguments."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypedDict, TypeVar

import msgspec

from ostinato.authoring.cache_policies import CACHE_NAMES, CachePolicy, Caching, read_caching
from ostinato.authoring.callbacks import (
    CALLBACK_ALIASES,
    LATE,
    TASK_MOMENTS,
    CallbackFunction,
    WrittenCallback,
    read_callbacks,
)
from ostinato.authoring.parameters import REQUIRED, ParameterOptions
from ostinato.authoring.places import relative_place
from ostinato.authoring.quantities import bytes_of, seconds_of
from ostinato.authoring.schedules import WITHOUT_TICKS, schedule_text
from ostinato.authoring.suggestions import did_you_mean
from ostinato.authoring.templates import is_template
from ostinato.errors import InvalidArgument, Place
from ostinato.model.notice import Moment
from ostinato.model.policy import (
    DEFAULT_POLICY,
    Compute,
    Criticality,
    Isolation,
    Policy,
    TriggerRule,
    WeightRule,
)
from ostinato.model.schedule import is_custom

E = TypeVar("E", bound=StrEnum)

Duration = float | timedelta | str

#: Which errors are worth a retry; of a function True, False, or None for the default.
RetryCondition = tuple[type[BaseException], ...] | Callable[[BaseException], bool | None]

#: What is called at a moment.
Callbacks = CallbackFunction | Sequence[CallbackFunction] | None


class Policies(TypedDict, total=False):
    """What every task takes as keyword arguments.

    Attributes:
        retries: How often a failed attempt is tried again.
        retry_delay: Before a retry; a list for the first, second, ... retry.
        retry_exponential_backoff: Factor on the delay per retry; True for 2.
        max_retry_delay: Upper bound of the delay.
        retry_jitter: Share of the delay, 0 to 1, by which it varies at random.
        retry_if: Exception types, or a function of the exception.
        timeout: Of one attempt. Airflow: ``execution_timeout``.
        deadline: Of all attempts together.
        lost_attempts: How often an attempt may be lost with its process.
        trigger_rule: Which outcomes upstream let it run.
        priority: Higher is dispatched first. Airflow: ``priority_weight``.
        weight_rule: How neighbours' priorities add to it.
        pool: Whose slots it takes.
        pool_slots: How many.
        depends_on_past: Whether it waits until it has succeeded or was skipped in the run before.
        wait_for_downstream: Whether that holds for the tasks directly behind it too.
        max_active: Task runs at a time within a run. Airflow: ``max_active_tis_per_dagrun``.
        max_active_over_runs: Task runs at a time over all runs of a process. Airflow:
            ``max_active_tis_per_dag``.
        executor: By name.
        isolation: ``fork`` for a process of its own.
        compute: What it asks of the machine: ``{"cpu": 1, "memory": "512MB", "gpu": 0}``.
        criticality: What its failure means for the run.
        doc: Markdown for people. Airflow: ``doc_md``.
        owner: Who looks after it.
        tags: For searching.
        inlets: Keys of the data objects that it reads.
        outlets: Keys of the data objects that it writes.
        map_name: Template of a mapped task run's or step's name. Airflow: ``map_index_template``,
            Prefect: ``task_run_name``.
        when: Condition, a template or an expression such as ``"params.full"``; the task is skipped
            where it is false.
        schedule: The task is skipped in runs in whose data interval this has no tick.
        cache: Of what the key is made under which its result is kept for other runs: a policy,
            its text such as ``"inputs+code"``, or True for these two. Prefect:
            ``cache_policy``.
        cache_expiration: How long a result is kept; for ever by default.
        cache_key_fn: Function of the context and the arguments that returns a key, or None.
        refresh_cache: Whether it is executed nevertheless, and its result kept anew.
        params: What ``context.params`` has in this task beside the flow's parameters; also
            other defaults of these.
        on_start: Called with the context when its first attempt starts; a function or a list of
            them. Airflow: ``on_execute_callback``.
        on_success: Called when the task run has succeeded. Airflow: ``on_success_callback``.
        on_failure: Called when it has failed for good. Airflow: ``on_failure_callback``.
        on_retry: Called when an attempt failed and another follows. Airflow:
            ``on_retry_callback``.
        on_skip: Called when an attempt ended by ``Skip``. Airflow: ``on_skipped_callback``.
    """

    retries: int
    retry_delay: Duration | Sequence[Duration]
    retry_exponential_backoff: bool | float
    max_retry_delay: Duration | None
    retry_jitter: float
    retry_if: RetryCondition | type[BaseException] | list[type[BaseException]] | None
    timeout: Duration | None
    execution_timeout: Duration | None
    deadline: Duration | None
    lost_attempts: int
    trigger_rule: (
        TriggerRule
        | Literal[
            "all_success",
            "all_failed",
            "all_done",
            "all_done_min_one_success",
            "all_done_setup_success",
            "one_success",
            "one_failed",
            "one_done",
            "none_failed",
            "none_failed_min_one_success",
            "none_skipped",
            "all_skipped",
            "always",
        ]
    )
    priority: int
    priority_weight: int
    weight_rule: WeightRule | Literal["downstream", "upstream", "absolute"]
    pool: str | None
    pool_slots: int
    depends_on_past: bool
    wait_for_downstream: bool
    max_active: int | None
    max_active_tis_per_dagrun: int | None
    max_active_over_runs: int | None
    max_active_tis_per_dag: int | None
    executor: str | None
    isolation: Isolation | Literal["warm", "fork"]
    compute: Compute | Mapping[str, Any]
    criticality: Criticality | Literal["critical", "normal", "optional"]
    doc: str | None
    doc_md: str | None
    owner: str
    tags: Iterable[str]
    inlets: Iterable[str]
    outlets: Iterable[str]
    when: str | bool | None
    schedule: str | timedelta | None
    cache: CachePolicy | str | bool | None
    cache_policy: CachePolicy | str | bool | None
    cache_expiration: Duration | None
    cache_key_fn: Callable[[Any, dict[str, Any]], str | None] | None
    refresh_cache: bool | None
    map_name: str | None
    map_index_template: str | None
    task_run_name: str | None
    params: Mapping[str, Any]
    on_start: Callbacks
    on_execute_callback: Callbacks
    on_success: Callbacks
    on_success_callback: Callbacks
    on_failure: Callbacks
    on_failure_callback: Callbacks
    on_retry: Callbacks
    on_retry_callback: Callbacks
    on_skip: Callbacks
    on_skipped_callback: Callbacks


class Settings(NamedTuple):
    """What a task's policies say, read and checked.

    Attributes:
        policy: What the engine and the executors follow.
        doc: Markdown for people.
        owner: Who looks after the task.
        tags: For searching.
        inlets, outlets: Keys of the data objects that it reads and writes.
        map_name: Template of a mapped task run's name.
        retry_if: Which errors are worth a retry.
        params: Parameters of the task itself.
        when: Template of the condition on which it runs; empty for always.
        schedule: Whose ticks it runs for; empty for all runs.
        callbacks: What is called at the task's moments.
        caching: How its results are kept for other runs; None where they are not.
    """

    policy: Policy = DEFAULT_POLICY
    doc: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    map_name: str = ""
    retry_if: RetryCondition | None = None
    params: Mapping[str, Any] = MappingProxyType({})
    callbacks: tuple[WrittenCallback, ...] = ()
    inlets: tuple[str, ...] = ()
    outlets: tuple[str, ...] = ()
    when: str = ""
    schedule: str = ""
    caching: Caching | None = None


#: What holds for a task that says nothing.
DEFAULT_SETTINGS = Settings()

#: Airflow's spellings by ours.
ALIASES = {
    "execution_timeout": "timeout",
    "priority_weight": "priority",
    "max_active_tis_per_dagrun": "max_active",
    "max_active_tis_per_dag": "max_active_over_runs",
    "doc_md": "doc",
    "map_index_template": "map_name",
    "task_run_name": "map_name",
    "cache_policy": "cache",
    **CALLBACK_ALIASES,
}

#: Airflow's names for what is not there; where they say that it is not wanted, nothing is lost.
ABSENT = frozenset({"email", "email_on_failure", "email_on_retry"})

POLICY_NAMES = frozenset(Policies.__annotations__)

#: From which likeness on, 0 to 1, the name of a default is taken for a slip of the pen.
_SLIP = 0.8


class PolicyReader:
    """Read the policies of the tasks in one flow or group; equal ones are read once.

    Args:
        defaults: What holds where a task says nothing.
        parent: Reader of what is around; its defaults hold where ``defaults`` say nothing.
        place: Where the defaults stand, as the interpreter names the file.
    """

    def __init__(
        self,
        defaults: Mapping[str, Any],
        *,
        parent: "PolicyReader | None" = None,
        place: Place | None = None,
    ) -> None:
        inherited: dict[str, Any] = parent._defaults if parent else {}
        self._defaults: dict[str, Any] = _laid_over(
            inherited, canonical(defaults, "default_args", place and relative_place(place))
        )
        self._known: dict[tuple[tuple[str, Any], ...], Settings] = {}
        self._shared: dict[Policy, Policy] = parent._shared if parent else {}
        #: What holds for a task that says nothing.
        self.default = self._build({}, place)

    def read(self, policies: Mapping[str, Any], place: Place | None = None) -> Settings:
        """Return what a task's keyword arguments say.

        Args:
            policies: As the user wrote them.
            place: Where they stand, as the interpreter names the file.

        Raises:
            InvalidArgument: If a name or a value is wrong.
        """
        if not policies:
            return self.default
        key = tuple(policies.items())
        try:
            known = self._known.get(key)
        except TypeError:  # a list or dict among the values
            return self._build(policies, place)
        if known is None:
            known = self._known[key] = self._build(policies, place)
        return known

    def _build(self, policies: Mapping[str, Any], place: Place | None) -> Settings:
        own = canonical(policies, "task", place and relative_place(place))
        given = _laid_over(self._defaults, own)
        if not given:
            return DEFAULT_SETTINGS
        settings = read_settings(given, relative_place(place) if place else None)
        return settings._replace(policy=self._shared.setdefault(settings.policy, settings.policy))


def split_defaults(
    defaults: Mapping[str, Any], place: Place
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the policies among ``default_args``, and the arguments of operators.

    Args:
        defaults: As the user wrote them.
        place: Where they stand, as the interpreter names the file.

    Raises:
        InvalidArgument: A name is nearly that of a policy.
    """
    policies: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in defaults.items():
        if name in POLICY_NAMES or name in ABSENT or name in LATE:
            policies[name] = value
            continue
        if get_close_matches(name, POLICY_NAMES, n=1, cutoff=_SLIP):
            message = f"unknown argument {name!r} in default_args"
            hint = did_you_mean(name, POLICY_NAMES)
            raise InvalidArgument(message, place=relative_place(place), hint=hint)
        others[name] = value
    return policies, others


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return policies with others laid over them; tags and parameters add up."""
    merged = {**below, **above}
    if below and above:
        if below.get("tags") and above.get("tags"):
            # What is no list is refused where it is read.
            both = (below["tags"], above["tags"])
            if not any(isinstance(tags, str) for tags in both):
                merged["tags"] = tuple(dict.fromkeys([*both[0], *both[1]]))
        if isinstance(below.get("params"), Mapping) and isinstance(above.get("params"), Mapping):
            merged["params"] = {**below["params"], **above["params"]}
    return merged


def canonical(
    policies: Mapping[str, Any], where: str, place: Place | None = None
) -> dict[str, Any]:
    """Return policies under our names.

    Args:
        policies: By our names or Airflow's.
        where: What they are given to, for the message.
        place: Where they stand.

    Raises:
        InvalidArgument: If a name is unknown, or one policy stands under both its names.
    """
    result: dict[str, Any] = {}
    for name, value in policies.items():
        if name in ABSENT:
            if name != "email" and value:
                message = f"{name!r} in {where} is not supported"
                is_alert = name.startswith("email")
                hint = "declare a rule under 'alerts' in ostinato.yaml" if is_alert else ""
                raise InvalidArgument(message, place=place, hint=hint or "leave it out")
            continue
        if name in LATE:
            if value is None:
                continue
            message = f"{name!r} in {where} is not supported"
            raise InvalidArgument(message, place=place, hint=LATE[name])
        if name not in POLICY_NAMES:
            message = f"unknown argument {name!r} in {where}"
            raise InvalidArgument(message, place=place, hint=did_you_mean(name, POLICY_NAMES))
        ours = ALIASES.get(name, name)
        if ours in result:
            message = f"{where} takes {ours!r} once, and was given {name!r} too"
            raise InvalidArgument(message, place=place)
        result[ours] = value
    return result


def read_settings(given: Mapping[str, Any], place: Place | None = None) -> Settings:
    """Return what policies under our names say.

    Raises:
        InvalidArgument: If a value is wrong.
    """
    fields: dict[str, Any] = {}
    callbacks: tuple[WrittenCallback, ...] = ()
    caching = None
    if not CACHE_NAMES.isdisjoint(given):
        caching = read_caching(given, place)
        given = {name: value for name, value in given.items() if name not in CACHE_NAMES}
    for name, value in given.items():
        if value is None:
            continue
        field, read = _READERS[name]
        try:
            if name in TASK_MOMENTS:
                # Several policies make up one tuple.
                callbacks += read(value)
                continue
            fields[field] = read(value)
        except InvalidArgument as err:
            raise InvalidArgument(f"{name}: {err.message}", place=place, hint=err.hint) from err
        except (TypeError, ValueError) as err:
            raise InvalidArgument(f"{name}: {err}", place=place) from err
    apart = {name: fields.pop(name) for name in Settings._fields[1:] if name in fields}
    if callbacks:
        apart["callbacks"] = callbacks
    if caching is not None:
        apart["caching"] = caching
    policy = Policy(**fields)
    # The model's own default is told by identity when it is written.
    return Settings(DEFAULT_POLICY if policy == DEFAULT_POLICY else policy, **apart)


def _count(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    message = f"{value!r} is not a whole number of zero or more"
    raise ValueError(message)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    message = f"{value!r} is neither True nor False"
    raise ValueError(message)


def _integer(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    message = f"{value!r} is not a whole number"
    raise ValueError(message)


def _slots(value: object) -> int:
    if _count(value) == 0:
        message = "a task takes at least one slot"
        raise ValueError(message)
    return _count(value)


def _delays(value: object) -> tuple[float, ...]:
    if not isinstance(value, list | tuple):
        return (seconds_of(value),)
    if not value:
        message = "a list of delays needs at least one"
        raise ValueError(message)
    return tuple(map(seconds_of, value))


def _backoff(value: object) -> float:
    if isinstance(value, bool):
        return 2.0 if value else 1.0
    if isinstance(value, int | float) and 1 <= value < float("inf"):
        return float(value)
    message = f"{value!r} is neither True nor a factor of at least 1"
    raise ValueError(message)


def _share(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    message = f"{value!r} is not a number from 0 to 1"
    raise ValueError(message)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    message = f"{value!r} is not text"
    raise ValueError(message)


def _pool(value: object) -> str:
    name = _text(value)
    return "" if name == "default_pool" else name


def _tags(value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        message = f"{value!r} is not a list of texts"
        raise ValueError(message)
    return tuple(map(_text, value))


def _params(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        message = f"{value!r} is not like {{'rows': 100}}"
        raise ValueError(message)
    found = {}
    for name, given in value.items():
        default = given.default if isinstance(given, ParameterOptions) else given
        if default is REQUIRED:
            message = f"{name!r} of a task has no default; declare it as a parameter of the flow"
            raise ValueError(message)
        found[name] = default
    return found


def _condition(value: object) -> str:
    """Return a condition as a template; empty where it always holds.

    >>> _condition("params.full"), _condition("{{ ds }}"), _condition(True)
    ('{{ params.full }}', '{{ ds }}', '')
    """
    if isinstance(value, bool):
        return "" if value else "{{ false }}"
    if not isinstance(value, str) or not value.strip():
        message = f"{value!r} is no condition; write a template such as '{{{{ params.full }}}}'"
        raise TypeError(message)
    return value if is_template(value) else f"{{{{ {value.strip()} }}}}"


def _ticks(value: object) -> str:
    text = schedule_text(value)
    if text in WITHOUT_TICKS or is_custom(text):
        message = f"{text!r} has no ticks; write a cron expression, a preset or a timedelta"
        raise ValueError(message)
    return text


def _one_of(enum: type[E]) -> Callable[[object], E]:
    def read(value: object) -> E:
        try:
            return enum(str(value))
        except ValueError:
            names = [member.value for member in enum]
            guess = did_you_mean(str(value), names) or f"one of {', '.join(names)}"
            message = f"{value!r} is unknown; {guess}"
            raise ValueError(message) from None

    return read


def _compute(value: object) -> Compute:
    if isinstance(value, Compute):
        return value
    if not isinstance(value, Mapping):
        message = f"{value!r} is not like {{'cpu': 1, 'memory': '512MB'}}"
        raise ValueError(message)
    readers: dict[str, tuple[str, Callable[[object], Any]]] = {
        "cpu": ("cpu", _amount),
        "gpu": ("gpu", _amount),
        "memory": ("memory_bytes", bytes_of),
    }
    unknown = [name for name in value if name not in readers]
    if unknown:
        guess = did_you_mean(unknown[0], readers) or "use cpu, memory, gpu"
        message = f"{unknown[0]!r} is unknown; {guess}"
        raise ValueError(message)
    return Compute(**{readers[name][0]: readers[name][1](asked) for name, asked in value.items()})


def _amount(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    message = f"{value!r} is not a number of zero or more"
    raise ValueError(message)


def _retry_condition(value: object) -> RetryCondition:
    types = value if isinstance(value, list | tuple) else (value,)
    if all(isinstance(one, type) and issubclass(one, BaseException) for one in types):
        return tuple(types)
    if callable(value):
        return value
    message = f"{value!r} is neither exception types nor a function of the exception"
    raise ValueError(message)


def _callbacks(moment: Moment) -> Callable[[object], tuple[WrittenCallback, ...]]:
    return lambda value: read_callbacks(moment, value)


_READERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "retries": ("retries", _count),
    "retry_delay": ("retry_delays_s", _delays),
    "retry_exponential_backoff": ("retry_backoff", _backoff),
    "max_retry_delay": ("max_retry_delay_s", seconds_of),
    "retry_jitter": ("retry_jitter", _share),
    "retry_if": ("retry_if", _retry_condition),
    "timeout": ("timeout_s", seconds_of),
    "deadline": ("deadline_s", seconds_of),
    "lost_attempts": ("lost_attempts", _count),
    "trigger_rule": ("trigger_rule", _one_of(TriggerRule)),
    "priority": ("priority", _integer),
    "weight_rule": ("weight_rule", _one_of(WeightRule)),
    "pool": ("pool", _pool),
    "pool_slots": ("pool_slots", _slots),
    "depends_on_past": ("depends_on_past", _flag),
    "wait_for_downstream": ("wait_for_downstream", _flag),
    "max_active": ("max_active", _count),
    "max_active_over_runs": ("max_active_over_runs", _count),
    "executor": ("executor", _text),
    "isolation": ("isolation", _one_of(Isolation)),
    "compute": ("compute", _compute),
    "criticality": ("criticality", _one_of(Criticality)),
    "doc": ("doc", _text),
    "owner": ("owner", _text),
    "tags": ("tags", _tags),
    "inlets": ("inlets", _tags),
    "outlets": ("outlets", _tags),
    "map_name": ("map_name", _text),
    "when": ("when", _condition),
    "schedule": ("schedule", _ticks),
    "params": ("params", _params),
    **{name: ("callbacks", _callbacks(moment)) for name, moment in TASK_MOMENTS.items()},
}

# Invariant: every policy can be read, and what is read exists in the model.
assert {ALIASES.get(name, name) for name in POLICY_NAMES - CACHE_NAMES} == _READERS.keys()
assert {field for field, _ in _READERS.values()} <= {
    *Settings._fields,
    *(field.name for field in msgspec.structs.fields(Policy)),
}
