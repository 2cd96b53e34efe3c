"""This module tests how the slots of a limit are divided among coordinators."""

from hypothesis import given
from hypothesis import strategies as st

from ostinato.engine.sharing import Claim, divide


def claim(holder: int, wanted: int, least: int = 1, served_us: int = 0) -> Claim:
    return Claim(holder, wanted, least, served_us)


def test_who_is_alone_gets_all() -> None:
    assert divide(8, [claim(1, wanted=3)]) == {1: 8}


def test_two_that_want_all_get_the_half_each() -> None:
    assert divide(8, [claim(1, wanted=100), claim(2, wanted=50)]) == {1: 4, 2: 4}


def test_what_one_does_not_want_goes_to_the_other() -> None:
    assert divide(8, [claim(1, wanted=2), claim(2, wanted=50)]) == {1: 2, 2: 6}


def test_what_nobody_wants_is_spread_too() -> None:
    assert divide(10, [claim(1, wanted=3), claim(2, wanted=3)]) == {1: 5, 2: 5}


def test_a_single_slot_goes_to_who_was_served_longest_ago() -> None:
    claims = [claim(1, wanted=5, served_us=20), claim(2, wanted=5, served_us=10)]

    assert divide(1, claims) == {1: 0, 2: 1}


def test_who_asks_for_many_slots_at_once_gets_them_in_its_turn() -> None:
    claims = [claim(1, wanted=20, served_us=20), claim(2, wanted=5, least=5, served_us=10)]

    assert divide(6, claims) == {1: 1, 2: 5}


def test_there_may_be_no_slots_at_all() -> None:
    assert divide(-3, [claim(1, wanted=5), claim(2, wanted=5)]) == {1: 0, 2: 0}


CLAIMS = st.lists(
    st.builds(
        Claim,
        holder=st.integers(1, 9),
        wanted=st.integers(0, 40),
        least=st.integers(0, 8),
        served_us=st.integers(0, 5),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda each: each.holder,
)


@given(st.integers(0, 30), CLAIMS)
def test_all_slots_are_divided_and_none_twice(slots: int, claims: list[Claim]) -> None:
    dues = divide(slots, claims)

    assert sum(dues.values()) == slots
    assert min(dues.values()) >= 0


@given(st.integers(8, 30), CLAIMS)
def test_by_turns_everybody_can_start_what_waits(slots: int, claims: list[Claim]) -> None:
    waiting = {each.holder for each in claims if each.least}
    now_us = 10
    for _ in claims:
        dues = divide(slots, claims)
        served = {each.holder for each in claims if each.least and dues[each.holder] >= each.least}
        claims = [
            each._replace(served_us=now_us) if each.holder in served else each for each in claims
        ]
        waiting -= served
        now_us += 1

    assert not waiting
