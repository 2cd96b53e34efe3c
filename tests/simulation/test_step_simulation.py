"""Flows that are functions keep what they promise, wherever their processes are lost."""

import random
from collections.abc import Callable

import pytest

from tests.simulation.step_simulator import StepSimulation, random_program

pytestmark = pytest.mark.simulation

#: Flows in a normal test over all chunks; with --soak.
FLOWS, SOAK_FLOWS, CHUNKS = 40, 4_000, 4

#: Flows that are lost at one point after the other, and how far these lie apart; with --soak.
WHOLE, SOAK_WHOLE, APART, SOAK_APART = 2, 200, 5, 1

KINDS = ("crash", "kill", "kill first")


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_step_with_a_recorded_result_executes_twice(
    chunk: int, scale: Callable[[int, int], int]
) -> None:
    for number in range(scale(FLOWS, SOAK_FLOWS) // CHUNKS):
        seed = chunk * 1_000_000 + number
        chance = random.Random(seed)
        program = random_program(chance)
        quiet = StepSimulation(program, {})
        undisturbed = quiet.play()
        # What is replayed asks less often, so that most of them are reached.
        points = range(2 * quiet.world.points)
        count = chance.randint(1, 8)
        faults = {point: chance.choice(KINDS) for point in chance.sample(points, count)}
        simulation = StepSimulation(program, faults)
        try:
            assert simulation.play() == undisturbed
        except BaseException as error:
            error.add_note(f"seed {seed}, faults {faults}: {simulation.world.story}")
            error.add_note(f"program {program.operations}")
            raise


@pytest.mark.parametrize("kind", KINDS)
def test_flow_may_be_lost_at_any_point(kind: str, scale: Callable[[int, int], int]) -> None:
    for seed in range(scale(WHOLE, SOAK_WHOLE)):
        program = random_program(random.Random(seed))
        quiet = StepSimulation(program, {})
        undisturbed = quiet.play()
        for point in range(KINDS.index(kind), quiet.world.points, scale(APART, SOAK_APART)):
            simulation = StepSimulation(program, {point: kind})
            try:
                assert simulation.play() == undisturbed
            except BaseException as error:
                error.add_note(f"seed {seed}, {kind} at {point}: {simulation.world.story}")
                error.add_note(f"program {program.operations}")
                raise
