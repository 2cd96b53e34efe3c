"""No input makes the loader of files crash, hang, or execute what it reads."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.loading import NAMES, PARTS, QUERIES, check, check_flow

ROOT = Path(__file__).resolve().parents[2]

#: Seconds of the search in a soak.
SEARCH_S = 600


def _is_key(part: str) -> bool:
    return re.fullmatch(r"[a-z_]+: \S.*\n", part) is not None


_texts = st.lists(st.sampled_from(PARTS) | st.text(max_size=5), max_size=20).map("".join)

#: Lines of headers that parse, so that what is behind them is reached.
_keys = st.lists(st.sampled_from([part for part in PARTS if _is_key(part)]), max_size=5).map(
    lambda lines: "".join(dict.fromkeys(lines))
)
_queries = st.lists(st.sampled_from(PARTS) | st.sampled_from(QUERIES), max_size=6).map(" ".join)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=_texts)
def test_no_text_breaks_the_loader(folder: Path, name: str, text: str) -> None:
    check(folder, name, text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("name", NAMES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=60))
def test_no_bytes_break_the_loader(folder: Path, name: str, data: bytes) -> None:
    check(folder, name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["METADATA.yml", "a.yml", "a.sql", "a.py"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=_texts)
def test_any_text_makes_a_flow_or_a_list_of_problems(folder: Path, name: str, text: str) -> None:
    check_flow(folder, name, text.encode("utf-8", "surrogatepass"))


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=_keys, query=_queries)
def test_any_query_makes_a_flow_or_a_list_of_problems(folder: Path, keys: str, query: str) -> None:
    check_flow(folder, "a.sql", f"---\n{keys}---\n{query}".encode())


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=_keys)
def test_any_keys_make_a_flow_or_a_list_of_problems(folder: Path, keys: str) -> None:
    check_flow(folder, "a.yml", f"operator: bash\nbash_command: echo\n{keys}".encode())


@pytest.mark.slow
def test_a_search_by_branches_breaks_nothing(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris has no build for this platform")
    limit = f"-max_total_time={SEARCH_S}" if pytestconfig.getoption("--soak") else "-runs=3000"

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.fuzz.search",
            str(tmp_path),
            limit,
            "-max_len=2000",
            "-timeout=20",
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-4000:]
