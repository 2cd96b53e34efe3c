"""This module tests what is said of mistakes in files: message and position, to the letter."""

from pathlib import Path

import pytest

from tests.unit.authoring.files.folders import read, write, wrong_in


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "operator: x\nretries: 2: 3\n",
            "2:11 F001 YAML: a `:` is not expected here; write a value that holds `: ` in quotes",
        ),
        (
            "operator: x\nparams:\n\ta: 1\n",
            "3:1 F001 YAML: a tab stands where spaces must; indent with spaces",
        ),
        ("operator: x\nretries 2\npool: y\n", "3:1 F001 YAML: a `:` is missing after the key"),
        ("a: [1, 2\nb: 3\n", "2:2 F001 YAML: expected ',' or ']', but got ':'"),
        ("a: 'x\n", "2:1 F001 YAML: the text ends within quotes; close the quote"),
        (
            "a: 1\n b: 2\n",
            "2:3 F001 YAML: a `:` is not expected here; write a value that holds `: ` in quotes",
        ),
        ("a: *b\n", "1:4 F001 YAML: found undefined alias 'b'"),
        (
            "a: 1\n---\nb: 2\n",
            "2:1 F001 YAML: a second document begins here; a file is one document",
        ),
        ("a: {{ x }}\n", "1:5 F001 this cannot be a key; write a template in quotes"),
        (
            "a: @x\n",
            "1:4 F001 YAML: found character '@' that cannot start any token; write a value "
            "that begins with `@` in quotes",
        ),
        ("a: &a [*a]\n", "1:4 F001 this value holds itself"),
        (
            "a: 2022-13-45\n",
            "1:4 F001 '2022-13-45' is a date in form but not in fact; write it in quotes",
        ),
        ("a: {<<: !!set {b}}\n", "1:9 F001 `<<` takes a mapping or a list of them"),
        ('a: "\\U7fffffff"\n', "1:7 F001 YAML: found invalid Unicode character escape code"),
        ("a: " + "[" * 200 + "]" * 200, "1:104 F001 nested deeper than 100 levels"),
        ("a: [\n" + "x,\n" * 80_000, "80002:1 F001 YAML: did not find expected node content"),
        ("dependencies: [null]\n", "1:16 F014 dependencies[0] must be a text, not empty"),
        ("a: {<<: 1}\n", "1:9 F001 `<<` takes a mapping or a list of them"),
        ("a: 'x\x07'\n", "1:6 F001 YAML: special characters are not allowed"),
        (
            "a: 1" + ":1" * 9999,
            "1:4 F001 a number of more than 500 digits is too large; write it in quotes",
        ),
        ("- a\n", "1:1 F003 keys and values are expected here, such as `retries: 2`, not a list"),
        (
            "words\n",
            "1:1 F003 keys and values are expected here, such as `retries: 2`, not 'words'",
        ),
        (
            "a: 1\nb: 2\na: 3\n",
            "3:1 F007 'a' stands here a second time, and this one counts; the first is on line 1",
        ),
        ("on: x\n", "1:1 F013 key on is read as True, which is no name; write it in quotes"),
        ("dependencies: extract\n", "1:1 F014 dependencies must be a list of names, not 'extract'"),
        ("dependencies: [a, {b: c}]\n", "1:19 F014 dependencies[1] must be a text, not {'b': 'c'}"),
        (
            "external_dependencies: other\n",
            "1:1 F014 external_dependencies must be a list of `flow: task` or `flow: {tasks: "
            "[...]}`, not 'other'",
        ),
        (
            "external_dependencies:\n- other\n",
            "2:3 F014 external_dependencies[0] must be `flow: task`, not 'other'",
        ),
        ("operator: 5\n", "1:1 F014 operator must be a text or the name of a function, not 5"),
        (
            "multi_task_spec: [a]\n",
            "1:1 F014 multi_task_spec must be ids of tasks and keys, not ['a']",
        ),
        (
            "python_callable_partials:\n  a: 1\n",
            "2:3 F014 python_callable_partials.a must be keys and values, not 1",
        ),
    ],
)
def test_mistake_in_yaml(tmp_path: Path, text: str, problem: str) -> None:
    assert wrong_in(tmp_path, "a.yml", text) == [f"a.yml:{problem}"]


def test_position_is_that_of_the_file_behind_comment_marks(tmp_path: Path) -> None:
    text = '"""Doc."""\n# ---\n# operator: x\n# retries: 1: 2\n# ---\n'

    assert wrong_in(tmp_path, "a.py", text) == [
        "a.py:4:13 F001 YAML: a `:` is not expected here; write a value that holds `: ` in quotes"
    ]


@pytest.mark.parametrize("text", ["a: " + "[" * 30_000, "- " * 30_000, "{a: " * 30_000])
def test_nesting_without_end_is_refused_before_the_stack_ends(tmp_path: Path, text: str) -> None:
    assert wrong_in(tmp_path, "a.yml", text) == ["a.yml:1:1 F001 nested deeper than 100 levels"]


def test_aliases_of_aliases_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    assert wrong_in(tmp_path, "a.yml", "\n".join(lines)) == [
        "a.yml:1:1 F005 aliases make more than 100,000 values of this text"
    ]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (
            "all.yml",
            "all.yml:1:1 F015 no task may be called 'all', which stands "
            "for all tasks of a flow; rename the file",
        ),
        (
            "ALL.sql",
            "ALL.sql:1:1 F015 no task may be called 'all', which stands "
            "for all tasks of a flow; rename the file",
        ),
        (
            "a b.yml",
            "a b.yml:1:1 F015 task id 'a b' is not made of letters, "
            "digits, '_', '-' and '.'; rename the file",
        ),
        (
            " .yml",
            " .yml:1:1 F015 task id '' is not made of letters, "
            "digits, '_', '-' and '.'; rename the file",
        ),
    ],
)
def test_name_that_makes_no_id(tmp_path: Path, name: str, problem: str) -> None:
    assert wrong_in(tmp_path, name, "") == [problem]


def test_folder_whose_name_makes_no_id_unless_metadata_gives_another(tmp_path: Path) -> None:
    write(tmp_path, {"a b/x.yml": "operator: x", "c d/METADATA.yml": "group_id: c_d"})

    assert read(tmp_path)[1] == [
        "a b F015 group id 'a b' is not made of letters, "
        "digits, '_', '-' and '.'; rename the folder"
    ]


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (
            "python_callable: laod",
            "2:3 F019 python_callable 'laod' is no function of this file; did you mean 'load'?",
        ),
        (
            "python_callable: xyz",
            "2:3 F019 python_callable 'xyz' is no function of this file; it has load",
        ),
        (
            "extra_callables: {on_success_callback: tell}",
            "2:21 F019 extra_callables.on_success_callback 'tell' is "
            "no function of this file; it has load",
        ),
    ],
)
def test_callable_that_the_file_does_not_have(tmp_path: Path, header: str, problem: str) -> None:
    text = f"# ---\n# {header}\n# ---\ndef load(): ...\n"

    assert wrong_in(tmp_path, "a.py", text) == [f"a.py:{problem}"]


@pytest.mark.parametrize(
    "code",
    [
        "def load(): ...",
        "async def load(): ...",
        "from elsewhere import load",
        "import elsewhere as load",
        "load = print",
        "load: object = print",
        "first, (load, *_) = 1, (print,)",
        "class load: ...",
        "if True:\n    def load(): ...",
        "try:\n    from a import load\nexcept ImportError:\n    load = None",
    ],
)
def test_callable_may_be_anything_that_the_file_binds(tmp_path: Path, code: str) -> None:
    text = f"# ---\n# python_callable: load\n# ---\n{code}\n"

    assert wrong_in(tmp_path, "a.py", text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("def f(:\n    pass\n", "1:7 F027 this Python does not parse: invalid syntax"),
        (
            "# /// other\n# ///\n\n# /// script\n# dependencies = 1\n# ///\n\n# /// open\n",
            "4:1 F033 `dependencies` of the PEP 723 block must be a list of texts",
        ),
        ("x = 1\n  y = 2\n", "2:2 F027 this Python does not parse: unexpected indent"),
        (
            "# /// script\n# dependencies = [1]\n# ///\n",
            "1:1 F033 `dependencies` of the PEP 723 block must be a list of texts",
        ),
        (
            "# /// script\n# requires-python = 3\n# ///\n",
            "1:1 F033 `requires-python` of the PEP 723 block must be a text",
        ),
        (
            "# /// script\n# dependencies = [}\n# ///\n",
            "2:19 F033 the PEP 723 block is no TOML: Invalid value",
        ),
        (
            "# /// script\n# dependencies = []\nprint(1)\n",
            "1:1 F033 the block `# /// script` is never closed; end it with a line `# ///`",
        ),
        (
            "# /// script\n# ///\n\n# /// script\n# ///\n",
            "4:1 F033 a second block `# /// script` stands here; the first is on line 1",
        ),
    ],
)
def test_mistake_in_python(tmp_path: Path, text: str, problem: str) -> None:
    assert wrong_in(tmp_path, "a.py", text) == [f"a.py:{problem}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "shedule: '@daily'",
            "1:1 F021 key 'shedule' of METADATA is unknown; did you mean 'schedule'?",
        ),
        ("owner: me\nxyzzy: 1", "2:1 F021 key 'xyzzy' of METADATA is unknown"),
        ("tooltip: x", "1:1 F021 key 'tooltip' has no effect on a flow"),
        ("access_control: {}", "1:1 F021 key 'access_control' has no effect here"),
        ("catchup: 'no'", "1:1 F014 catchup must be true or false, not 'no'"),
        ("tags: daily", "1:1 F014 tags must be a list of texts, not 'daily'"),
        ("root_tasks: begin", "1:1 F014 root_tasks must be a list of names, not 'begin'"),
        ("default_args: 5", "1:1 F014 default_args must be keys and values, not 5"),
        (
            "default_args:\n  retries: -1",
            "2:3 F014 default_args.retries must be a whole number of zero or more, not -1",
        ),
    ],
)
def test_mistake_in_metadata(tmp_path: Path, text: str, problem: str) -> None:
    assert wrong_in(tmp_path, "METADATA.yml", text) == [f"METADATA.yml:{problem}"]


def test_mistake_in_metadata_of_a_group(tmp_path: Path) -> None:
    write(tmp_path, {"a/METADATA.yml": "catchup: true\nprefix_group_id: 1\n"})

    assert read(tmp_path)[1] == [
        "a/METADATA.yml:2:1 F014 prefix_group_id must be true or false, not 1",
        "a/METADATA.yml:1:1 F021 key 'catchup' has no effect on a group",
    ]


def test_keys_of_ones_own_in_metadata_are_marked(tmp_path: Path) -> None:
    assert wrong_in(tmp_path, "METADATA.yml", "_a: 1\nx-b: 2") == []


def test_python_nested_without_end_is_named(tmp_path: Path) -> None:
    (problem,) = wrong_in(tmp_path, "a.py", "x = " + "-" * 100_000 + "1")

    assert problem.startswith("a.py:1:1 F027 this Python does not parse: ")


def test_large_document_is_read_by_the_fast_parser_alone(tmp_path: Path) -> None:
    text = "operator: x\nparams:\n  a: [" + "{b: 1}, " * 2000 + "]\n"

    assert wrong_in(tmp_path, "a.yml", text) == []


def test_texts_that_are_rendered_later_may_stand_anywhere(tmp_path: Path) -> None:
    text = "dependencies: '{{ all }}'\nmulti_task_spec: '{{ specs }}'\n"

    assert wrong_in(tmp_path, "a.yml", text) == []


def test_metadata_is_read_without_what_is_wrong_in_it(tmp_path: Path) -> None:
    text = "owner: ann\ntags: daily\ndefault_args: {retries: two, pool: p1}\ndescription: |\n  x\n"
    write(tmp_path, {"METADATA.yml": text})

    spec, problems = read(tmp_path)

    assert len(problems) == 2
    assert spec.keys.values == {"owner": "ann", "default_args": {"pool": "p1"}, "description": "x"}
