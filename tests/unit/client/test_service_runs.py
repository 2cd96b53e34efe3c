"""This module tests what runs of a service say of the code that they are made by."""

from pathlib import Path

import msgspec

from ostinato.client.service_runs import ServiceRuns
from ostinato.model.flow import FlowDefinition
from ostinato.project.discovery import find_project
from ostinato.project.target import Target

OLD, NEW = "a" * 40, "b" * 40


def test_commit_of_a_run_is_that_of_its_definitions(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "ostinato.yaml").write_text("name: shop\n")
    runs = ServiceRuns(find_project(Target(path=tmp_path)))

    def commit(version: str) -> str:
        new = runs.new(
            FlowDefinition("etl"), version, {}, trigger="schedule", date_us=0, logical_key="k"
        )
        assert (new.home, new.logical_key) == ("service", "k")
        return str(msgspec.json.decode(new.code)["commit"])

    (tmp_path / ".git" / "HEAD").write_text(OLD)
    assert commit("v1") == OLD

    (tmp_path / ".git" / "HEAD").write_text(NEW)

    assert commit("v2") == NEW
    assert commit("v1") == OLD
