"""This module decides what upstream outcomes mean for a task, by its trigger rule.

Outcomes are seen as a set of bits, not as counts: no rule asks how many succeeded, only
whether any did and whether all are settled. So a fan-in of 100,000 wakes its reader a handful
of times. A decision falls as soon as no later outcome can change it, which makes it
independent of the order in which outcomes arrive.
"""

from collections.abc import Callable
from enum import IntEnum

from ostinato.model.policy import TriggerRule
from ostinato.model.state import TaskRunState

SUCCEEDED = 1
FAILED = 2
UPSTREAM_FAILED = 4
SKIPPED = 8
#: Outcomes of upstream setups are seen a second time, in the upper half.
SETUP_SHIFT = 4
OUTCOMES = 15

_BAD = FAILED | UPSTREAM_FAILED

#: What the outcome of an upstream task run counts as.
FLAG_OF_STATE: dict[TaskRunState, int] = {
    TaskRunState.SUCCEEDED: SUCCEEDED,
    TaskRunState.REMOVED: SUCCEEDED,
    TaskRunState.FAILED: FAILED,
    TaskRunState.CANCELLED: FAILED,
    TaskRunState.UPSTREAM_FAILED: UPSTREAM_FAILED,
    TaskRunState.SKIPPED: SKIPPED,
}


class Decision(IntEnum):
    """What becomes of a task whose upstream looks like this."""

    WAIT = 0
    RUN = 1
    SKIP = 2
    FAIL = 3


WAIT, RUN, SKIP, FAIL = Decision


def _all_success(seen: int, is_settled: bool, _setups: int) -> Decision:
    if seen & _BAD:
        return FAIL
    if not is_settled:
        return WAIT
    return SKIP if seen & SKIPPED else RUN


def _all_failed(seen: int, is_settled: bool, _setups: int) -> Decision:
    if seen & (SUCCEEDED | SKIPPED):
        return SKIP
    return RUN if is_settled else WAIT


def _all_done(_seen: int, is_settled: bool, _setups: int) -> Decision:
    return RUN if is_settled else WAIT


def _all_done_min_one_success(seen: int, is_settled: bool, _setups: int) -> Decision:
    if seen & SKIPPED:
        return SKIP
    if not is_settled:
        return WAIT
    return RUN if seen & SUCCEEDED else FAIL


def _all_done_setup_success(_seen: int, is_settled: bool, setups: int) -> Decision:
    if not is_settled:
        return WAIT
    if not setups or setups & SUCCEEDED:
        return RUN
    return SKIP if setups == SKIPPED else FAIL


def _one_success(seen: int, is_settled: bool, _setups: int) -> Decision:
    if seen & SUCCEEDED:
        return RUN
    if not is_settled:
        return WAIT
    return SKIP if seen == SKIPPED else FAIL


def _one_failed(seen: int, is_settled: bool, _setups: int) -> Decision:
    if seen & _BAD:
        return RUN
    return SKIP if is_settled else WAIT


def _one_done(seen: int, is_settled: bool, _setups: int) -> Decision:
    if seen & (SUCCEEDED | FAILED):
        return RUN
    return SKIP if is_settled else WAIT


def _none_failed(seen: int, is_settled: bool, _setups: int) -> Decision:
    if seen & _BAD:
        return FAIL
    return RUN if is_settled else WAIT


def _none_failed_min_one_success(seen: int, is_settled: bool, _setups: int) -> Decision:
    if seen & _BAD:
        return FAIL
    if not is_settled:
        return WAIT
    return RUN if seen & SUCCEEDED else SKIP


def _none_skipped(seen: int, is_settled: bool, _setups: int) -> Decision:
    if seen & SKIPPED:
        return SKIP
    return RUN if is_settled else WAIT


def _all_skipped(seen: int, is_settled: bool, _setups: int) -> Decision:
    if seen & ~SKIPPED & OUTCOMES:
        return SKIP
    return RUN if is_settled else WAIT


def _always(_seen: int, _is_settled: bool, _setups: int) -> Decision:
    return RUN


_RULES: dict[TriggerRule, Callable[[int, bool, int], Decision]] = {
    TriggerRule.ALL_SUCCESS: _all_success,
    TriggerRule.ALL_FAILED: _all_failed,
    TriggerRule.ALL_DONE: _all_done,
    TriggerRule.ALL_DONE_MIN_ONE_SUCCESS: _all_done_min_one_success,
    TriggerRule.ALL_DONE_SETUP_SUCCESS: _all_done_setup_success,
    TriggerRule.ONE_SUCCESS: _one_success,
    TriggerRule.ONE_FAILED: _one_failed,
    TriggerRule.ONE_DONE: _one_done,
    TriggerRule.NONE_FAILED: _none_failed,
    TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS: _none_failed_min_one_success,
    TriggerRule.NONE_SKIPPED: _none_skipped,
    TriggerRule.ALL_SKIPPED: _all_skipped,
    TriggerRule.ALWAYS: _always,
}

#: Decision by ``flags`` while something is unsettled (first) and when all is settled (second).
DecisionTable = tuple[tuple[Decision, ...], tuple[Decision, ...]]


def decision_table(rule: TriggerRule) -> DecisionTable:
    """Return a rule's decisions for all 256 combinations of outcomes, before and after settling."""
    return _TABLES[rule]


def _tabulate(rule: Callable[[int, bool, int], Decision]) -> DecisionTable:
    waiting, settled = (
        tuple(rule(flags & OUTCOMES, is_settled, flags >> SETUP_SHIFT) for flags in range(256))
        for is_settled in (False, True)
    )
    return waiting, settled


_TABLES = {rule: _tabulate(function) for rule, function in _RULES.items()}
