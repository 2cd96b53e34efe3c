"""This module tests how files become flows, and how what is broken in them is said."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostinato.model.flow import Source
from ostinato.model.manifest import decode_manifest
from ostinato.project.loading import Loaded, load_target, private_name

ETL = """\
from ostinato.authoring.dag import DAG
from ostinato.authoring.operators.empty import EmptyOperator

with DAG("{name}"):
    EmptyOperator(task_id="a") >> EmptyOperator(task_id="b")
"""

Write = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def _as_in_a_process_of_its_own() -> Iterator[None]:
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        # What a library has loaded stays: its C parts cannot be loaded twice.
        places = [
            getattr(sys.modules[name], "__file__", ""),
            *getattr(sys.modules[name], "__path__", ()),
        ]
        if any("/pytest-" in str(place) for place in places):
            del sys.modules[name]
    sys.path[:] = path


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ostinato.yaml").write_text("name: shop\n")

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write_file


def problems(loaded: Loaded) -> list[str]:
    return [str(problem) for problem in loaded.manifest.problems]


def test_file_is_loaded_with_its_definitions_and_digest(write: Write) -> None:
    write("flows/etl.py", ETL.format(name="etl"))

    loaded = load_target("flows/etl.py")

    assert list(loaded.flows) == ["etl"]
    assert [flow.source.file for flow in loaded.manifest.flows] == ["flows/etl.py"]
    assert loaded.manifest.flows[0].source.line == 4
    assert list(loaded.manifest.sources) == ["flows/etl.py"]
    assert decode_manifest(loaded.data) == loaded.manifest


def test_project_is_loaded_from_all_its_folders(write: Write) -> None:
    write("ostinato.yaml", "flows: [flows, more/one.py]\n")
    write("flows/a.py", ETL.format(name="a"))
    write("flows/deep/b.py", ETL.format(name="b"))
    write("flows/.hidden/c.py", "1 / 0")
    write("flows/notes.txt", "1 / 0")
    write("more/one.py", ETL.format(name="one"))
    write("more/other.py", "1 / 0")

    for target in ("", ".", "a"):
        loaded = load_target(target)
        assert list(loaded.flows) == ["a", "b", "one"]
        assert problems(loaded) == []


def test_folder_of_a_project_is_loaded_alone(write: Write) -> None:
    write("flows/a.py", "1 / 0")
    write("flows/deep/b.py", ETL.format(name="b"))

    loaded = load_target("flows/deep")

    assert list(loaded.flows) == ["b"]
    assert problems(loaded) == []


def test_dotted_module_is_loaded(write: Write) -> None:
    write("shopping/__init__.py", "")
    write("shopping/nightly.py", ETL.format(name="etl"))

    loaded = load_target("shopping.nightly:etl")

    assert list(loaded.flows) == ["etl"]
    assert list(loaded.manifest.sources) == ["shopping/__init__.py", "shopping/nightly.py"]


def test_missing_module_is_a_problem(write: Write) -> None:
    assert problems(load_target("no_such.module")) == [
        "no_such.module: ModuleNotFoundError: No module named 'no_such' "
        "(is it installed beside Ostinato?)"
    ]


def test_import_from_airflow_is_told_where_it_is_here(write: Write) -> None:
    write("flows/etl.py", "from airflow import DAG")

    assert problems(load_target("flows/etl.py")) == [
        "flows/etl.py:1: ModuleNotFoundError: No module named 'airflow' "
        "(import from ostinato what is called the same there)"
    ]


def test_modules_beside_the_file_and_in_the_root_are_found(write: Write) -> None:
    write("flows/beside_it.py", "NAME = 'etl'")
    write("in_the_root.py", "")
    write("flows/etl.py", f"import beside_it\nimport in_the_root\n{ETL.format(name='etl')}")

    loaded = load_target("flows/etl.py")

    assert problems(loaded) == []
    assert list(loaded.manifest.sources) == ["flows/beside_it.py", "flows/etl.py", "in_the_root.py"]


def test_file_of_a_package_can_import_relatively(write: Write) -> None:
    write("flows/__init__.py", "")
    write("flows/sibling.py", "NAME = 'etl'")
    write("flows/etl.py", f"from .sibling import NAME\n{ETL.format(name='etl')}")

    loaded = load_target("flows/etl.py")

    assert problems(loaded) == []
    assert list(loaded.flows) == ["etl"]


def test_file_that_another_imports_declares_its_flows_once(write: Write) -> None:
    write("flows/a.py", f"import z_last\n{ETL.format(name='a')}")
    write("flows/z_last.py", ETL.format(name="z"))

    loaded = load_target("")

    assert sorted(loaded.flows) == ["a", "z"]
    assert problems(loaded) == []


def test_file_that_is_imported_after_it_was_loaded_is_no_clash(write: Write) -> None:
    write("flows/a_first.py", ETL.format(name="a"))
    write("flows/b.py", f"import a_first\n{ETL.format(name='b')}")

    loaded = load_target("")

    assert sorted(loaded.flows) == ["a", "b"]
    assert problems(loaded) == []


def test_version_is_the_same_for_the_same_files(write: Write) -> None:
    write("flows/etl.py", ETL.format(name="etl"))

    first, second = load_target("flows/etl.py"), load_target("flows/etl.py")

    assert first.version == second.version


def test_version_changes_with_the_code_even_where_the_definition_does_not(write: Write) -> None:
    write("flows/etl.py", ETL.format(name="etl"))
    before = load_target("flows/etl.py")

    write("flows/etl.py", ETL.format(name="etl") + "# more\n")

    assert load_target("flows/etl.py").version != before.version


def test_version_does_not_change_with_the_place_of_the_project(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("flows/etl.py", ETL.format(name="etl"))
    write("copy/ostinato.yaml", "name: shop\n")
    write("copy/flows/etl.py", ETL.format(name="etl"))
    first = load_target("flows/etl.py")

    monkeypatch.chdir(tmp_path / "copy")

    assert load_target("flows/etl.py").version == first.version


def test_two_edits_within_a_second_are_told_apart(write: Write) -> None:
    # Python's cache of byte code trusts second and size; both are the same here.
    write("flows/etl.py", ETL.format(name="one"))
    load_target("flows/etl.py")

    write("flows/etl.py", ETL.format(name="two"))

    assert list(load_target("flows/etl.py").flows) == ["two"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = (1,\n", "flows/bad.py:1: SyntaxError: '(' was never closed"),
        (
            "\nimport pandass_\n",
            "flows/bad.py:2: ModuleNotFoundError: No module named 'pandass_' "
            "(did you mean 'pandas'?)",
        ),
        (
            "from os import nothing_like_it\n",
            "flows/bad.py:1: ImportError: cannot import name 'nothing_like_it' from 'os'",
        ),
        (
            "def half(x):\n    return x / 0\n\nhalf(1)\n",
            "flows/bad.py:2: ZeroDivisionError: division by zero",
        ),
        ("import json\njson.loads('{')\n", "flows/bad.py:2: JSONDecodeError"),
        ("raise ValueError\n", "flows/bad.py:1: ValueError"),
        (
            "raise SystemExit(3)\n",
            'flows/bad.py:1: the file ended the process (put it under if __name__ == "__main__")',
        ),
        (
            ETL.format(name="etl") + '    DAG("x", retires=3)\n',
            "flows/bad.py:6: DAG takes no argument 'retires'",
        ),
    ],
)
def test_broken_file_is_a_problem_at_the_users_line_and_the_rest_is_loaded(
    write: Write, text: str, problem: str
) -> None:
    write("flows/bad.py", text)
    write("flows/good.py", ETL.format(name="good"))

    loaded = load_target("")

    assert list(loaded.flows) == ["good"]
    assert [line.startswith(problem) for line in problems(loaded)] == [True], problems(loaded)


def test_error_in_an_imported_module_is_at_its_own_line(write: Write) -> None:
    write("etl_parts/lib/inner.py", "\n\n1 / 0\n")
    write("etl_parts/lib/__init__.py", "")
    write("etl.py", "from etl_parts.lib import inner\n")

    assert problems(load_target("etl.py")) == [
        "etl_parts/lib/inner.py:3: ZeroDivisionError: division by zero"
    ]


def test_cycle_is_a_problem_of_its_flow_alone(write: Write) -> None:
    write(
        "flows/etl.py",
        ETL.format(name="good")
        + """
with DAG("round"):
    a = EmptyOperator(task_id="a")
    b = EmptyOperator(task_id="b")
    a >> b >> a
""",
    )

    loaded = load_target("")

    assert list(loaded.flows) == ["good"]
    assert problems(loaded) == [
        "flows/etl.py:8: tasks of flow 'round' wait for each other: a -> b -> a"
    ]


def test_place_of_a_cycle_is_as_written_from_the_working_directory(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        "flows/etl.py",
        ETL.format(name="etl").replace("\n    Empty", "\n    a = Empty", 1) + "    a >> a\n",
    )
    monkeypatch.chdir(tmp_path / "flows")

    [problem] = load_target("etl.py").manifest.problems

    assert problem.file == "etl.py"


def test_second_flow_of_a_name_is_a_problem_that_names_both_places(write: Write) -> None:
    write("flows/a.py", ETL.format(name="etl"))
    write("flows/b.py", ETL.format(name="etl"))

    loaded = load_target("")

    assert problems(loaded) == [
        "flows/b.py:4: flow 'etl' is declared a second time (the first is at flows/a.py:4)"
    ]
    assert loaded.manifest.flows[0].source.file == "flows/a.py"


def test_settings_that_name_no_file_are_a_problem(write: Write) -> None:
    assert problems(load_target("")) == ["flows: 'flows' names 'flows', which is not there"]


def test_folder_with_metadata_is_a_flow_and_its_files_are_not_imported(write: Write) -> None:
    write("flows/shop/METADATA.yml", "description: All that is sold")
    write("flows/shop/task.py", "1 / 0")
    write("flows/shop/marts/sum.yml", "operator: empty\ndependencies: [task]")

    loaded = load_target("")

    assert problems(loaded) == []
    (flow,) = loaded.manifest.flows
    assert [task.id for task in flow.tasks] == ["task", "sum"]
    assert flow.tasks[1].source == Source("flows/shop/marts/sum.yml", 1)
    assert set(loaded.manifest.sources) == {
        "flows/shop/METADATA.yml",
        "flows/shop/task.py",
        "flows/shop/marts/sum.yml",
    }


def test_broken_file_breaks_its_flow_alone(write: Write) -> None:
    write("flows/etl.py", ETL.format(name="etl"))
    write("flows/shop/METADATA.yml", "")
    write("flows/shop/task.yml", "operator: bash\nbash_comand: date")
    write("flows/shop/other.yml", "operator: bush")

    loaded = load_target("")

    assert [flow.name for flow in loaded.manifest.flows] == ["etl"]
    assert [str(problem) for problem in loaded.manifest.problems] == [
        "flows/shop/other.yml:1:1 F011 operator 'bush' is unknown; did you mean 'bash'?",
        "flows/shop/task.yml:1:1 F026 BashOperator needs 'bash_command'",
        "flows/shop/task.yml:2:1 F013 BashOperator takes no argument 'bash_comand'; "
        "did you mean 'bash_command'?",
    ]


def test_folder_that_a_python_file_makes_a_flow_of_is_no_second_one(write: Write) -> None:
    write("flows/shop/METADATA.yml", "")
    write("flows/shop/task.py", "1 / 0")
    write("flows/shop.py", "from ostinato import folder_flow\nflow = folder_flow('shop')")

    loaded = load_target("")

    assert problems(loaded) == []
    assert [flow.name for flow in loaded.manifest.flows] == ["shop"]


def test_warning_of_a_folder_stops_nothing(write: Write) -> None:
    write("flows/shop/METADATA.yml", "")
    write("flows/shop/task.yml", "operator: empty\nmy_own: 1")

    loaded = load_target("")

    assert [flow.name for flow in loaded.manifest.flows] == ["shop"]
    assert [(each.code, each.severity, each.column) for each in loaded.manifest.problems] == [
        ("F013", "warning", 1)
    ]


def test_output_of_loaded_code_goes_to_standard_error(
    write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    write("etl.py", "import os, sys\nprint('printed')\nos.write(1, b'written')\n")

    load_target("etl.py")

    captured = capfd.readouterr()
    assert captured.out == ""
    assert "printed" in captured.err
    assert "written" in captured.err


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/p/etl.py", "_ostinato_etl"),
        ("/p/flows/etl.py", "_ostinato_flows__etl"),
        ("/p/flows/a_b.py", "_ostinato_flows__a_b"),
    ],
)
def test_module_names_are_plain_where_they_can_be(path: str, name: str) -> None:
    assert private_name(Path(path), Path("/p")) == name


def test_module_names_of_different_files_differ() -> None:
    paths = ["a/b.py", "a__b.py", "a-b.py", "a b.py", "a_b.py", "a/_b.py", "a_/b.py", "_a.py"]

    names = {private_name(Path("/p") / path, Path("/p")) for path in paths}

    assert len(names) == len(paths)
    assert all(name.isidentifier() for name in names)


def test_folder_that_is_named_is_a_flow_by_its_files_too(write: Write) -> None:
    write("flows/shop/task.py", "1 / 0")
    write("flows/shop/sum.yml", "operator: empty\ndependencies: [task]")

    loaded = load_target("flows/shop")

    assert problems(loaded) == []
    assert [task.id for task in loaded.manifest.flows[0].tasks] == ["sum", "task"]


def test_folder_of_python_files_with_settings_is_no_flow_itself(write: Write) -> None:
    write("flows/etl.py", ETL.format(name="etl"))
    write("flows/settings.yml", "retries: 3")

    assert [flow.name for flow in load_target("flows").manifest.flows] == ["etl"]


def test_sensors_are_in_the_manifest_and_not_in_the_version(write: Write) -> None:
    text = 'from ostinato import sensor\n@sensor(flow="etl")\ndef looks(): pass\n'
    write("flows/etl.py", ETL.format(name="etl"))
    write("flows/looks.py", text)

    loaded = load_target("")

    assert [sensor.name for sensor in loaded.manifest.sensors] == ["looks"]
    assert loaded.sensors["looks"].definition is loaded.manifest.sensors[0]
    assert (loaded.manifest.sensors[0].source) == Source("flows/looks.py", 2)
    assert problems(loaded) == []


def test_what_is_wrong_with_a_sensor_is_said_and_the_rest_loaded(write: Write) -> None:
    text = 'from ostinato import sensor\n@sensor(flow="{flow}")\ndef looks(): pass\n{more}'
    write("flows/a.py", ETL.format(name="etl"))
    write("flows/b.py", text.format(flow="ett", more=""))
    write("flows/c.py", text.format(flow="etl", more=""))
    write("flows/d.py", text.format(flow="etl", more="1 / 0"))

    loaded = load_target("")

    assert list(loaded.sensors) == ["looks"]
    assert problems(loaded) == [
        "flows/d.py:4: ZeroDivisionError: division by zero",
        "flows/b.py:2: sensor 'looks' asks for runs of 'ett', which is no flow "
        "(did you mean 'etl'?)",
        "flows/c.py:2: sensor 'looks' is declared a second time (the first is at flows/b.py:2)",
    ]
    assert [problem.is_error for problem in loaded.manifest.problems] == [True, False, True]


def test_connections_that_flows_listen_by_are_named(write: Write) -> None:
    text = (
        "from ostinato import DAG, PostgresNotify, Webhook\n"
        'DAG("etl", on=[PostgresNotify("db", "c"), Webhook("w")])\n'
    )
    write("flows/etl.py", text)

    named = load_target("").manifest.connections

    assert [(each.name, each.file, each.line) for each in named] == [("db", "flows/etl.py", 2)]
