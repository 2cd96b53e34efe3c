"""This module tests the marker of tests that need programs of the system."""

import pytest

pytest_plugins = ["pytester"]

FILE = """
import pytest

@pytest.mark.system("sh")
def test_there():
    pass

@pytest.mark.system("sh", "cobol-85", "algol-68")
def test_lacking():
    pass
"""


@pytest.fixture
def tests(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> pytest.Pytester:
    pytester.makepyfile(FILE)
    conftest = request.config.rootpath / "tests" / "conftest.py"
    pytester.makeconftest(conftest.read_text())
    pytester.makeini("[pytest]\nmarkers = system(*programs): needs programs")
    return pytester


def test_tests_without_their_programs_are_counted_as_not_run(tests: pytest.Pytester) -> None:
    result = tests.runpytest_inprocess("-p", "no:randomly")

    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["1 not run: make system-deps"])


def test_tests_without_their_programs_may_fail(tests: pytest.Pytester) -> None:
    result = tests.runpytest_inprocess("-p", "no:randomly", "--all-system")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*not run: make system-deps (cobol-85, algol-68)"])
