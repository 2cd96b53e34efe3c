"""Whatever is done to its processes and its database, a service loses nothing and repeats nothing.

Each test starts real processes, hurts one of them at random moments, and lets what the tasks
wrote themselves judge. The seed is in its name: the harm is the same each time, its moments are
not quite.
"""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.survival.chaos_world import FAKETIME, Shape, World, may_be_apart
from tests.survival.hurt_postgres import HurtPostgres

pytestmark = [pytest.mark.survival, pytest.mark.slow]

Roles = dict[str, tuple[str, ...]]
Scale = Callable[[int, int], int]

#: Seconds between two faults, on average, that a fault takes with what doing it costs, and that
#: processes get to come up.
PAUSE_S, FAULT_S, START_S = 0.2, 0.3, 4.0

#: Seconds between two ticks where much is hurt: what is scheduled is to leave room for the rest.
LONG_TICK_S = 20

WORKERS: Roles = {f"worker-{number}": ("worker", "--name", f"w{number}") for number in range(3)}
SCHEDULERS: Roles = {f"scheduler-{number}": ("scheduler",) for number in range(2)}


def survive(world: World, faults: int) -> None:
    """Hurt a world, let it settle, and show what must not be."""
    lasts_s = START_S + faults * FAULT_S
    try:
        world.make(lasts_s)
        world.wait(START_S)
        world.hurt(faults, pause_s=PAUSE_S, until_s=time.monotonic() + 4 * lasts_s)
        world.settle()
        found = world.findings()
    except AssertionError as error:
        raise AssertionError(f"{error}\n{dict(world.faults)}\n{world.logs()}") from None
    finally:
        world.close()

    assert not found, f"{dict(world.faults)} in {world.folder}\n" + "\n".join(found[:20])


@pytest.mark.parametrize("seed", [1])
def test_service_on_postgres_survives(tmp_path: Path, seed: int, scale: Scale) -> None:
    shape = Shape(
        WORKERS | SCHEDULERS,
        flows=scale(15, 200),
        scheduled=scale(3, 41),
        is_clock_false=bool(scale(0, 1)) and FAKETIME.exists(),
        tick_s=scale(4, LONG_TICK_S),
    )
    with closing(HurtPostgres(disk_mb=400)) as server:
        world = World(tmp_path, shape, seed, server=server, lease_s=2.0)

        survive(world, scale(30, 10_000))


@pytest.mark.system("unshare")
@pytest.mark.parametrize("seed", [4])
def test_service_of_several_machines_survives(
    tmp_path: Path, seed: int, scale: Scale, request: pytest.FixtureRequest
) -> None:
    if not may_be_apart():
        say = pytest.fail if request.config.getoption("--all-system") else pytest.skip
        say("not run: this user may not have processes in namespaces of their own")
    shape = Shape(
        WORKERS | SCHEDULERS,
        flows=scale(15, 100),
        scheduled=scale(3, 21),
        is_apart=True,
        tick_s=scale(4, LONG_TICK_S),
    )
    with closing(HurtPostgres()) as server:
        world = World(tmp_path, shape, seed, server=server, lease_s=2.0)

        survive(world, scale(20, 5_000))


@pytest.mark.parametrize("seed", [2])
def test_processes_on_one_file_survive(tmp_path: Path, seed: int, scale: Scale) -> None:
    if not scale(0, 1):
        pytest.skip("at length only: --soak")
    roles = {name: WORKERS[name] for name in [*WORKERS][:2]} | SCHEDULERS
    world = World(
        tmp_path, Shape(roles, flows=60, scheduled=11, tick_s=LONG_TICK_S), seed, lease_s=2.0
    )

    survive(world, 3_000)


@pytest.mark.parametrize("seed", [3])
def test_dev_survives(tmp_path: Path, seed: int, scale: Scale) -> None:
    if not scale(0, 1):
        pytest.skip("at length only: --soak")
    shape = Shape({"dev": ("dev", "--port", "0")}, flows=60, scheduled=11, tick_s=LONG_TICK_S)

    survive(World(tmp_path, shape, seed), 2_000)
