"""This module says how a task is to be run: when, how often, with what."""

from enum import StrEnum

from msgspec import Struct


class TriggerRule(StrEnum):
    """Say which outcomes of the upstream tasks let a task run."""

    ALL_SUCCESS = "all_success"
    ALL_FAILED = "all_failed"
    ALL_DONE = "all_done"
    ALL_DONE_MIN_ONE_SUCCESS = "all_done_min_one_success"
    ALL_DONE_SETUP_SUCCESS = "all_done_setup_success"
    ONE_SUCCESS = "one_success"
    ONE_FAILED = "one_failed"
    ONE_DONE = "one_done"
    NONE_FAILED = "none_failed"
    NONE_FAILED_MIN_ONE_SUCCESS = "none_failed_min_one_success"
    NONE_SKIPPED = "none_skipped"
    ALL_SKIPPED = "all_skipped"
    ALWAYS = "always"


class Criticality(StrEnum):
    """Say what a task's failure means for its run."""

    CRITICAL = "critical"
    NORMAL = "normal"
    OPTIONAL = "optional"


class WeightRule(StrEnum):
    """Say how the priorities of a task's neighbours add to its own."""

    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"
    ABSOLUTE = "absolute"


class Isolation(StrEnum):
    """Say whether an attempt shares its process with earlier attempts."""

    WARM = "warm"
    FORK = "fork"


class Compute(Struct, frozen=True, gc=False, omit_defaults=True):
    """What an attempt asks of the machine.

    Attributes:
        cpu: Cores; 0 asks for none in particular.
        memory_bytes: Upper limit, enforced; 0 for no limit.
        gpu: Devices.
    """

    cpu: float = 0.0
    memory_bytes: int = 0
    gpu: float = 0.0


class Policy(Struct, frozen=True, omit_defaults=True):
    """How a task is run; equal policies are shared between tasks.

    Attributes:
        trigger_rule: Which upstream outcomes let it run.
        retries: How often a failed attempt is tried again.
        retry_delays_s: Seconds before the first, second, ... retry; the last one repeats.
        retry_backoff: Factor on the delay per retry; 1 keeps it.
        max_retry_delay_s: Upper bound of the delay; 0 for none.
        retry_jitter: Share of the delay, 0 to 1, by which it varies at random.
        timeout_s: Seconds that one attempt may take; 0 for no limit.
        deadline_s: Seconds that all attempts together may take; 0 for no limit.
        lost_attempts: How often an attempt may be lost with its process.
        priority: Higher is dispatched first.
        weight_rule: How neighbours' priorities add to it.
        pool: Pool whose slots it takes; empty for the default pool.
        pool_slots: How many slots.
        depends_on_past: Whether it waits until the task has gone well in the run before.
        wait_for_downstream: Whether that holds for the tasks directly behind it too.
        max_active: Task runs of this task at a time within a run; 0 for no limit.
        max_active_over_runs: The same over all runs of a coordinator.
        executor: Executor by name; empty for the flow's.
        isolation: Whether its process is shared with other attempts.
        compute: What it asks of the machine.
        criticality: What its failure means for the run.
        on_failure_fail_run: Whether a failing teardown fails the run.
    """

    trigger_rule: TriggerRule = TriggerRule.ALL_SUCCESS
    retries: int = 0
    retry_delays_s: tuple[float, ...] = (0.0,)
    retry_backoff: float = 1.0
    max_retry_delay_s: float = 0.0
    retry_jitter: float = 0.0
    timeout_s: float = 0.0
    deadline_s: float = 0.0
    lost_attempts: int = 3
    priority: int = 1
    weight_rule: WeightRule = WeightRule.ABSOLUTE
    pool: str = ""
    pool_slots: int = 1
    max_active: int = 0
    max_active_over_runs: int = 0
    executor: str = ""
    isolation: Isolation = Isolation.WARM
    compute: Compute = Compute()
    criticality: Criticality = Criticality.NORMAL
    on_failure_fail_run: bool = False
    depends_on_past: bool = False
    wait_for_downstream: bool = False


#: What holds for a task that says nothing.
DEFAULT_POLICY = Policy()
