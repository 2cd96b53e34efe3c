"""Templates in the arguments of tasks: what is rendered, with what, and what goes wrong."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ostinato import DAG, BashOperator, Operator, PythonOperator, dag, task, testing
from ostinato.authoring.ports import Context
from ostinato.errors import TemplateError

DATE = "2025-01-31T06:00"


class Show(Operator):
    """Return what its fields hold in an attempt."""

    template_fields: Sequence[str] = ("value", "other")
    template_ext: Sequence[str] = (".txt",)

    def __init__(self, task_id: str, *, value: Any, other: Any = None, **policies: Any) -> None:
        self.value = value
        self.other = other
        super().__init__(task_id, **policies)

    def execute(self, context: Context) -> Any:
        return self.value


def rendered(value: Any, **options: Any) -> Any:
    """Return what one field is in an attempt, of a flow with these options."""
    with DAG("flow", **options) as flow:
        Show("show", value=value)
    run = testing.run(flow, date=DATE)
    return run.raise_for_state().result("show")


def message_of(value: Any, **options: Any) -> str:
    """Return what is wrong with a field, be it seen when the flow is built or in an attempt."""
    with DAG("flow", **options) as flow:
        Show("show", value=value)
    try:
        return failure_of(flow, "show")
    except TemplateError as error:
        return str(error)


def failure_of(flow: DAG, task_id: str) -> str:
    failure = testing.run(flow, date=DATE).task_run(task_id).failure
    assert failure is not None
    return str(failure.message)


def test_fields_are_rendered_inside_of_containers_but_keys_are_not() -> None:
    value = {"{{ ds }}": ["{{ ds }}", ["{{ ds_nodash }}", 1]], "b": {"c": None}}

    assert rendered(value) == {"{{ ds }}": ["2025-01-31", ["20250131", 1]], "b": {"c": None}}


def test_sets_and_tuples_stay_what_they_are() -> None:
    assert rendered({"{{ ds }}", "x"}) == {"2025-01-31", "x"}
    assert rendered(("{{ ds }}", 1)) == ("2025-01-31", 1)


def test_text_without_marks_is_left_alone() -> None:
    assert rendered("a { b } {c}") == "a { b } {c}"


def test_results_of_tasks_are_no_templates() -> None:
    @dag
    def flow() -> None:
        @task
        def make() -> dict[str, str]:
            return {"text": "{{ ds }}"}

        @task
        def read(whole: dict[str, str], item: str, own: str) -> list[Any]:
            return [whole, item, own]

        made = make()
        read(made, made["text"], "{{ ds }}")

    run = testing.run(flow(), date=DATE)

    assert run.result("read") == [{"text": "{{ ds }}"}, "{{ ds }}", "2025-01-31"]


def test_values_of_parameters_are_no_templates() -> None:
    @dag
    def flow(text: str = "{{ ds }}") -> None:
        @task
        def read(text: str) -> str:
            return text

        read(text)

    assert testing.run(flow()).result("read") == "{{ ds }}"


def test_mapped_literals_are_rendered_and_mapped_results_are_not() -> None:
    @dag
    def flow() -> None:
        @task
        def make() -> list[str]:
            return ["{{ ds }}"]

        @task
        def read(literal: str, result: str) -> list[str]:
            return [literal, result]

        read.expand(literal=["{{ ds }}", "plain"], result=make())

    run = testing.run(flow(), date=DATE)

    assert run.result("read") == [["2025-01-31", "{{ ds }}"], ["plain", "{{ ds }}"]]


def test_mapped_operators_are_rendered_in_their_template_fields() -> None:
    class Plain(Show):
        template_fields = ("value",)

        def execute(self, context: Context) -> Any:
            return [self.value, self.other]

    with DAG("flow") as flow:
        Plain.partial(task_id="fixed", other="{{ ds }}").expand(value=["{{ ds }}"])
        Plain.partial(task_id="sets").expand_kwargs([{"value": "{{ ds }}", "other": "{{ ds }}"}])

    run = testing.run(flow, date=DATE)

    assert run.result("fixed") == [["2025-01-31", "{{ ds }}"]]
    assert run.result("sets") == [["2025-01-31", "{{ ds }}"]]


def test_arguments_of_functions_are_rendered() -> None:
    def collect(*args: Any, **kwargs: Any) -> Any:
        return [list(args), kwargs["day"], kwargs["templates_dict"]]

    with DAG("flow") as flow:
        PythonOperator(
            task_id="collect",
            python_callable=collect,
            op_args=["{{ ds }}"],
            op_kwargs={"day": "{{ ds_nodash }}"},
            templates_dict={"query": "day = {{ ds }}"},
        )

    run = testing.run(flow, date=DATE)

    assert run.result("collect") == [["2025-01-31"], "20250131", {"query": "day = 2025-01-31"}]


def test_a_function_without_templates_dict_is_not_given_any() -> None:
    with DAG("flow") as flow:
        PythonOperator(
            task_id="go", python_callable=lambda: 1, templates_dict={"query": "{{ ds }}"}
        )

    assert testing.run(flow).result("go") == 1


def test_bash_renders_command_environment_and_folder(tmp_path: Path) -> None:
    with DAG("flow", params={"folder": str(tmp_path)}) as flow:
        BashOperator(
            task_id="go",
            bash_command="echo $DAY {{ ti.task_id }} $PWD",
            env={"DAY": "{{ ds }}"},
            append_env=True,
            cwd="{{ params.folder }}",
        )

    assert testing.run(flow, date=DATE).result("go") == f"2025-01-31 go {tmp_path}"


def test_the_command_that_a_function_returns_is_rendered() -> None:
    @dag
    def flow() -> None:
        @task.bash
        def go() -> str:
            return "echo {{ ds }}"

        go()

    assert testing.run(flow(), date=DATE).result("go") == "2025-01-31"


def test_context_renders_values() -> None:
    @dag
    def flow() -> None:
        @task
        def go(context: Context) -> Any:
            return context.render({"a": ["{{ ds }}", 1, ["b"]]})

        go()

    assert testing.run(flow(), date=DATE).result("go") == {"a": ["2025-01-31", 1, ["b"]]}


def test_rendered_values_are_recorded() -> None:
    with DAG("flow") as flow:
        Show("show", value="{{ ds }}")

    run = testing.run(flow, date=DATE)

    assert [row.inputs for row in run._memory.all_task_runs(run._run_id)] == [
        '{"value":"2025-01-31","other":null}'
    ]


# Files


def test_a_field_that_names_a_file_is_its_content(tmp_path: Path) -> None:
    (tmp_path / "hello.txt").write_text("hello {{ ds }}\n{% include 'name.txt' %}")
    (tmp_path / "name.txt").write_text("from {{ ti.task_id }}")

    found = rendered("hello.txt", template_searchpath=str(tmp_path))

    assert found == "hello 2025-01-31\nfrom show"


def test_files_are_found_beside_the_flow_and_below_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here.txt").write_text("here {{ ds }}")
    monkeypatch.chdir(tmp_path)

    assert rendered("here.txt") == "here 2025-01-31"
    assert rendered(str(tmp_path / "here.txt")) == "here 2025-01-31"
    assert rendered("{{ 'here' }}.txt") == "here 2025-01-31"


def test_searchpath_is_relative_to_the_file_of_the_flow() -> None:
    name = Path(__file__).name
    parent = f"../{Path(__file__).parent.name}"

    class Source(Show):
        template_ext = (".py",)

    with DAG("flow", template_searchpath=[parent]) as flow:
        Source("show", value=name)

    # It is found, and is full of what is no template.
    with pytest.raises(TemplateError, match=name):
        flow.definition  # noqa: B018 - building it checks it


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    with DAG("flow", template_searchpath=str(tmp_path)) as flow:
        Show("show", value="x.txt")
    file.write_text("{{ ds }} once")
    testing.run(flow)
    file.write_text("{{ ds }} twice")

    assert testing.run(flow, date=DATE).result("show") == "2025-01-31 twice"


def test_a_missing_file_is_named_with_where_it_was_looked_for() -> None:
    message = message_of("nothing.txt", template_searchpath="/nowhere")

    assert "'value' of task 'show': there is no file 'nothing.txt'" in message
    assert "looked in /nowhere, " in message


def test_a_command_that_ends_with_a_script_is_no_file() -> None:
    with DAG("flow") as flow:
        BashOperator(task_id="go", bash_command="echo {{ ds }} x.sh")

    assert testing.run(flow, date=DATE).result("go") == "2025-01-31 x.sh"


# What the flow says


def test_macros_and_filters_of_the_flow() -> None:
    found = rendered(
        "{{ twice(4) }} {{ 'x' | loud }} {{ logical_date | ds_nodash }}",
        user_defined_macros={"twice": lambda number: number * 2},
        user_defined_filters={"loud": lambda text: f"{text}!"},
    )

    assert found == "8 x! 20250131"


def test_filters_for_dates() -> None:
    forms = ("ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz")
    text = " ".join(f"{{{{ logical_date | {form} }}}}" for form in forms)

    assert rendered(text) == (
        "2025-01-31 20250131 2025-01-31T06:00:00+00:00 20250131T060000 20250131T060000+0000"
    )
    assert rendered("{{ none | ds }}") == "None"


def test_native_rendering_gives_objects() -> None:
    options: Mapping[str, Any] = {"render_template_as_native_obj": True, "params": {"n": [1, 2]}}

    assert rendered("{{ params.n }}", **options) == [1, 2]
    assert rendered("{{ 1 + 2 }}", **options) == 3
    assert "'no' is unknown" in message_of("{{ no }}", **options)


def test_arguments_of_the_environment() -> None:
    options = {"jinja_environment_kwargs": {"variable_start_string": "{{{"}}

    assert rendered("{{{ ds }} {{ ds }}", **options) == "2025-01-31 {{ ds }}"


# What goes wrong


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ dss }}", "'value' of task 'show', line 1: 'dss' is unknown (did you mean 'ds'?)"),
        ("a\n{{ params.rowz }}", "line 2: a dict has no 'rowz' (did you mean 'rows'?)"),
        ("{{ ti.task_idd }}", "a TaskContext has no 'task_idd' (did you mean 'task_id'?)"),
        ("{{ ds | uper }}", "there is no filter 'uper' (did you mean 'upper'?)"),
        ("{{ ds | ts_no }}", "there is no filter 'ts_no'"),
        ("{{ ds is odds }}", "there is no test 'odds' (did you mean 'odd'?)"),
        ("a\n{% if %}", "'value' of task 'show', line 2: "),
        ("{{ 1 / 0 }}", "line 1: ZeroDivisionError: division by zero"),
        ("{% include 'no.txt' %}", "there is no file 'no.txt' to include"),
        ("{{ fail() }}", "line 1: ValueError: of the user"),
    ],
)
def test_errors_name_task_field_line_and_name(text: str, message: str) -> None:
    def fail() -> None:
        raise ValueError("of the user")

    found = message_of(text, params={"rows": 1}, user_defined_macros={"fail": fail})

    assert message in found
    assert "test_templates.py:" in found


def test_unknown_names_may_have_a_default() -> None:
    text = "{{ none_such | default('x') }} {{ none_such is defined }} {{ params.no | default(1) }}"

    assert rendered(text) == "x False 1"


def test_an_error_in_a_file_is_at_its_line(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("a\nb {{ dss }}")

    message = message_of("x.txt", template_searchpath=str(tmp_path))

    assert f"{tmp_path}/x.txt:2: 'value' of task 'show': 'dss' is unknown" in message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a\n{% if %}", r"test_templates.py:\d+: 'value' of task 'show', line 2: "),
        (["x", {"a": "{{ ds | no }}"}], "line 1: there is no filter 'no'"),
        ("no.txt", "there is no file 'no.txt'"),
    ],
)
def test_what_cannot_be_rendered_is_found_when_the_flow_is_built(value: Any, message: str) -> None:
    with DAG("flow") as flow:
        Show("show", value=value)

    with pytest.raises(TemplateError, match=message):
        flow.definition  # noqa: B018 - building it checks it


def test_files_that_do_not_parse_are_found_when_the_flow_is_built(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("\n\n{{")
    (tmp_path / "binary.txt").write_bytes(b"{{ \xff")

    for name, problem in (("x.txt", ":3: 'value' of"), ("binary.txt", "UnicodeDecodeError")):
        with DAG("flow", template_searchpath=str(tmp_path)) as flow:
            Show("show", value=name)
        with pytest.raises(TemplateError, match=problem):
            flow.definition  # noqa: B018 - building it checks it


def test_files_with_a_computed_name_are_looked_for_in_the_attempt() -> None:
    assert "there is no file '2025-01-31.txt'" in message_of("{{ ds }}.txt")


def test_check_finds_broken_templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ostinato.yaml").write_text("name: shop\n")
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "etl.py").write_text(
        "from ostinato import DAG, BashOperator\n"
        "with DAG('etl'):\n"
        "    BashOperator(task_id='a', bash_command='{{ ds | uper }}')\n"
    )

    ended = subprocess.run(
        [sys.executable, "-m", "ostinato", "check"], capture_output=True, text=True, check=False
    )

    assert ended.returncode != 0
    message = "flows/etl.py:3: 'bash_command' of task 'a', line 1: there is no filter 'uper'"
    assert message in ended.stdout + ended.stderr


def test_an_unknown_name_is_not_retried() -> None:
    with DAG("flow") as flow:
        Show("show", value="{{ dss }}", retries=3)

    assert testing.run(flow).attempts("show") == 1


def test_an_endless_template_is_bounded_by_the_timeout() -> None:
    endless = "{% for i in range(10**9) %}{% endfor %}"
    with DAG("flow", jinja_environment_kwargs={"cache_size": 10}) as flow:
        Show("show", value=endless, timeout=0.05)

    assert "ran longer than its timeout" in failure_of(flow, "show")


# What it costs


def test_only_names_that_a_template_mentions_are_worked_out() -> None:
    looked_up: list[str] = []

    class Names(Mapping[str, Any]):
        def __getitem__(self, name: str) -> Any:
            looked_up.append(name)
            return name

        def __contains__(self, name: object) -> bool:
            return name in {"ds", "conn"}

        def __iter__(self) -> Iterator[str]:
            return iter(())

        def __len__(self) -> int:
            return 0

    with DAG("flow") as flow:
        pass
    engine = flow.templates.engine

    assert engine.render(engine.compile("{{ ds }} {{ ds }}"), Names()) == "ds ds"
    assert looked_up == ["ds"]


def test_compiled_texts_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ostinato.authoring.template_engine.KEPT_TEMPLATES", 2)
    with DAG("flow") as flow:
        pass
    compile_ = flow.templates.engine.compile

    first = compile_("{{ ds }} 1")

    assert compile_("{{ ds }} 1") is first
    compile_("{{ ds }} 2")
    compile_("{{ ds }} 3")
    assert compile_("{{ ds }} 1") is not first


def test_flows_without_templates_do_not_load_the_engine() -> None:
    code = """
import sys
from ostinato import DAG, BashOperator, PythonOperator, testing
with DAG("flow") as flow:
    PythonOperator(task_id="a", python_callable=len, op_args=["x { y }"])
    BashOperator(task_id="b", bash_command="echo ${x:-1}")
assert testing.run(flow).state == "succeeded"
sys.exit("jinja2" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
