"""This module tests functions that are called in another Python."""

import math
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ostinato import (
    DAG,
    ExternalPythonOperator,
    PythonVirtualenvOperator,
    Resource,
    Skip,
    dag,
    task,
    testing,
)
from ostinato.errors import ExecutionError, InvalidArgument, ValueNotSerialisable
from tests.unit.authoring.fakes import FakeContext, execute
from tests.unit.authoring.test_script import package  # noqa: F401 - a fixture


@pytest.fixture
def context(tmp_path: Path) -> FakeContext:
    return FakeContext(temporary=tmp_path, data_dir=tmp_path / "data")


def external(function: Any, **options: Any) -> ExternalPythonOperator:
    return ExternalPythonOperator(
        task_id="there", python=sys.executable, python_callable=function, **options
    )


def test_function_gets_arguments_and_returns_a_result(context: FakeContext) -> None:
    def describe(numbers: list[int], ds: str, *, scale: int = 1) -> dict[str, object]:
        """Use
        names of its own."""
        import statistics

        total = sum(number * scale for number in numbers)
        return {"mean": statistics.mean(numbers), "total": total, "ds": ds}

    operator = external(describe, op_args=[[1, 2]], op_kwargs={"scale": 10})

    assert execute(operator, context=context) == {"mean": 1.5, "total": 30, "ds": "2025-01-31"}
    assert operator.result_type == dict[str, object]


def test_async_function_is_awaited_and_positional_arguments_stay_so(context: FakeContext) -> None:
    async def collect(first: int, /, *others: int) -> list[int]:
        import asyncio

        await asyncio.sleep(0)
        return [first, *others]

    assert execute(external(collect, op_args=[1, 2, 3]), context=context) == [1, 2, 3]


def test_packages_of_this_python_are_not_there(
    context: FakeContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def look() -> Any:
        import os
        import sys

        return str(os.environ["PYTHONPATH"]) in sys.path

    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    assert execute(external(look), context=context) is False


def test_environment_variables_add_to_or_replace_those_of_the_attempt(
    context: FakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read() -> Any:
        import os

        return os.environ.get("OUTER"), os.environ.get("INNER")

    monkeypatch.setenv("OUTER", "o")

    both = external(read, env_vars={"INNER": "i"})
    alone = external(read, env_vars={"INNER": "i"}, inherit_env=False)
    assert execute(both, context=context) == ("o", "i")
    assert execute(alone, context=context) == (None, "i")


def test_output_is_that_of_the_attempt_and_an_error_shows_the_users_line(
    context: FakeContext, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        print("before")
        raise LookupError("nothing here")

    with pytest.raises(ExecutionError, match=r"^LookupError: nothing here$"):
        execute(external(fail), context=context)

    output = capfd.readouterr()
    line = fail.__code__.co_firstlineno + 2
    assert output.out == "before\n"
    assert f'{__file__}", line {line}, in fail' in output.err
    assert 'raise LookupError("nothing here")' in output.err
    assert "shipped_main" not in output.err


def test_exit_code_fails_or_skips(context: FakeContext) -> None:
    def leave(code: int) -> None:
        import os
        import sys

        if code == 0:
            os._exit(0)
        sys.exit(code)

    with pytest.raises(ExecutionError, match="python exited with code 3"):
        execute(external(leave, op_args=[3]), context=context)
    with pytest.raises(Skip, match="exit code 99"):
        execute(external(leave, op_args=[99], skip_on_exit_code=99), context=context)
    with pytest.raises(ExecutionError, match="'leave' ended its Python without a result"):
        execute(external(leave, op_args=[0]), context=context)


def test_values_that_cannot_be_sent_are_told(context: FakeContext) -> None:
    def take(value: Any = None) -> Any:
        import types

        kind = type("Odd", (), {})
        module = types.ModuleType("odd")
        kind.__module__ = "odd"
        module.Odd = kind  # type: ignore[attr-defined]  # a module of that Python alone
        __import__("sys").modules["odd"] = module
        return kind()

    with pytest.raises(ValueNotSerialisable, match="an argument of 'take' cannot be sent"):
        execute(external(take, op_args=[lambda: 1]), context=context)
    with pytest.raises(ValueNotSerialisable, match=r"'take' returned .*odd.*\(return builtin"):
        execute(external(take), context=context)


def test_function_ends_with_its_attempt(context: FakeContext, tmp_path: Path) -> None:
    def sleep(file: str) -> None:
        import os
        import time

        with open(file, "w") as pid:
            pid.write(str(os.getpid()))
        os.rename(file, file + ".done")
        time.sleep(60)

    file = tmp_path / "pid"
    operator = external(sleep, op_args=[str(file)])
    failures: list[ExecutionError] = []

    def attempt() -> None:
        try:
            operator.execute(context)
        except ExecutionError as err:
            failures.append(err)

    thread = threading.Thread(target=attempt)
    thread.start()
    done = file.with_suffix(".done")
    while not done.exists():
        time.sleep(0.005)
    operator.on_kill()
    thread.join()

    assert [str(error) for error in failures] == ["python was ended by SIGTERM"]
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.read_text()), 0)


class Warehouse(Resource):
    """A resource."""


def uses_module() -> float:
    return math.pi


def uses_default(value: float = math.pi) -> float:
    return value


def uses_inner() -> Any:
    return [lambda: os.getcwd() for _ in range(2)]


def takes_context(context: Any) -> Any:
    return context


def takes_logger(logger: Any) -> Any:
    return logger


def takes_resource(store: Warehouse) -> Any:
    return store


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (uses_module, "'uses_module' runs in another Python and uses 'math' from outside of"),
        (uses_default, "'uses_default' runs in another Python and uses 'math'"),
        (uses_inner, "'uses_inner' runs in another Python and uses 'os'"),
        (takes_context, "takes 'context', but the context stays outside of another Python"),
        (takes_logger, "takes 'logger', but the context stays outside"),
        (takes_resource, "takes the resource 'store', which stays outside"),
        (lambda: 1, "a lambda cannot be sent by its source; write it with def"),
        (max, "is no function written with def"),
        (eval("type(lambda: 1)")(compile("1", "x", "eval"), {}, "f"), "source of 'f' cannot be"),
    ],
)
def test_function_that_needs_its_surroundings_is_told_with_its_line(
    function: Any, message: str
) -> None:
    with pytest.raises(InvalidArgument, match=rf"test_other_python\.py:\d+: 'there': .*{message}"):
        external(function)


def test_names_of_annotations_and_attributes_are_no_surroundings(context: FakeContext) -> None:
    def use(path: Path) -> "Path | None":
        first: Path = path
        return first.parent.parent / "os"  # type: ignore[no-any-return, unused-ignore]  # plain

    assert execute(external(use, op_args=[Path("/a/b/c")]), context=context) == Path("/a/os")


def test_interpreter_that_is_not_there_is_told(context: FakeContext) -> None:
    def nothing() -> None: ...

    operator = ExternalPythonOperator(
        task_id="there", python="/none/python", python_callable=nothing
    )

    with pytest.raises(ExecutionError, match=r"python cannot be started: .*'/none/python'"):
        execute(operator, context=context)
    with pytest.raises(InvalidArgument, match="python is '', no path of an interpreter"):
        ExternalPythonOperator(task_id="there", python="", python_callable=nothing)


# Environments


def test_environment_is_made_and_found_again(
    context: FakeContext,
    package: Path,  # noqa: F811 - a fixture
    tmp_path: Path,
) -> None:
    def tune(factor: int) -> Any:
        import sys

        import tuning  # type: ignore[import-not-found]  # it is in the environment only

        return tuning.A * factor, sys.prefix

    operator = PythonVirtualenvOperator(
        task_id="tune",
        python_callable=tune,
        requirements=f"tuning @ {package.as_uri()}  # for the pitch",
        op_args=[2],
    )

    first = execute(operator, context=context)
    package.unlink()
    second = execute(operator, context=context)

    assert first == second
    assert first[0] == 880
    assert Path(first[1]).parent == tmp_path / "data" / "environments"


def test_packages_of_this_python_are_there_where_asked_for(tmp_path: Path) -> None:
    def look() -> Any:
        import msgspec

        import ostinato

        return msgspec.__version__, ostinato.__name__

    def operator(*, shared: bool) -> PythonVirtualenvOperator:
        return PythonVirtualenvOperator(
            task_id="look",
            python_callable=look,
            system_site_packages=shared,
            venv_cache_path=tmp_path / "kept",
        )

    context = FakeContext(temporary=tmp_path)
    assert execute(operator(shared=True), context=context)[1] == "ostinato"
    with pytest.raises(ExecutionError, match="ModuleNotFoundError: No module named 'msgspec'"):
        execute(operator(shared=False), context=context)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"requirements": 5}, "requirements are 5, not a list of texts"),
        ({"requirements": [5]}, r"requirements are \[5\], not a list of texts"),
        ({"python_version": 3.12}, r"is 3.12, not text \(write python_version='3.12'\)"),
        ({"requirement": "a"}, r"no argument 'requirement' \(did you mean 'requirements'\?\)"),
    ],
)
def test_wrong_environment_is_told_with_its_line(options: Any, message: str) -> None:
    def nothing() -> None: ...

    with pytest.raises(InvalidArgument, match=rf"test_other_python\.py:\d+: .*{message}"):
        PythonVirtualenvOperator(task_id="a", python_callable=nothing, **options)


def test_decorators_call_functions_in_another_python() -> None:
    @dag
    def flow() -> None:
        @task.virtualenv
        def first(n: int) -> int:
            return n + 1

        @task.external_python(python=sys.executable)
        def second(n: int) -> int:
            return n * 10

        second(first(1))

    assert testing.run(flow()).result("second") == 20


def test_function_in_another_python_is_mapped() -> None:
    def double(n: int) -> int:
        return n * 2

    with DAG("flow") as flow:
        ExternalPythonOperator.partial(
            task_id="double", python=sys.executable, python_callable=double
        ).expand(op_args=[[1], [2]])

    assert testing.run(flow).result("double") == [2, 4]
