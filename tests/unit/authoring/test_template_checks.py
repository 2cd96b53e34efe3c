"""This module tests which templates are looked at when a flow is built."""

import pytest

from ostinato import DAG
from ostinato.authoring import template_checks
from ostinato.authoring.template_engine import Engine
from ostinato.authoring.templates import is_sound
from ostinato.errors import TemplateError
from ostinato.operators import BashOperator

SOUND = ["{{ ds }}", "a {{- params.x.y -}} b {{ds}}", "{{ ds }}{ }} %}"]
NOT_FOR_SURE = [
    "words",
    "{{ ds",
    "{{ }}",
    "{{ ds | upper }}",
    "{{ f() }}",
    "{{ a['b'] }}",
    "{{ ds }}{% if x %}",
    "{{ ds }}{# x",
    "{{{ ds }}}",
    "{{ not }}",
    "{{ if }}",
    "{{ 1 }}",
    "{{ ds }} {{",
]


@pytest.mark.parametrize("text", SOUND)
def test_names_alone_are_sound_and_the_engine_agrees(text: str) -> None:
    engine = Engine([], macros={}, filters={}, is_native=False, options={})

    assert is_sound(text)
    engine.compile(text)


@pytest.mark.parametrize("text", NOT_FOR_SURE)
def test_all_else_is_left_to_the_engine(text: str) -> None:
    assert not is_sound(text)


def test_beyond_a_number_sound_templates_wait_for_their_attempts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[str] = []
    compile_text = Engine.compile
    monkeypatch.setattr(template_checks, "MAX_COMPILED", 3)

    def noting(self: Engine, text: str) -> object:
        compiled.append(text)
        return compile_text(self, text)

    monkeypatch.setattr(Engine, "compile", noting)

    with DAG("shop") as dag:
        for number in range(6):
            BashOperator(task_id=f"t{number}", bash_command=f"echo {{{{ ds }}}} {number}")
        BashOperator(task_id="last", bash_command="echo {{ ds | lower }}")
    assert dag.definition.name == "shop"
    assert [text[-1] for text in compiled] == ["0", "1", "2", "}"]


def test_a_template_that_is_wrong_is_found_however_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(template_checks, "MAX_COMPILED", 0)

    with DAG("shop") as dag:
        BashOperator(task_id="a", bash_command="echo {{ ds | nosuch }}")

    with pytest.raises(TemplateError, match="nosuch"):
        _ = dag.definition
