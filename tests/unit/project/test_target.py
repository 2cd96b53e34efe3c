"""This module tests how people name what is to be run."""

from pathlib import Path

import pytest

from ostinato.errors import UnknownFlow, UsageError
from ostinato.model.flow import FlowDefinition
from ostinato.model.manifest import DefinitionProblem, Manifest
from ostinato.project.target import Target, choose_flow, parse_target


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "etl.py").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_targets(folder: Path) -> None:
    etl = folder / "flows" / "etl.py"

    assert parse_target("") == Target()
    assert parse_target("flows/etl.py") == Target(path=etl)
    assert parse_target("flows/etl.py:nightly") == Target(path=etl, flow="nightly")
    assert parse_target("flows") == Target(path=folder / "flows")
    assert parse_target("flows:nightly") == Target(path=folder / "flows", flow="nightly")
    assert parse_target("shop.flows") == Target(module="shop.flows")
    assert parse_target("shop.flows:nightly") == Target(module="shop.flows", flow="nightly")
    assert parse_target("shop:nightly") == Target(module="shop", flow="nightly")
    assert parse_target("nightly") == Target(flow="nightly")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flows/elt.py", "there is no file flows/elt.py (did you mean 'etl.py'?)"),
        ("flow/etl.py", "there is no file flow/etl.py (there is no folder flow)"),
        ("xyz.py:nightly", "there is no file xyz.py"),
        ("a/b", "there is no file a/b (there is no folder a)"),
    ],
)
def test_missing_file_is_said(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_target(text)

    assert str(caught.value) == message


def manifest(*names: str, problems: tuple[DefinitionProblem, ...] = ()) -> Manifest:
    return Manifest("shop", tuple(map(FlowDefinition, names)), problems)


def test_only_flow_is_meant_when_none_is_named() -> None:
    assert choose_flow(manifest("etl"), Target()).name == "etl"


def test_named_flow_is_meant() -> None:
    assert choose_flow(manifest("etl", "report"), Target(flow="report")).name == "report"


def test_several_flows_and_no_name_is_refused() -> None:
    with pytest.raises(UsageError, match=r"2 flows, and none was named \(name one of a, b\)"):
        choose_flow(manifest("b", "a"), Target())


@pytest.mark.parametrize(
    ("names", "flow", "message"),
    [
        (["etl", "report"], "reprot", "there is no flow 'reprot' (did you mean 'report'?)"),
        (["etl", "report"], "xyz", "there is no flow 'xyz' (there are etl, report)"),
        ([], "xyz", "there is no flow 'xyz' (no flow is declared there)"),
        ([], "", "no flow is declared there (a @dag function must be called once)"),
    ],
)
def test_unknown_flow_is_refused_with_a_guess(names: list[str], flow: str, message: str) -> None:
    with pytest.raises(UnknownFlow) as caught:
        choose_flow(manifest(*names), Target(flow=flow))

    assert str(caught.value) == message


def test_flow_that_could_not_be_loaded_is_not_said_to_be_undeclared() -> None:
    problem = DefinitionProblem("load", "SyntaxError", "etl.py", 1)

    with pytest.raises(UnknownFlow, match="no flow could be loaded"):
        choose_flow(manifest(problems=(problem,)), Target())
