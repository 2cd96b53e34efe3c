"""This module decides whether and when a failed attempt is tried again."""

from ostinato.engine.events import AttemptFailed
from ostinato.model.policy import Policy

#: No delay is longer than this, whatever the back-off says: a year in seconds.
LONGEST_DELAY_S = 365 * 86400.0


def retry_delay_s(policy: Policy, failures: int, event: AttemptFailed) -> float | None:
    """Return the seconds until the next attempt, or None if there is none.

    The delay is ``delays[n] * backoff**n`` for the n-th retry, bounded, then moved by up to
    ``retry_jitter`` of itself in either direction by the chance that the event carries.

    Args:
        policy: Of the task.
        failures: Failed attempts of this generation, this one included.
        event: The failure.
    """
    if not event.may_retry or failures > policy.retries:
        return None
    if event.retry_after_s is not None:
        return min(event.retry_after_s, LONGEST_DELAY_S)
    delays = policy.retry_delays_s
    delay = delays[min(failures, len(delays)) - 1] if delays else 0.0
    if policy.retry_backoff != 1.0:
        try:
            delay *= policy.retry_backoff ** (failures - 1)
        except OverflowError:
            # The bound below would have cut it long before.
            delay = LONGEST_DELAY_S if delay else 0.0
    delay = min(delay, policy.max_retry_delay_s or LONGEST_DELAY_S)
    return delay * (1.0 + policy.retry_jitter * (2.0 * event.jitter - 1.0))
