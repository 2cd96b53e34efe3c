"""This module tests how functions of files get their arguments, and what a task is mapped over."""

import json
from pathlib import Path
from typing import Any

import pytest

from ostinato import DAG, folder_flow, testing
from ostinato.authoring.files.types import table_arguments
from ostinato.errors import FolderProblems
from tests.unit.authoring.files.folders import write


def flow_of(tmp_path: Path, files: dict[str, str]) -> DAG:
    write(tmp_path / "shop", {"METADATA.yml": "description: A shop\n", **files})
    return folder_flow(tmp_path / "shop")


def upstream(flow: DAG) -> dict[str, list[str]]:
    tasks = json.loads(flow.to_json())["tasks"]
    return {task_id: task["upstream"] for task_id, task in tasks.items()}


def warnings_of(flow: DAG) -> list[str]:
    assert flow.folder is not None
    return [str(one).split("/shop/")[-1] for one in flow.folder.warnings]


def problems_of(tmp_path: Path, files: dict[str, str]) -> list[str]:
    with pytest.raises(FolderProblems) as caught:
        flow_of(tmp_path, files)
    return [str(one).replace(f"{tmp_path}/shop/", "") for one in caught.value.problems]


# Which function


def test_main_is_the_task_of_a_file_that_names_no_function(tmp_path: Path) -> None:
    flow = flow_of(
        tmp_path, {"a.py": "def helper(): return 1\n\ndef main(): return helper() + 1\n"}
    )

    assert testing.run(flow).result("a") == 2


@pytest.mark.parametrize("call", ["main()", "done = main()"])
def test_file_that_calls_its_function_itself_is_a_script(call: str, tmp_path: Path) -> None:
    text = f"def main():\n    with open('{tmp_path}/ran', 'a') as f: f.write('x')\n\n"
    files = {
        "a.py": f"{text}{call}\n",
        "b.py": f"{text}if __name__ == '__main__':\n    {call}\n",
    }

    testing.run(flow_of(tmp_path, files)).raise_for_state()

    assert (tmp_path / "ran").read_text() == "xx"


def test_the_one_decorated_function_is_the_task_with_its_policies(tmp_path: Path) -> None:
    text = """from ostinato import task

LIMIT = 3

@task(retries=2, retry_delay=["10s", 5], retry_if=ValueError, task_id="other", tags=("a", 1j))
def load():
    return LIMIT
"""
    flow = flow_of(tmp_path, {"a.py": text, "b.py": f"# ---\n# retries: 5\n# ---\n{text}"})

    assert [each.policy.retries for each in flow.operators.values()] == [2, 5]
    assert testing.run(flow).result("a") == 3
    hint = "say it in the header; functions by extra_callables"
    said = f"F044 'retry_if' of @task is not followed: it is no plain value; {hint}"
    assert warnings_of(flow)[0] == f"a.py:6:1 {said}"


def test_other_decorators_say_nothing_of_the_task(tmp_path: Path) -> None:
    text = "import functools\n@functools.lru_cache(maxsize=5)\ndef main(): return 5\n"
    named = "# ---\n# python_callable: load\n# ---\nfrom ostinato import task\n"
    files = {"a.py": text, "b.py": f"{named}@task(retries=3)\ndef load(): return 6\n"}

    flow = flow_of(tmp_path, files)

    assert warnings_of(flow) == []
    assert [each.policy.retries for each in flow.operators.values()] == [0, 3]
    assert testing.run(flow).result("a") == 5


def test_decorator_may_say_what_a_function_decides(tmp_path: Path) -> None:
    files = {
        "choose.py": "from ostinato import task\n@task.branch\ndef choose(): return 'left'\n",
        "left.yml": "operator: empty\ndependencies: [choose]\n",
        "right.yml": "operator: empty\ndependencies: [choose]\n",
    }

    run = testing.run(flow_of(tmp_path, files))

    assert {each.task_id: str(each.state) for each in run.task_runs} == {
        "choose": "succeeded",
        "left": "succeeded",
        "right": "skipped",
    }


def test_several_decorated_functions_are_told(tmp_path: Path) -> None:
    text = "from ostinato import task\n@task\ndef a(): ...\n\n@task()\ndef b(): ...\n"

    assert problems_of(tmp_path, {"x.py": text}) == [
        "x.py:6:1 F032 which function is the task: 'a' (line 3) and 'b' (line 6)?; "
        "say it by python_callable"
    ]


def test_decorator_that_makes_another_kind_of_task_is_told(tmp_path: Path) -> None:
    text = "from ostinato import task\n@task.bash\ndef a(): ...\n"

    assert problems_of(tmp_path, {"x.py": text}) == [
        "x.py:3:1 F032 @task.bash is no decorator for the task of a file; "
        "name an operator in the header"
    ]


# Arguments


def test_arguments_are_parameters_parts_of_the_context_and_results(tmp_path: Path) -> None:
    files = {
        "METADATA.yml": "params: {region: EU, limit: 3}\n",
        "raw/orders.py": "def main(limit): return list(range(limit))\n",
        "raw/rates.py": "def main(): return {'EU': 2}\n",
        "total.py": """def main(orders, raw_rates, region, ds, partition, context, params, own):
    found = [sum(orders), raw_rates[region], ds[:2], partition, context.task_id, own]
    return [*found, params["limit"]]
""",
    }
    files["total.py"] = "# ---\n# params: {own: 7}\n# ---\n" + files["total.py"]

    flow = flow_of(tmp_path, files)

    assert upstream(flow) == {"orders": [], "rates": [], "total": ["orders", "rates"]}
    assert testing.run(flow, params={"limit": 4}).result("total") == [6, 2, "20", "", "total", 7, 4]


def test_arguments_that_are_given_or_have_a_default_make_no_edges(tmp_path: Path) -> None:
    files = {
        "orders.py": "def main(): return [1]\n",
        "a.py": "def main(orders=5): return orders\n",
        "b.py": "# ---\n# op_kwargs: {orders: 6}\n# ---\ndef main(orders): return orders\n",
        "c.py": "# ---\n# op_args: [7]\n# ---\ndef main(orders): return orders\n",
        "d.py": "# ---\n# dependencies: [orders]\n# ---\ndef main(orders=8): return orders\n",
    }

    flow = flow_of(tmp_path, files)

    assert upstream(flow) == {"a": [], "b": [], "c": [], "d": ["orders"], "orders": []}
    run = testing.run(flow)
    assert [run.result(name) for name in "abcd"] == [5, 6, 7, [1]]


def test_parameter_of_the_run_takes_the_place_of_a_default(tmp_path: Path) -> None:
    files = {
        "METADATA.yml": "params: {limit: 3}\n",
        "a.py": "def main(limit=10): return limit\n",
    }

    assert testing.run(flow_of(tmp_path, files), params={"limit": 4}).result("a") == 4


def test_parameters_of_folders_are_arguments_too(tmp_path: Path) -> None:
    files = {
        "METADATA.yml": "params: {region: EU, limit: 3}\n",
        "raw/METADATA.yml": "params: {region: US, country: de}\n",
        "raw/deep/METADATA.yml": "params: {level: 2}\n",
        "raw/a.py": "def main(country, region, limit): return [country, region, limit]\n",
        "raw/deep/b.py": "def main(country, level, params):\n"
        "    return [country, level, dict(params)]\n",
    }

    flow = flow_of(tmp_path, files)

    assert warnings_of(flow) == []
    assert testing.run(flow).result("a") == ["de", "US", 3]
    run = testing.run(flow, params={"region": "FR"})
    assert run.result("a") == ["de", "FR", 3]
    own = {"region": "FR", "limit": 3, "country": "de", "level": 2}
    assert run.result("b") == ["de", 2, own]


def test_partials_give_arguments_too(tmp_path: Path) -> None:
    text = """# ---
# python_callable: load
# python_callable_partials: {load_de: {country: de}, load_fr: {country: fr}}
# ---
def load(country, orders):
    return [country, orders]
"""
    flow = flow_of(tmp_path, {"load.py": text, "orders.py": "def main(): return 5\n"})

    run = testing.run(flow)

    assert [run.result(name) for name in ("load_de", "load_fr")] == [["de", 5], ["fr", 5]]


def test_argument_that_nothing_gives_is_warned_of(tmp_path: Path) -> None:
    files = {"orders.py": "def main(): ...\n", "a.py": "X = 1\n\ndef main(order): ...\n"}

    assert warnings_of(flow_of(tmp_path, files)) == [
        "a.py:3:1 F042 nothing gives main() its 'order': no parameter, no task; "
        "did you mean 'orders'?"
    ]


def test_arguments_that_wait_for_each_other_are_a_cycle(tmp_path: Path) -> None:
    files = {"a.py": "def main(b): ...\n", "b.py": "def main(a): ...\n"}

    (found,) = problems_of(tmp_path, files)

    assert found == (
        "a.py:1:1 F018 tasks wait for each other: "
        "a waits for b (a.py:1:1), b waits for a (b.py:1:1)"
    )


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["duckdb", "sqlite"])
def test_table_of_another_task_arrives_as_a_frame(scheme: str, tmp_path: Path) -> None:
    files = {
        "METADATA.yml": f"connection: {scheme}:///{tmp_path}/shop.db\n",
        "staging/orders.sql": "select 1 as id, 10.5 as amount union all select 2, 20\n",
        "a.py": "def main(orders): return [type(orders).__name__, float(orders.amount.sum())]\n",
        "b.py": "def main(context, ds, staging_orders):\n"
        "    return [context.task_id, sorted(staging_orders.columns)]\n",
    }

    flow = flow_of(tmp_path, files)
    run = testing.run(flow)

    assert upstream(flow) == {"a": ["orders"], "b": ["orders"], "orders": []}
    assert run.result("a") == ["DataFrame", 30.5]
    assert run.result("b") == ["b", ["amount", "id"]]


def test_nothing_is_mapped_over_a_table(tmp_path: Path) -> None:
    files = {
        "METADATA.yml": "connection: duckdb:///shop.db\n",
        "orders.sql": "select 1 as id\n",
        "a.py": "# ---\n# expand: {order: orders}\n# ---\ndef main(order): ...\n",
    }

    assert problems_of(tmp_path, files) == [
        "a.py:2:12 F037 expand maps 'order' over the table 'orders', not over a list; "
        "let a task return the list, such as a .py file that takes the table"
    ]


@pytest.mark.parametrize("library", ["pandas", "pyarrow", ""])
def test_frame_is_of_what_is_installed(library: str) -> None:
    made = table_arguments._LIBRARIES[library](["a", "b"], [(1, "x"), (2, "y")])

    shown = made.to_dict("records") if library == "pandas" else made
    assert (shown.to_pylist() if library == "pyarrow" else shown) == [
        {"a": 1, "b": "x"},
        {"a": 2, "b": "y"},
    ]


# Mapping


def test_function_is_called_for_each_item(tmp_path: Path) -> None:
    files = {
        "METADATA.yml": "params: {limit: 3}\n",
        "pages.py": "def main(limit): return list(range(limit))\n",
        "load.py": "# ---\n# expand: {page: pages, kind: [a, b]}\n# retries: 1\n# ---\n"
        "def main(page, kind, limit): return f'{kind}{page}/{limit}'\n",
        "all.py": "def main(load): return list(load)\n",
    }
    files["every.py"] = files.pop("all.py")

    flow = flow_of(tmp_path, files)

    assert upstream(flow)["load"] == ["pages"]
    run = testing.run(flow, params={"limit": 2})
    assert run.result("every") == ["a0/2", "b0/2", "a1/2", "b1/2"]


def test_operator_is_mapped_over_its_arguments(tmp_path: Path) -> None:
    files = {
        "names.py": "def main(): return ['echo c', 'echo d']\n",
        "a.yml": "operator: bash\nexpand: {bash_command: [echo a, echo b]}\nretries: 2\n",
        "b.yml": "operator: bash\nexpand: {bash_command: names}\n",
    }

    flow = flow_of(tmp_path, files)
    run = testing.run(flow)

    assert upstream(flow)["b"] == ["names"]
    assert flow.operators["a"].policy.retries == 2
    assert [run.result(name) for name in "ab"] == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize(
    ("expand", "problem"),
    [
        ("{other: [1]}", "10 F037 the function has no argument 'other' that expand could give it"),
        ("{page: none}", "10 F037 expand maps 'page' over 'none', neither a list nor a task"),
        ("{page: pagse}", "10 F037 expand maps 'page' over 'pagse', neither a list nor a task; "
         "did you mean 'pages'?"),
        ("{}", "2 F037 expand names no arguments; write expand: {argument: [one, two]}"),
    ],
)  # fmt: skip
def test_what_cannot_be_mapped_is_told(expand: str, problem: str, tmp_path: Path) -> None:
    text = f"# ---\n# expand: {expand}\n# ---\ndef main(page=1): ...\n"

    found = problems_of(tmp_path, {"a.py": text, "pages.py": "def main(): ...\n"})

    line, _, rest = problem.partition(" ")
    column = {"10": 12, "2": 3}[line]
    assert found == [f"a.py:2:{column} {rest}"]


# Conditions


def test_condition_and_schedule_of_a_file_are_followed(tmp_path: Path) -> None:
    files: dict[str, Any] = {
        "METADATA.yml": "schedule: '@daily'\nparams: {full: false}\n",
        "a.py": "# ---\n# when: params.full\n# ---\ndef main(): ...\n",
        "b.yml": "operator: empty\nschedule: '0 0 * * MON'\n",
        "c.yml": "operator: empty\nschedule: '0 0 * * TUE'\n",
    }

    run = testing.run(flow_of(tmp_path, files), date="2024-05-20")

    assert {each.task_id: str(each.state) for each in run.task_runs} == {
        "a": "skipped",
        "b": "succeeded",
        "c": "skipped",
    }


def test_condition_that_does_not_parse_is_told(tmp_path: Path) -> None:
    (found,) = problems_of(tmp_path, {"a.yml": "operator: empty\nwhen: params.full and\n"})

    assert found == "a.yml:2:1 F023 'when' of task 'a': unexpected 'end of print statement'"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("schedule: '@weakly'", "schedule: schedule '@weakly' is unknown; did you mean '@weekly'?"),
        ("schedule: '@once'", "schedule: '@once' has no ticks; write a cron expression, a preset"),
        ("when: ''", "when: '' is no condition; write a template such as '{{ params.full }}'"),
    ],
)
def test_condition_or_schedule_that_is_none_is_told(
    line: str, problem: str, tmp_path: Path
) -> None:
    (found,) = problems_of(tmp_path, {"a.yml": f"operator: empty\n{line}\n"})

    assert found.startswith(f"a.yml:2:1 F037 {problem}")
