"""This module tests what each store promises of limits that several coordinators share."""

import pytest

from ostinato.errors import OwnershipLost
from ostinato.store.budgets import LOST_US
from ostinato.store.records import BudgetAsk, Share
from tests.contract.conftest import House

POOL = "pool 'database'"


def ask(wanted: int, used: int = 0, slots: int = 8, least: int = 1) -> BudgetAsk:
    return BudgetAsk(POOL, slots, used, wanted, least)


def pass_turn(house: House) -> None:
    house.clock.advance_to(house.clock.now_us() + 1_000_000)


def granted(house: House) -> dict[int, int]:
    return {row.owner: row.granted for row in house.store.budgets.shares()}


def test_who_is_alone_gets_all(house: House) -> None:
    shares = house.store.budgets.rebalance(house.lease, [ask(wanted=2)])

    assert shares == [Share(POOL, granted=8, due=8, is_shared=False)]


def test_what_is_free_of_one_goes_to_the_other(house: House) -> None:
    budgets = house.store.budgets
    other = house.other()
    second = other.register_coordinator()
    budgets.rebalance(house.lease, [ask(wanted=20)])

    before = other.budgets.rebalance(second, [ask(wanted=20)])
    budgets.rebalance(house.lease, [ask(wanted=20, used=1)])
    after = other.budgets.rebalance(second, [ask(wanted=20)])

    assert before[0].granted == 0
    assert after[0].granted == 4
    assert granted(house) == {house.lease.id: 4, second.id: 4}


def test_what_is_taken_is_not_given_to_another(house: House) -> None:
    budgets = house.store.budgets
    other = house.other()
    second = other.register_coordinator()
    budgets.rebalance(house.lease, [ask(wanted=20)])
    other.budgets.rebalance(second, [ask(wanted=20)])

    mine = budgets.rebalance(house.lease, [ask(wanted=20, used=7)])
    theirs = other.budgets.rebalance(second, [ask(wanted=20)])

    assert mine[0].granted == 7
    assert theirs[0] == Share(POOL, granted=1, due=4, is_shared=True)


def test_one_slot_goes_round(house: House) -> None:
    budgets = house.store.budgets
    other = house.other()
    second = other.register_coordinator()
    one = ask(wanted=1, slots=1)
    pass_turn(house)
    budgets.rebalance(house.lease, [one])
    other.budgets.rebalance(second, [one])

    turns = []
    for _ in range(2):
        pass_turn(house)
        budgets.rebalance(house.lease, [one])
        other.budgets.rebalance(second, [one])
        budgets.rebalance(house.lease, [one])
        turns.append(granted(house))

    assert turns == [{house.lease.id: 0, second.id: 1}, {house.lease.id: 1, second.id: 0}]


def test_slots_of_a_dead_coordinator_stay_taken_until_its_children_are_dead(house: House) -> None:
    other = house.other()
    second = other.register_coordinator()
    other.budgets.rebalance(second, [ask(wanted=8)])
    house.kill(second)

    at_once = house.store.budgets.rebalance(house.lease, [ask(wanted=8)])
    # A server goes by a clock of its own: what was noted is made older.
    with other._database.writing() as connection:
        older = "UPDATE budget_shares SET lost_us = lost_us - ? WHERE lost_us != 0"
        connection.execute(older, (2 * LOST_US,))
    later = house.store.budgets.rebalance(house.lease, [ask(wanted=8)])

    assert (at_once[0].granted, later[0].granted) == (0, 8)
    assert granted(house) == {house.lease.id: 8}


def test_fewer_slots_are_lowered_to_what_is_taken(house: House) -> None:
    budgets = house.store.budgets
    budgets.rebalance(house.lease, [ask(wanted=8)])

    shares = budgets.rebalance(house.lease, [ask(wanted=8, used=5, slots=3)])

    assert (shares[0].granted, shares[0].due) == (5, 3)


def test_what_is_given_back_is_free(house: House) -> None:
    budgets = house.store.budgets
    budgets.rebalance(house.lease, [ask(wanted=8)])

    budgets.release(house.lease, [POOL])

    assert granted(house) == {}


def test_who_was_shut_out_gets_nothing(house: House) -> None:
    other = house.other()
    second = other.register_coordinator()
    other.unregister_coordinator(second)

    with pytest.raises(OwnershipLost):
        other.budgets.rebalance(second, [ask(wanted=1)])
