"""Whether and when a failed attempt is tried again."""

from hypothesis import given
from hypothesis import strategies as st

from ostinato.engine.events import AttemptFailed
from ostinato.engine.retry import LONGEST_DELAY_S, retry_delay_s
from ostinato.model.failure import Failure, FailureKind
from ostinato.model.policy import Policy

ERROR = Failure(FailureKind.ERROR, "ValueError", "made up")


def failed(*, jitter: float = 0.5, **fields: object) -> AttemptFailed:
    return AttemptFailed(1, "t", (), 1, ERROR, jitter=jitter, **fields)  # type: ignore[arg-type]  # by name


def test_no_retry_when_all_are_used() -> None:
    assert retry_delay_s(Policy(retries=2), 3, failed()) is None
    assert retry_delay_s(Policy(retries=2), 2, failed()) == 0.0


def test_no_retry_when_the_task_says_so() -> None:
    assert retry_delay_s(Policy(retries=2), 1, failed(may_retry=False)) is None


def test_the_task_may_name_its_delay() -> None:
    policy = Policy(retries=1, retry_delays_s=(60.0,))

    assert retry_delay_s(policy, 1, failed(retry_after_s=7.0)) == 7.0


def test_a_delay_that_the_task_names_is_no_longer_than_a_year() -> None:
    forever = failed(retry_after_s=float("inf"))

    assert retry_delay_s(Policy(retries=1), 1, forever) == LONGEST_DELAY_S


def test_no_delays_are_no_delay() -> None:
    assert retry_delay_s(Policy(retries=1, retry_delays_s=()), 1, failed()) == 0.0


def test_a_slow_back_off_goes_on_growing() -> None:
    policy = Policy(retries=999, retry_delays_s=(1.0,), retry_backoff=1.01)

    assert retry_delay_s(policy, 101, failed()) == 1.01**100


def test_a_list_of_delays_ends_with_its_last() -> None:
    policy = Policy(retries=4, retry_delays_s=(1.0, 5.0))

    assert [retry_delay_s(policy, n, failed()) for n in (1, 2, 3)] == [1.0, 5.0, 5.0]


def test_back_off_doubles_up_to_its_bound() -> None:
    policy = Policy(retries=9, retry_delays_s=(2.0,), retry_backoff=2.0, max_retry_delay_s=9.0)

    assert [retry_delay_s(policy, n, failed()) for n in (1, 2, 3, 4)] == [2.0, 4.0, 8.0, 9.0]


@given(
    delay=st.floats(0, 1e6),
    backoff=st.floats(1, 1e9),
    share=st.floats(0, 1),
    chance=st.floats(0, 1),
    failures=st.integers(1, 10_000),
)
def test_a_delay_stays_within_its_jitter_and_a_year(
    delay: float, backoff: float, share: float, chance: float, failures: int
) -> None:
    steady = Policy(retries=10_000, retry_delays_s=(delay,), retry_backoff=backoff)
    moved = Policy(
        retries=10_000, retry_delays_s=(delay,), retry_backoff=backoff, retry_jitter=share
    )

    middle = retry_delay_s(steady, failures, failed())
    actual = retry_delay_s(moved, failures, failed(jitter=chance))

    assert middle is not None
    assert actual is not None
    assert 0 <= middle <= LONGEST_DELAY_S
    assert middle * (1 - share) * 0.999 <= actual <= middle * (1 + share) * 1.001
