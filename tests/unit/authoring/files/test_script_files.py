"""This module tests what Python files, notebooks and scripts are, and that they run."""

import json
import os
import sys
import zipfile
from pathlib import Path

import pytest

from ostinato import DAG, folder_flow, testing
from ostinato.authoring.files.types.script_files import _is_there
from ostinato.errors import FolderProblems, RunFailed
from ostinato.gusty import create_dag
from tests.unit.authoring.files.folders import write

RESULT = 'os.environ["OSTINATO_RESULT"]'

NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "metadata": {}, "source": "```yaml\nretries: 1\n```"},
        {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {"tags": ["parameters"]},
            "outputs": [],
            "source": "region = 'none'",
        },
        {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {},
            "outputs": [],
            "source": f"import os\nopen({RESULT}, 'w').write('\"' + region + '\"')",
        },
    ],
    "metadata": {},
    "nbformat": 4,
    "nbformat_minor": 4,
}


def flow_of(tmp_path: Path, files: dict[str, str]) -> DAG:
    write(tmp_path / "shop", {"METADATA.yml": "description: A shop\n", **files})
    return folder_flow(tmp_path / "shop")


def warnings_of(flow: DAG) -> list[str]:
    assert flow.folder is not None
    return [str(one).split("/shop/")[-1] for one in flow.folder.warnings]


def test_scripts_run_as_they_are_with_the_policies_of_their_headers(tmp_path: Path) -> None:
    files = {
        "a.sh": "# ---\n# retries: 2\n# env: {WHO: you}\n# append_env: true\n# ---\n"
        'name=(x y); echo "hello $WHO ${#name[@]}"\n',
        "b": "#!/usr/bin/env perl\n# ---\n# dependencies: [a]\n# ---\nprint 6 * 7;\n",
        "c.js": "// ---\n// dependencies: [a]\n// ---\nconsole.log('from node')\n",
    }

    flow = flow_of(tmp_path, files)
    run = testing.run(flow)

    assert flow.operators["a"].policy.retries == 2
    assert [type(each).__name__ for each in flow.operators.values()] == ["ScriptOperator"] * 3
    assert [run.result(name) for name in "abc"] == ["hello you 2", "42", "from node"]
    assert warnings_of(flow) == []


@pytest.mark.slow
def test_python_file_without_a_function_is_a_real_script(tmp_path: Path) -> None:
    text = f"""# ---
# retries: 1
# ---
import json, multiprocessing, os, pickle, sys

class Row:
    pass

def square(n):
    return n * n

if __name__ == "__main__":
    pickle.loads(pickle.dumps(Row()))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        squares = pool.map(square, [1, 2, 3])
    print("to the log")
    json.dump([squares, sys.argv[1:], os.path.basename(__file__)], open({RESULT}, "w"))
    sys.exit(0)
"""
    before = dict(os.environ), list(sys.path), sys.modules["__main__"]

    run = testing.run(flow_of(tmp_path, {"a.py": text, "b.py": "X = 5\nprint(X)\n"}))

    assert run.result("a") == [[1, 4, 9], [], "a.py"]
    assert run.result("b") is None
    assert (dict(os.environ), list(sys.path), sys.modules["__main__"]) == before


def test_failure_of_a_script_is_told_in_its_words(tmp_path: Path) -> None:
    flow = flow_of(tmp_path, {"a.py": "import sys\nsys.exit('no rows')\n"})

    with pytest.raises(RunFailed, match=r"a\.py exited with code 1: no rows"):
        testing.run(flow).raise_for_state()


def test_failure_of_a_script_without_errors_is_told_by_its_code_alone(tmp_path: Path) -> None:
    flow = flow_of(tmp_path, {"a.sh": "echo 'all is well'\nexit 3\n"})

    with pytest.raises(RunFailed, match=r"a\.sh exited with code 3$"):
        testing.run(flow).raise_for_state()


def test_scripts_of_r_may_end_in_a_small_letter(tmp_path: Path) -> None:
    text = "# ---\n# interpreter: tail -n 1\n# ---\ncat('hello')\n"

    assert testing.run(flow_of(tmp_path, {"a.r": text})).result("a") == "cat('hello')"


@pytest.mark.slow
def test_notebook_is_executed_with_the_parameters_of_the_run(tmp_path: Path) -> None:
    files = {"METADATA.yml": "params: {region: EU}\n", "report.ipynb": json.dumps(NOTEBOOK)}

    flow = flow_of(tmp_path, files)

    assert flow.operators["report"].policy.retries == 1
    assert testing.run(flow, params={"region": "US"}).result("report") == "US"


@pytest.mark.slow
def test_file_that_says_which_packages_it_needs_runs_in_a_python_with_them(
    tmp_path: Path,
) -> None:
    wheel = tmp_path / "tuning-4.40-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        info = "tuning-4.40.dist-info"
        archive.writestr("tuning.py", "A = 440\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tuning\nVersion: 4.40\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    block = f'# /// script\n# dependencies = ["tuning @ {wheel.as_uri()}"]\n# ///\n'
    files = {
        "numbers.py": "def main(): return [1, 2]\n",
        "function.py": f"{block}import tuning\nSHIFT = 1\n\n"
        "def main(numbers, ds): return [tuning.A + SHIFT + n for n in numbers]\n",
        "script.py": f"{block}import json, os, tuning\njson.dump(tuning.A, open({RESULT}, 'w'))\n",
    }

    run = testing.run(flow_of(tmp_path, files))

    assert run.result("function") == [442, 443]
    assert run.result("script") == 440


def test_function_with_packages_of_its_own_cannot_take_the_context(tmp_path: Path) -> None:
    text = "# /// script\n# dependencies = ['x']\n# ///\ndef main(context): ...\n"

    with pytest.raises(FolderProblems) as caught:
        flow_of(tmp_path, {"a.py": text})

    (found,) = caught.value.problems
    assert str(found).endswith(
        "a.py:4:1 F033 main() takes 'context', which stays outside of its environment; "
        "take parts of the context: ds, params, run_id ..."
    )


def test_what_is_not_installed_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _is_there.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))

    flow = flow_of(tmp_path, {"a.R": "print(1)\n", "b.R": "#!/usr/bin/env nobody\n"})

    _is_there.cache_clear()
    assert warnings_of(flow) == ["a.R:1:1 F034 .R files are run by Rscript, which is not there"]


@pytest.mark.slow
@pytest.mark.system("Rscript", "pandoc")
def test_r_markdown_has_one_header_for_both(tmp_path: Path) -> None:
    text = """---
title: Report
output: html_document
retries: 1
params:
  region: none
  today: !r Sys.Date()
---

Of `r params$region`, `r class(params$today)`.

```{r}
writeLines(paste0('"', params$region, class(params$today), '"'), Sys.getenv("OSTINATO_RESULT"))
```
"""
    flow = flow_of(tmp_path, {"METADATA.yml": "params: {region: EU}\n", "report.Rmd": text})

    assert warnings_of(flow) == []
    assert flow.operators["report"].policy.retries == 1
    assert testing.run(flow, params={"region": "US"}).result("report") == "USDate"


def test_folders_of_gusty_run_files_and_not_their_functions(tmp_path: Path) -> None:
    write(tmp_path / "shop", {"a.py": "def main(b): ...\n", "b.py": "def main(a): ...\n"})

    dag = create_dag(tmp_path / "shop", latest_only=False)

    assert [str(each.state) for each in testing.run(dag).task_runs] == ["succeeded"] * 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.sh", "# ---\n# cache: true\n# ---\n{}\n"),
        ("a.py", "# ---\n# cache: true\n# ---\nimport os\nos.system('{}')\n"),
    ],
)
def test_script_is_cached_by_its_text_and_by_what_it_reads_of_its_run(
    name: str, content: str, tmp_path: Path
) -> None:
    counts: list[int] = []

    def ran(
        text: str, after: testing.MemoryRun | None, date: str, region: str
    ) -> testing.MemoryRun:
        text = content.format(f"{text}; echo x >> {tmp_path}/ran")
        flow = flow_of(tmp_path, {"METADATA.yml": "params: {region: EU}\n", name: text})
        made = testing.run(flow, params={"region": region}, date=date, after=after)
        made.raise_for_state()
        counts.append((tmp_path / "ran").read_text().count("x"))
        return made

    last = ran("true", None, "2024-01-01", "EU")
    last = ran("true", last, "2024-01-02", "US")
    last = ran("true $OSTINATO_DS", last, "2024-01-01", "EU")
    last = ran("true $OSTINATO_DS", last, "2024-01-01", "US")
    last = ran("true $OSTINATO_DS", last, "2024-01-02", "US")
    last = ran("true $OSTINATO_PARAM_REGION", last, "2024-01-02", "EU")
    last = ran("true $OSTINATO_PARAM_REGION", last, "2024-01-03", "EU")
    ran("true $OSTINATO_PARAM_REGION", last, "2024-01-03", "US")

    assert counts == [1, 1, 2, 2, 3, 4, 4, 5]


def test_a_script_that_declares_functions_and_calls_none_is_told(tmp_path: Path) -> None:
    idle = '"""Load."""\n\nimport os\n\nLIMIT = 3\n\n\ndef load(ds):\n    return ds\n'
    files = {
        "idle.py": idle,
        "called.py": f"{idle}\n\nload(1)\n",
        "guarded.py": f'{idle}\n\nif __name__ == "__main__":\n    load(1)\n',
        "assigned.py": f"{idle}\nvalue = load(2)\n",
        "task.py": idle.replace("load", "main"),
        "empty.py": "",
    }

    assert warnings_of(flow_of(tmp_path, files)) == [
        "idle.py:8:1 F043 the file is a script that does nothing: 'load' is never called; "
        "call the task's function main, or say python_callable: load"
    ]
