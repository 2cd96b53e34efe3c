"""Thousands of runs under faults keep what the engine promises, after every step."""

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.simulation.simulator import Simulation

pytestmark = pytest.mark.simulation

#: Runs in a normal test over all chunks; with --soak.
RUNS, SOAK_RUNS, CHUNKS = 2_000, 200_000, 8


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_promises_hold_under_faults(chunk: int, scale: Callable[[int, int], int]) -> None:
    for number in range(scale(RUNS, SOAK_RUNS) // CHUNKS):
        seed = chunk * 10_000_000 + number
        try:
            Simulation(seed).play()
        except Exception as error:
            error.add_note(f"replay it: Simulation({seed}).play()")
            raise


@pytest.mark.parametrize("seed", range(40))
def test_a_run_may_be_lost_after_any_commit(seed: int) -> None:
    whole = Simulation(seed)
    whole.play(faults=0.0)

    for crash_at in range(whole.commits):
        Simulation(seed).play(faults=0.0, crash_at=crash_at)


class FaultyRun(RuleBasedStateMachine):
    """A run whose faults Hypothesis chooses, and shrinks when one breaks it."""

    @initialize(seed=st.integers(0, 2**32 - 1))
    def begin(self, seed: int) -> None:
        self.simulation = Simulation(seed, failing=0.0, batching=0.0)
        self.simulation.start()

    @rule()
    def batch_next_event(self) -> None:
        self.simulation.batches_next = True

    @rule()
    def fail_next_commit(self) -> None:
        self.simulation.fails_next = True

    @rule()
    def dispatch(self) -> None:
        self.simulation.dispatch()

    @rule()
    def report(self) -> None:
        self.simulation.report()

    @rule()
    def lose(self) -> None:
        self.simulation.lose()

    @rule()
    def progress(self) -> None:
        self.simulation.progress()

    @rule()
    def revoke(self) -> None:
        self.simulation.revoke()

    @rule()
    def defer(self) -> None:
        self.simulation.defer()

    @rule()
    def end_wait(self) -> None:
        self.simulation.end_wait()

    @rule()
    def settle_past(self) -> None:
        self.simulation.settle_past()

    @rule()
    def repeat_report(self) -> None:
        self.simulation.repeat_report()

    @rule()
    def fire_timer(self) -> None:
        self.simulation.fire_timer()

    @rule()
    def cancel(self) -> None:
        self.simulation.cancel()

    @rule()
    def refuse(self) -> None:
        self.simulation.refuse()

    @rule()
    def clear(self) -> None:
        self.simulation.clear()

    @rule()
    def crash(self) -> None:
        self.simulation.crash()

    def teardown(self) -> None:
        if hasattr(self, "simulation"):
            self.simulation.finish()


TestFaultyRun = FaultyRun.TestCase
TestFaultyRun.settings = settings(deadline=None, max_examples=100, stateful_step_count=40)
