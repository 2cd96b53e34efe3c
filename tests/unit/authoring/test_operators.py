"""This module tests what the built-in operators do in an attempt."""

import functools
import inspect
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ostinato import (
    DAG,
    BashOperator,
    BranchOperator,
    BranchPythonOperator,
    Defer,
    EmptyOperator,
    Fail,
    Operator,
    PokeReturn,
    PythonOperator,
    PythonSensor,
    Resource,
    Retry,
    Sensor,
    ShortCircuitOperator,
    Skip,
    TaskGroup,
)
from ostinato.authoring.operators import command as commands
from ostinato.authoring.places import relative_file
from ostinato.authoring.triggers import Trigger
from ostinato.errors import ExecutionError, InvalidArgument, UnknownTask
from tests.unit.authoring.fakes import DATE, FakeContext, FakeResolver, execute

START_US = 1738281600000000  # DATE


class Warehouse(Resource):
    """A resource."""


@dataclass
class Plain:
    """A resource that is any object."""


# Python


def test_python_operator_calls_its_function_with_its_arguments() -> None:
    def add(one: int, other: int, *, factor: int = 1) -> int:
        return (one + other) * factor

    operator = PythonOperator(
        task_id="add", python_callable=add, op_args=[1], op_kwargs={"other": 2, "factor": 3}
    )

    assert execute(operator) == 9
    assert execute(PythonOperator(task_id="b", python_callable=max, op_args=[[1, 5]])) == 5
    assert execute(PythonOperator(task_id="p", python_callable=functools.partial(add, 1, 2))) == 3


def test_arguments_may_be_a_result_as_a_whole() -> None:
    with DAG("flow"):
        source = EmptyOperator(task_id="source")
        operator = PythonOperator(
            task_id="add",
            python_callable=lambda *args, a=0, **_: (args, a),
            op_args=source.output["args"],
            op_kwargs=source.output["kwargs"],
        )

    resolver = FakeResolver({"source": {"args": [1, 2], "kwargs": {"a": 5}}})

    assert execute(operator, resolver) == ((1, 2), 5)


def test_wrong_function_is_told_at_once() -> None:
    with pytest.raises(InvalidArgument, match="python_callable of 'a' is not callable: 5"):
        PythonOperator(task_id="a", python_callable=5)  # type: ignore[arg-type]  # what is tested


def test_unknown_argument_of_an_operator_is_told_with_a_guess_of_its_own() -> None:
    with pytest.raises(InvalidArgument, match=r"no argument 'evn' \(did you mean 'env'\?\)"):
        BashOperator(task_id="a", bash_command="true", evn={})  # type: ignore[call-arg]  # what is tested


def test_parts_of_the_context_are_given_by_name_unless_an_argument_is() -> None:
    def read(ds: Any, params: Any, run_id: str = "own", ts: Any = None, **kwargs: Any) -> Any:
        return ds, params, run_id, ts, sorted(kwargs)[:3]

    operator = PythonOperator(task_id="a", python_callable=read, op_kwargs={"ds": "given"})

    assert execute(operator, context=FakeContext(params={"x": 1})) == (
        "given",
        {"x": 1},
        "own",
        "2025-01-31T00:00:00+00:00",
        ["conn", "context", "ctx"],
    )


def test_resources_are_given_by_annotation_and_by_name() -> None:
    def use(store: Warehouse, plain: Any, other: Any = None) -> Any:
        return store, plain, other

    warehouse, opened = Warehouse(), object()
    with DAG("flow", resources={"db": warehouse, "plain": Plain(), "spare": Plain()}) as flow:
        operator = PythonOperator(task_id="a", python_callable=use)
    context = FakeContext(resources={"db": opened, "plain": "plain", "spare": None})

    assert execute(operator, context=context) == (opened, "plain", None)
    assert flow.resources["db"] is warehouse


def test_resource_that_the_flow_lacks_is_looked_up_under_the_parameters_name() -> None:
    def use(store: Warehouse) -> Any:
        return store

    operator = PythonOperator(task_id="a", python_callable=use)

    assert execute(operator, context=FakeContext(resources={"store": 5})) == 5


def test_warehouse_opens_as_itself_by_default() -> None:
    warehouse = Warehouse()

    assert warehouse.open() is warehouse
    warehouse.close()


def test_operator_of_the_user_says_what_it_does() -> None:
    class Greet(Operator):
        template_fields = ("name",)

        def __init__(self, name: Any, **kwargs: Any) -> None:
            self.name = name
            super().__init__(**kwargs)

        def execute(self, context: Any) -> str:
            return f"hello {self.name}"

    with DAG("flow"):
        greet = Greet(EmptyOperator(task_id="who").output, task_id="greet")

    assert execute(greet, FakeResolver({"who": "you"})) == "hello you"
    assert greet.operator_name == "Greet"
    assert repr(greet) == "<Greet 'greet'>"
    with pytest.raises(NotImplementedError, match="Operator has no execute"):
        Operator(task_id="a").execute(FakeContext())


def test_empty_operator_does_nothing() -> None:
    operator = EmptyOperator(task_id="a")

    assert execute(operator) is None
    operator.on_kill()


# Branches


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("a", ["a"]),
        (["g.b", "g"], ["g.b", "g"]),
        (None, []),
        ("b", ["g.b"]),
        (("a", "b"), ["a", "g.b"]),
    ],
)
def test_branch_returns_full_ids_of_what_it_chooses(choice: Any, expected: list[str]) -> None:
    with DAG("flow"):
        EmptyOperator(task_id="a")
        with TaskGroup("g"):
            EmptyOperator(task_id="b")
            branch = BranchPythonOperator(task_id="choose", python_callable=lambda: choice)

    assert execute(branch) == expected


def test_branch_that_chooses_the_unknown_fails_with_a_guess() -> None:
    with DAG("flow"):
        EmptyOperator(task_id="loads")
        one = BranchPythonOperator(task_id="one", python_callable=lambda: "load")
        two = BranchPythonOperator(task_id="two", python_callable=lambda: 5)

    with pytest.raises(UnknownTask, match=r"'one' chose 'load'.*did you mean 'loads'"):
        execute(one)
    with pytest.raises(TypeError, match="'two' must return ids of tasks, not 5"):
        execute(two)


def test_branch_of_the_user_chooses() -> None:
    class Choose(BranchOperator):
        def choose_branch(self, context: Any) -> str:
            return str(context.ds)

    assert execute(Choose(task_id="a")) == ["2025-01-31"]
    with pytest.raises(NotImplementedError):
        BranchOperator(task_id="a").choose_branch(FakeContext())


def test_short_circuit_returns_what_its_function_returns() -> None:
    operator = ShortCircuitOperator(task_id="a", python_callable=list)

    assert execute(operator) == []
    assert operator.ignore_downstream_trigger_rules


# Bash


def run_bash(command: str, **arguments: Any) -> Any:
    return execute(BashOperator(task_id="shell", bash_command=command, **arguments))


def test_last_line_of_a_command_is_its_result_and_all_lines_are_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = run_bash("echo one; echo >&2 warning; printf 'two\\r\\n'; printf three")

    out, err = capsys.readouterr()
    assert result == "three"
    assert out == "one\ntwo\nthree\n"
    assert err == "warning\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("echo out; echo oops >&2; exit 3", "bash exited with code 3: oops"),
        ("echo only; exit 1", "bash exited with code 1"),
        ("exit 1", "bash exited with code 1"),
        ("kill -9 $$", "bash was ended by SIGKILL"),
    ],
)
def test_failing_command_is_told_with_its_code_and_last_words(command: str, message: str) -> None:
    with pytest.raises(ExecutionError) as caught:
        run_bash(command)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("code", "skips"), [(99, {}), (5, {"skip_on_exit_code": 5}), (6, {"skip_on_exit_code": [5, 6]})]
)
def test_exit_code_may_skip_the_task(code: int, skips: dict[str, Any]) -> None:
    with pytest.raises(Skip, match=f"exit code {code}"):
        run_bash(f"exit {code}", **skips)


def test_no_exit_code_skips_if_none_is_named() -> None:
    with pytest.raises(ExecutionError, match="code 99"):
        run_bash("exit 99", skip_on_exit_code=None)


def test_environment_is_inherited_replaced_or_added_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OUTER", "outer")

    assert run_bash("echo $OUTER") == "outer"
    assert run_bash("echo $OUTER$INNER", env={"INNER": 5}) == "5"
    assert run_bash("echo $OUTER$INNER", env={"INNER": "x"}, append_env=True) == "outerx"
    assert run_bash("pwd", cwd=tmp_path) == str(tmp_path)


def test_command_may_be_a_result() -> None:
    with DAG("flow"):
        operator = BashOperator(task_id="a", bash_command=EmptyOperator(task_id="b").output)

    assert execute(operator, FakeResolver({"b": "echo x"})) == "x"
    with pytest.raises(InvalidArgument, match="bash_command of 'a' is 5, not text"):
        execute(operator, FakeResolver({"b": 5}))


def test_command_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExecutionError, match="bash cannot be started"):
        run_bash("true", cwd=tmp_path / "none")


def test_input_of_a_command_is_empty() -> None:
    assert run_bash("cat; echo done") == "done"


def test_output_that_is_no_text_is_shown_as_far_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_bash(r"printf '\xff\xfe ok\n'") == "\ufffd\ufffd ok"


@pytest.mark.slow
def test_large_output_is_read_while_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_bash("for i in $(seq 20000); do echo line $i; echo error $i >&2; done")

    out, err = capsys.readouterr()
    assert result == "line 20000"
    assert (out.count("\n"), err.count("\n")) == (20000, 20000)


@pytest.mark.slow
def test_line_of_any_length_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_bash("head -c 20000000 /dev/zero | tr '\\0' x; echo")

    assert len(result) == 20_000_000
    assert capsys.readouterr().out == result + "\n"


@pytest.mark.slow
def test_what_a_command_leaves_in_the_background_is_not_waited_for() -> None:
    before = time.monotonic()

    result = run_bash("sleep 30 & echo $!")

    assert time.monotonic() - before < 10
    os.kill(int(result), signal.SIGKILL)


def ends(pid: int) -> bool:
    """Wait for the end of a process that was told to end: that takes a moment."""
    end_s = time.monotonic() + 10
    while not has_ended(pid) and time.monotonic() < end_s:
        time.sleep(0.01)
    return has_ended(pid)


def has_ended(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False)
    return not state.stdout.strip() or state.stdout.strip().startswith(b"Z")


@pytest.mark.slow
def test_interrupted_attempt_ends_the_whole_command(tmp_path: Path) -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(_number: int, _frame: Any) -> None:
        raise Interrupted

    pids = tmp_path / "pids"
    previous = signal.signal(signal.SIGALRM, interrupt)
    threading.Thread(
        target=_alarm_when, args=(lambda: pids.exists() and pids.read_text().count("\n") == 2,)
    ).start()
    try:
        with pytest.raises(Interrupted):
            run_bash(f"sleep 60 & echo $! >> {pids}; echo $$ >> {pids}; wait")
    finally:
        signal.signal(signal.SIGALRM, previous)

    for pid in map(int, pids.read_text().split()):
        assert ends(pid)


def test_command_whose_start_is_interrupted_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(_number: int, _frame: Any) -> None:
        raise Interrupted

    started: list[subprocess.Popen[bytes]] = []

    class Interrupting(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)
            os.kill(os.getpid(), signal.SIGALRM)

    previous = signal.signal(signal.SIGALRM, interrupt)
    monkeypatch.setattr(subprocess, "Popen", Interrupting)
    try:
        with pytest.raises(Interrupted):
            run_bash("sleep 60")
    finally:
        signal.signal(signal.SIGALRM, previous)

    assert started[0].poll() == -signal.SIGTERM


def _alarm_when(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGALRM)


@pytest.mark.slow
def test_command_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "KILL_GRACE_S", 0.05)
    operator = BashOperator(task_id="a", bash_command="trap '' TERM; echo up; sleep 60; echo never")
    bound = operator.bind(operator.arguments())
    failures: list[BaseException] = []
    is_up = threading.Event()
    monkeypatch.setattr("builtins.print", lambda *_, **__: is_up.set())

    def attempt() -> None:
        try:
            bound.execute(FakeContext())
        except ExecutionError as error:
            failures.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    is_up.wait(10)
    bound.on_kill()
    thread.join(10)

    assert [str(error) for error in failures] == ["bash was ended by SIGKILL"]
    bound.on_kill()


# Sensors


class Counting(Sensor):
    """Is done at the given poke."""

    def __init__(self, pokes: int, **options: Any) -> None:
        self.left = pokes
        super().__init__(task_id="wait", **options)

    def poke(self, context: Any) -> bool | PokeReturn:
        self.left -= 1
        return PokeReturn(self.left <= 0, value="found")


def test_sensor_defers_between_pokes_and_holds_no_worker() -> None:
    with pytest.raises(Defer) as caught:
        Counting(2, poke_interval="5m").execute(FakeContext())

    assert caught.value.delta_s == 300


def test_last_poke_is_at_the_timeout() -> None:
    with pytest.raises(Defer) as caught:
        Counting(2, poke_interval=60, timeout=45).execute(FakeContext())

    assert caught.value.delta_s == 45


def test_sensor_that_is_done_returns_what_it_found() -> None:
    assert Counting(1).execute(FakeContext()) == "found"


def test_sensor_in_the_mode_poke_waits_inside() -> None:
    assert Counting(3, poke_interval=0, mode="poke").execute(FakeContext()) == "found"


def test_sensor_whose_time_is_over_fails_for_good_or_is_skipped() -> None:
    late = FakeContext(first_started_at=DATE - timedelta(seconds=100))

    with pytest.raises(Fail, match="'wait' waited 100 s in vain; its timeout is 60 s"):
        Counting(2, timeout=60).execute(late)
    with pytest.raises(Skip, match="waited 100 s in vain"):
        Counting(2, timeout="1m", soft_fail=True).execute(late)
    assert Counting(1, timeout=60).execute(late) == "found"


def test_interval_of_a_sensor_grows_by_its_factor_up_to_its_bound() -> None:
    sensor = Counting(9, poke_interval=10, exponential_backoff=True, max_wait="1m")
    delays: list[float] = []
    waited_s = 0.0

    while len(delays) < 5:
        with pytest.raises(Defer) as caught:
            sensor.execute(FakeContext(now=DATE + timedelta(seconds=waited_s)))
        assert caught.value.delta_s is not None
        delays.append(caught.value.delta_s)
        waited_s += delays[-1]

    assert delays == [10, 20, 40, 60, 60]


class RowTrigger(Trigger):
    table: str
    since: datetime = DATE


class Triggered(Counting):
    def trigger(self, context: Any) -> Trigger:
        return RowTrigger(table="flights")


def test_sensor_with_a_trigger_leaves_the_waiting_to_it() -> None:
    sensor = Triggered(3, timeout="1h")

    with pytest.raises(Defer) as caught:
        sensor.execute(FakeContext(now=DATE + timedelta(minutes=10)))

    deferral = caught.value.deferral
    assert deferral.trigger is not None
    assert deferral.trigger.type.endswith(":RowTrigger")
    assert RowTrigger.from_args(deferral.trigger.args) == RowTrigger(table="flights")
    assert (caught.value.timeout_s, deferral.method) == (3000, "execute_complete")
    assert sensor.execute_complete(FakeContext(), 5) == 5
    with pytest.raises(Fail, match="waited 0 s in vain"):
        sensor.on_deferral_timeout(FakeContext())


def test_triggers_that_cannot_be_found_or_stored_again_are_refused() -> None:
    class Local(Trigger):
        pass

    with pytest.raises(InvalidArgument, match="trigger Local is defined inside a function"):
        Local().spec()
    with pytest.raises(InvalidArgument, match="a field of trigger RowTrigger cannot be stored"):
        RowTrigger(table=object()).spec()  # type: ignore[arg-type]  # what is tested
    with pytest.raises(InvalidArgument, match="was stored with other fields"):
        RowTrigger.from_args({"tables": "a"})


def test_functions_can_be_sensors() -> None:
    def is_ready(ds: str, found: Any) -> Any:
        return found if ds else None

    def sensor(found: Any) -> PythonSensor:
        return PythonSensor(task_id="a", python_callable=is_ready, op_kwargs={"found": found})

    assert execute(sensor([1])) is None
    assert execute(sensor(PokeReturn(is_done=True, value=5))) == 5
    with pytest.raises(Defer):
        execute(sensor(0), context=FakeContext())


def test_wrong_arguments_of_a_sensor_are_told() -> None:
    with pytest.raises(InvalidArgument, match="mode of 'a' is 'wait'"):
        PythonSensor(task_id="a", python_callable=bool, mode="wait")
    with pytest.raises(InvalidArgument, match="poke_interval: 'often' is no duration"):
        PythonSensor(task_id="a", python_callable=bool, poke_interval="often")
    with pytest.raises(InvalidArgument, match="PythonSensor takes no argument 'poke_intervall'"):
        PythonSensor(task_id="a", python_callable=bool, poke_intervall=5)
    with pytest.raises(NotImplementedError):
        Sensor(task_id="a").poke(FakeContext())


def test_misspelt_argument_is_told_before_the_one_that_is_missing_for_it() -> None:
    line = inspect.currentframe().f_lineno + 2  # type: ignore[union-attr]  # CPython has frames
    with pytest.raises(InvalidArgument) as caught:
        BashOperator(task_id="a", bash_comand="true")  # type: ignore[call-arg]  # on purpose

    file = relative_file(__file__)
    message = "BashOperator takes no argument 'bash_comand' (did you mean 'bash_command'?)"
    assert str(caught.value) == f"{file}:{line}: {message}"


def test_missing_argument_is_told_by_python() -> None:
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'bash_command'"):
        BashOperator(task_id="a")  # type: ignore[call-arg]  # on purpose


def test_timeout_of_a_sensor_is_no_limit_of_an_attempt() -> None:
    sensor = Counting(1, timeout=60, execution_timeout=5)

    assert (sensor.timeout_s, sensor.policy.timeout_s) == (60, 5)


def test_poke_that_hangs_is_bounded_even_if_nobody_says_so() -> None:
    with DAG("limits", default_args={"execution_timeout": 7}):
        by_default = Counting(1)
    with DAG("no_limits"):
        inside = PythonSensor(task_id="a", python_callable=bool, mode="poke")
        mapped = PythonSensor.partial(task_id="b", python_callable=bool).expand(op_args=[[1]])

    assert Counting(1).policy.timeout_s == 600
    assert by_default.policy.timeout_s == 7
    assert inside.policy.timeout_s == 0
    assert mapped.policy.timeout_s == 600


# Signals


def test_signals_carry_what_they_ask_for() -> None:
    at = datetime(2025, 1, 1, tzinfo=UTC)

    assert Retry("limit", after="5m").after_s == 300
    assert Retry().after_s is None
    assert Defer(until=at).until == at
    assert Defer(delta=timedelta(hours=1)).delta_s == 3600
    assert (str(Skip("no rows")), Skip("no rows").reason, Fail("gone").reason) == (
        "no rows",
        "no rows",
        "gone",
    )


def test_wrong_signals_are_told() -> None:
    with pytest.raises(InvalidArgument, match="one of until=, delta=, trigger= and request="):
        Defer()
    with pytest.raises(InvalidArgument, match="timeout= with trigger= or request= only"):
        Defer(delta=5, timeout=5)
    with pytest.raises(InvalidArgument, match="has no time zone"):
        Defer(until=datetime(2025, 1, 1))  # noqa: DTZ001 - what is tested
    with pytest.raises(InvalidArgument, match="Retry: 'soon' is no duration"):
        Retry(after="soon")


def test_operators_have_a_logger_as_those_of_airflow() -> None:
    class Greet(Operator):
        pass

    assert Greet(task_id="greet").log.name == __name__
