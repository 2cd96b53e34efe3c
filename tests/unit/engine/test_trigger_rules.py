"""The trigger rules, row by row as they are documented."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.engine.trigger_rules import (
    FAILED,
    SETUP_SHIFT,
    SKIPPED,
    SUCCEEDED,
    UPSTREAM_FAILED,
    Decision,
    decision_table,
)
from ostinato.model.policy import TriggerRule
from tests.reference import RUNS, follow_rule

WORDS = {"ok": SUCCEEDED, "failed": FAILED, "blocked": UPSTREAM_FAILED, "skipped": SKIPPED}
LONG = {"ok": "succeeded", "blocked": "upstream_failed"}
RUN, SKIP, FAIL, WAIT = Decision.RUN, Decision.SKIP, Decision.FAIL, Decision.WAIT


def decide(rule: str, upstream: str, *, is_settled: bool) -> Decision:
    flags = 0
    for word in upstream.split():
        flags |= WORDS[word]
    return decision_table(TriggerRule(rule))[is_settled][flags]


@pytest.mark.parametrize(
    ("rule", "upstream", "decision"),
    [
        ("all_success", "ok", RUN),
        ("all_success", "ok skipped", SKIP),
        ("all_success", "skipped failed", FAIL),
        ("all_failed", "failed blocked", RUN),
        ("all_failed", "failed ok", SKIP),
        ("all_done", "ok failed skipped blocked", RUN),
        ("all_done_min_one_success", "ok failed", RUN),
        ("all_done_min_one_success", "ok skipped", SKIP),
        ("all_done_min_one_success", "failed blocked", FAIL),
        ("all_done_setup_success", "failed", RUN),
        ("one_success", "ok failed", RUN),
        ("one_success", "skipped", SKIP),
        ("one_success", "skipped failed", FAIL),
        ("one_failed", "blocked ok", RUN),
        ("one_failed", "ok skipped", SKIP),
        ("one_done", "failed skipped", RUN),
        ("one_done", "skipped blocked", SKIP),
        ("none_failed", "ok skipped", RUN),
        ("none_failed", "ok failed", FAIL),
        ("none_failed_min_one_success", "ok skipped", RUN),
        ("none_failed_min_one_success", "skipped", SKIP),
        ("none_failed_min_one_success", "ok blocked", FAIL),
        ("none_skipped", "ok failed", RUN),
        ("none_skipped", "ok skipped", SKIP),
        ("all_skipped", "skipped", RUN),
        ("all_skipped", "skipped ok", SKIP),
        ("always", "failed", RUN),
    ],
)
def test_a_settled_upstream_decides(rule: str, upstream: str, decision: Decision) -> None:
    assert decide(rule, upstream, is_settled=True) is decision


@pytest.mark.parametrize(
    ("rule", "upstream", "decision"),
    [
        ("all_success", "failed", FAIL),
        ("all_success", "ok skipped", WAIT),
        ("all_failed", "ok", SKIP),
        ("all_done", "ok failed", WAIT),
        ("one_success", "ok", RUN),
        ("one_success", "failed", WAIT),
        ("one_failed", "failed", RUN),
        ("one_done", "ok", RUN),
        ("one_done", "skipped", WAIT),
        ("none_failed", "blocked", FAIL),
        ("none_skipped", "skipped", SKIP),
        ("all_skipped", "ok", SKIP),
        ("always", "", RUN),
    ],
)
def test_a_decision_falls_early_when_nothing_can_change_it(
    rule: str, upstream: str, decision: Decision
) -> None:
    assert decide(rule, upstream, is_settled=False) is decision


@pytest.mark.parametrize(
    ("setups", "decision"),
    [(SUCCEEDED, RUN), (SUCCEEDED | FAILED, RUN), (SKIPPED, SKIP), (FAILED, FAIL)],
)
def test_a_teardown_follows_its_setups(setups: int, decision: Decision) -> None:
    table = decision_table(TriggerRule.ALL_DONE_SETUP_SUCCESS)

    assert table[True][setups | setups << SETUP_SHIFT] is decision


@given(st.sampled_from(list(TriggerRule)), st.lists(st.sampled_from(sorted(WORDS)), min_size=1))
def test_tables_and_reference_agree(rule: TriggerRule, upstream: list[str]) -> None:
    decision = decide(rule, " ".join(upstream), is_settled=True)

    states = [LONG.get(word, word) for word in upstream]
    expected = {RUNS: RUN, "skipped": SKIP, "upstream_failed": FAIL}
    assert decision is expected[follow_rule(rule, states, [])]


@pytest.mark.parametrize("rule", list(TriggerRule))
def test_an_early_decision_is_never_taken_back(rule: TriggerRule) -> None:
    waiting, settled = decision_table(rule)
    for early, later in product(range(16), range(16)):
        if waiting[early] is not WAIT:
            assert settled[early | later] is waiting[early]
            assert waiting[early | later] is waiting[early]
