"""This module tests scripts of any language, and the environments of Python ones."""

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ostinato import DAG, EmptyOperator, ScriptOperator, Skip, testing
from ostinato.authoring.operators.environments import EnvironmentSpec, read_requirements
from ostinato.errors import ExecutionError, InvalidArgument
from tests.unit.authoring.fakes import FakeContext, FakeResolver, execute

PYTHON = f"#!{sys.executable}\n"


@pytest.fixture
def context(tmp_path: Path) -> FakeContext:
    return FakeContext(temporary=tmp_path, data_dir=tmp_path / "data")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A wheel of a package ``tuning`` that no index has."""
    wheel = tmp_path / "tuning-4.40-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        info = "tuning-4.40.dist-info"
        archive.writestr("tuning.py", "A = 440\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tuning\nVersion: 4.40\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def run_script(context: FakeContext, **arguments: Any) -> Any:
    return execute(ScriptOperator(task_id="script", **arguments), context=context)


def test_first_line_of_a_script_says_what_runs_it(
    context: FakeContext, capfd: pytest.CaptureFixture[str]
) -> None:
    shell = run_script(context, script="#!/bin/sh\necho one\necho two $1", args=[5])
    python = run_script(context, script=PYTHON + "import sys; print(sys.argv[1:])", args=["a b"])
    perl = run_script(context, script="#!/usr/bin/env perl\nprint 6 * 7;\n")

    assert (shell, python, perl) == ("two 5", "['a b']", "42")
    assert "one\n" in capfd.readouterr().out


def test_interpreter_may_be_given(context: FakeContext) -> None:
    script = "false\necho never"

    with pytest.raises(ExecutionError, match="bash exited with code 1"):
        run_script(context, script=script, interpreter="bash -e")
    assert run_script(context, script=script, interpreter="bash") == "never"


def test_file_is_found_beside_the_flow_and_run_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: FakeContext
) -> None:
    flows = tmp_path / "flows"
    flows.mkdir()
    (flows / "count.py").write_text("import sys; print(len(sys.argv))")
    code = "operator = ScriptOperator(task_id='count', path='count.py', args=[1, 2])"
    names: dict[str, Any] = {"ScriptOperator": ScriptOperator}
    exec(compile(code, str(flows / "flow.py"), "exec"), names)
    monkeypatch.chdir(tmp_path)

    assert execute(names["operator"], context=context) == "3"
    assert run_script(context, path="flows/count.py") == "1"
    assert run_script(context, path=flows / "count.py") == "1"


def test_results_of_other_tasks_reach_a_script(context: FakeContext) -> None:
    with DAG("flow"):
        operator = ScriptOperator(
            task_id="script",
            script="#!/bin/sh\necho $1 $NAME",
            args=[EmptyOperator(task_id="a").output],
            env={"NAME": EmptyOperator(task_id="b").output},
        )

    assert execute(operator, FakeResolver({"a": 1, "b": "x"}), context) == "1 x"


def test_result_may_be_made_of_the_last_line(context: FakeContext) -> None:
    operator = ScriptOperator(
        task_id="a", script="#!/bin/sh\necho '[1, 2]'", output_processor=json.loads
    )

    assert execute(operator, context=context) == [1, 2]


def test_exit_code_may_skip(context: FakeContext) -> None:
    with pytest.raises(Skip, match="exit code 99"):
        run_script(context, script="#!/bin/sh\nexit 99")


def test_missing_interpreter_is_an_error_in_one_line(context: FakeContext) -> None:
    with pytest.raises(ExecutionError, match=r"cobol-85 cannot be started: .*No such file"):
        run_script(context, script="print", interpreter="cobol-85")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"it takes either script= or path="),
        ({"script": "#!/bin/sh", "path": "a.sh"}, r"it takes either script= or path="),
        ({"script": "echo"}, r"nothing says what runs the script \(begin it with a line such as"),
        ({"script": 5}, "script is 5, not text"),
        ({"path": "none.sh"}, r"there is no file 'none.sh' \(it is looked for beside the flow\)"),
        ({"script": "#!/bin/sh", "args": "one"}, "args is 'one', not a list"),
        ({"script": "x", "interpreter": " "}, "interpreter is empty"),
        ({"script": "#!/bin/sh", "env": ["A"]}, r"env is \['A'\], not a dict"),
        ({"script": "#!/bin/sh", "cwd": 5}, "cwd is 5, no path"),
        ({"script": "#!/bin/sh", "output_processor": 5}, "output_processor is 5, no function"),
        ({"script": "#!/bin/sh", "skip_on_exit_code": "a"}, "skip_on_exit_code is 'a', neither"),
    ],
)
def test_wrong_argument_is_told_with_its_line(arguments: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"test_script\.py:\d+: 'script': .*{message}"):
        ScriptOperator(task_id="script", **arguments)


# Environments


def needing(package: Path, code: str) -> str:
    return f'# /// script\n# dependencies = ["tuning @ {package.as_uri()}"]\n# ///\n{code}\n'


def test_python_script_gets_what_it_says_that_it_needs(
    context: FakeContext, package: Path, tmp_path: Path
) -> None:
    file = tmp_path / "tune.py"
    file.write_text(needing(package, "import tuning; print(tuning.A)"))

    first = run_script(context, path=file)
    package.unlink()
    second = run_script(context, script=PYTHON + file.read_text())

    assert first == second == "440"
    kept = [each for each in (tmp_path / "data" / "environments").iterdir() if each.is_dir()]
    assert len(kept) == 1


def test_environment_that_cannot_be_made_is_an_error_and_tried_anew(
    context: FakeContext, package: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = PYTHON + needing(package, "import tuning; print(tuning.A)")
    hidden = package.rename(tmp_path / "hidden")

    with pytest.raises(ExecutionError, match="uv exited with code"):
        run_script(context, script=script)
    hidden.rename(package)

    assert run_script(context, script=script) == "440"
    assert "tuning" in capfd.readouterr().err


def test_missing_uv_is_an_error_with_the_remedy(
    context: FakeContext, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ExecutionError, match=r"uv, which is not installed \(.* -m pip install uv"):
        run_script(context, script="#!/usr/bin/python3\n" + needing(package, ""))


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("# dependencies = 5", "dependencies of the script are 5, not a list of texts"),
        ("# dependencies = [1]", r"dependencies of the script are \[1\], not a list of texts"),
        ("# requires-python = 3", "requires-python of the script is 3, not text"),
        ("# dependencies =", "the block '# /// script' is no TOML"),
        ("#\n# ///\n\n# /// script\n#", "the script has more than one block"),
    ],
)
def test_block_that_cannot_be_read_is_told(context: FakeContext, block: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        run_script(context, script=f"{PYTHON}# /// script\n{block}\n# ///\n")


def test_script_that_needs_nothing_runs_as_it_is(context: FakeContext) -> None:
    script = f"{PYTHON}# /// script\n# dependencies = []\n# ///\nprint(1)"

    assert run_script(context, script=script) == "1"


def test_environments_are_shared_by_what_they_consist_of() -> None:
    plain = EnvironmentSpec(("a", "b==1"))

    assert EnvironmentSpec(("b==1", "a")).key() == plain.key()
    assert (
        len({plain.key(), EnvironmentSpec(("a",)).key(), EnvironmentSpec(("a",), "3.12").key()})
        == 3
    )
    assert read_requirements("a  # why\n\n# no\nb==1\nc @ file:///c#egg=c") == (
        "a",
        "b==1",
        "c @ file:///c#egg=c",
    )


def test_script_runs_in_a_flow() -> None:
    with DAG("flow") as flow:
        ScriptOperator.partial(task_id="say", interpreter="sh").expand(script=["echo a", "echo b"])

    assert testing.run(flow).result("say") == ["a", "b"]
