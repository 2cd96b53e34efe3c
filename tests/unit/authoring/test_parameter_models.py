"""Parameters in full: Param as in Airflow, Pydantic models, and what does not fit."""

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, model_validator

from ostinato import DAG, Param, PythonOperator, dag, task, testing
from ostinato.authoring.parameter_models import ModelParameters
from ostinato.errors import InvalidArgument, ParameterError
from ostinato.model.flow import Parameter


class Window(BaseModel):
    days: int = Field(default=1, ge=1, description="Length in days")


class Load(BaseModel):
    rows: Annotated[int, Field(gt=0, description="How many")]
    mode: str = "append"
    window: Window = Window()
    tags: list[str] = Field(default_factory=list)
    limit: int = Field(default=9, alias="max")

    @model_validator(mode="after")
    def _fits(self) -> "Load":
        if self.mode == "none" and self.rows > 5:
            message = "too many rows for nothing"
            raise ValueError(message)
        return self


def parameter(value: Any) -> Parameter:
    with DAG("etl", params={"x": value}) as flow:
        pass
    return flow.definition.parameters[0]


# Param


def test_all_words_of_param_are_in_its_schema() -> None:
    made = parameter(
        Param(
            5,
            "How many",
            type=["integer", "null"],
            minimum=1,
            maximum=9,
            title="Rows",
            section="Size",
            examples=[1, 5],
            multipleOf=5,
            description_md="*many*",
        )
    )

    assert made.description == "How many"
    assert made.schema == {
        "type": ["integer", "null"],
        "minimum": 1,
        "maximum": 9,
        "title": "Rows",
        "section": "Size",
        "examples": [1, 5],
        "multipleOf": 5,
        "description_md": "*many*",
    }


def test_words_of_param_are_spelled_as_in_python_or_in_json_schema() -> None:
    ours = parameter(Param("ab", type="string", min_length=1, max_length=3))
    theirs = parameter(Param("ab", type="string", minLength=1, maxLength=3))
    whole = parameter(Param("ab", schema={"type": "string", "minLength": 1}, max_length=3))

    assert ours.schema == theirs.schema == whole.schema
    lists = parameter(Param([1], type="array", min_items=1, max_items=2))
    assert lists.schema == {"type": "array", "minItems": 1, "maxItems": 2}


def test_words_that_are_none_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"'minimun' \(did you mean 'minimum'\?\)"):
        Param(1, minimun=1)


def test_a_default_that_does_not_fit_is_refused() -> None:
    message = r"test_parameter_models.py:\d+: the default of parameter 'x' does not fit: 0 is less"
    with pytest.raises(InvalidArgument, match=message):
        parameter(Param(0, type="integer", minimum=1))


def test_a_default_of_none_that_does_not_fit_must_be_given() -> None:
    assert parameter(Param(None, type="string")).is_required
    assert not parameter(Param(None, type=["string", "null"])).is_required
    assert not parameter(Param(None)).is_required


def test_an_annotation_with_the_default_none_may_be_left_out() -> None:
    @dag
    def etl(day: str = None) -> None:  # type: ignore[assignment]  # noqa: RUF013 - as people do
        @task
        def show(day: Any) -> Any:
            return [day]

        show(day)

    assert testing.run(etl()).result("show") == [None]


# Models


def test_fields_of_a_model_are_parameters() -> None:
    found = {p.name: p for p in DAG("etl", params=Load).definition.parameters}

    assert list(found) == ["rows", "mode", "window", "tags", "max"]
    assert found["rows"].is_required
    assert found["rows"].description == "How many"
    assert found["rows"].schema["exclusiveMinimum"] == 0
    assert (found["mode"].default, found["tags"].default, found["max"].default) == ("append", [], 9)
    assert found["window"].default == {"days": 1}
    assert found["window"].schema["$defs"]["Window"]["properties"]["days"]["minimum"] == 1


def test_tasks_read_attributes_of_the_model() -> None:
    def show(params: Any) -> list[Any]:
        return [
            params.rows + 1,
            params.window.days,
            params["mode"],
            isinstance(params.window, Window),
            params.limit,
            sorted(params),
            len(params),
        ]

    with DAG("etl", params=Load) as flow:
        PythonOperator(task_id="show", python_callable=show)
        PythonOperator(task_id="text", python_callable=str, op_args=["{{ params.window.days }}"])
        PythonOperator(
            task_id="own",
            python_callable=lambda params: [params.extra, params["extra"], params.rows],
            params={"extra": 1},
        )

    run = testing.run(flow, params={"rows": 4, "window": {"days": 2}, "max": 3})

    names = ["limit", "mode", "rows", "tags", "window"]
    assert run.result("show") == [5, 2, "append", True, 3, names, 5]
    assert run.result("text") == "2"
    assert run.result("own") == [1, 1, 4]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "flow 'etl' needs the parameter 'rows'"),
        ({"rows": 0}, "parameter 'rows' of flow 'etl': 0 is not more than 0"),
        ({"rows": 1, "window": {"days": 0}}, "parameter 'window' of flow 'etl': days: 0 is less"),
        ({"rows": 9, "mode": "none"}, "the parameters of flow 'etl': Value error, too many rows"),
    ],
)
def test_values_that_the_model_refuses_are_named_at_launch(
    params: dict[str, Any], message: str
) -> None:
    flow = DAG("etl", params=Load)

    with pytest.raises(ParameterError, match=message):
        testing.run(flow, params=params)


def test_values_are_validated_again_in_the_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refusing = False

    class Moody(BaseModel):
        rows: int = 1

        @model_validator(mode="after")
        def _fits(self) -> "Moody":
            if refusing:
                message = "not today"
                raise ValueError(message)
            return self

    @task(retries=3)
    def work() -> None:
        return None

    with DAG("etl", params=Moody) as flow:
        work()
    monkeypatch.setattr("ostinato.testing.memory.validated", lambda *_: None)
    refusing = True

    run = testing.run(flow)

    assert "the parameters of flow 'etl': Value error, not today" in str(
        run.task_run("work").failure
    )
    assert run.attempts("work") == 1


def test_a_class_that_is_no_model_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="neither a dict nor a Pydantic model"):
        DAG("etl", params=dict)


def test_parameters_of_a_model_know_what_they_do_not_have() -> None:
    params = ModelParameters(Load(rows=1), {})

    assert repr(params).startswith("Load(rows=1")
    with pytest.raises(KeyError):
        params["model_dump"]
    with pytest.raises(AttributeError):
        params.nothing  # noqa: B018 - asking is the test
