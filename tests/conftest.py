"""This module sets the scale of a test run, and says what a run leaves out."""

import shutil
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres_server import PostgresServer, empty_store, postgres_server

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
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of its own for this process of tests, on a socket in a folder."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_uri(postgres: PostgresServer) -> str:
    """The URL of an empty database that the tests of this process share."""
    return postgres.uri


@pytest.fixture(scope="session")
def _store_database(postgres: PostgresServer) -> str:
    """The URL of a database with the tables of a store."""
    from ostinato.store.postgres.store import open_postgres

    uri = postgres.new_database()
    open_postgres(uri).close()
    return uri


@pytest.fixture
def postgres_store_uri(_store_database: str) -> Iterator[str]:
    """The URL of a database that holds an empty store."""
    yield _store_database
    # A fifth of what a copy of the database would take.
    empty_store(_store_database)
