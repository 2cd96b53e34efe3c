"""Which task runs a person means who wants parts of a run executed again."""

import pytest

from ostinato.coordinator.retrying import Choice, choose
from ostinato.errors import UnknownTask
from ostinato.model.flow import GroupDefinition
from tests.unit.engine.driving import Driven, expansion, flow, task


def ended() -> Driven:
    group = GroupDefinition("g", "", expansion(2))
    run = Driven(
        flow(task("a"), task("g.m", group="g"), task("g.n", group="g"), task("z"), groups=(group,),
             edges="a>g.m g.m>g.n g.n>z")
    )  # fmt: skip
    run.succeed("a")
    run.succeed("g.m", 0)
    run.fail("g.m", 1)
    run.succeed("g.n", 0)
    return run


def cleared(choice: Choice) -> list[str]:
    run = ended()
    return [str(one.key) for one in run.machine.would_clear(*choose(run.machine, choice))]


def test_what_failed_is_meant_if_nothing_is_named() -> None:
    assert cleared(Choice()) == ["g.m[1]", "g.n[1]", "z"]


def test_whole_takes_what_is_downstream_and_alone_does_not() -> None:
    assert cleared(Choice(whole=("g.m",))) == ["g.m[0]", "g.m[1]", "g.n[0]", "g.n[1]", "z"]
    assert cleared(Choice(alone=("g.m[0]",))) == ["g.m[0]"]
    assert cleared(Choice(whole=("g.n[0]",), alone=("a",))) == ["a", "g.n[0]", "z"]


def test_selections_are_understood() -> None:
    assert cleared(Choice(alone=("group:g and not g.m", "a"))) == ["a", "g.n[0]", "g.n[1]"]


def test_upstream_goes_by_the_same_index() -> None:
    assert cleared(Choice(alone=("g.n[1]",), with_upstream=True)) == ["a", "g.m[1]", "g.n[1]"]


def test_downstream_makes_alone_whole() -> None:
    assert cleared(Choice(alone=("g.n",), with_downstream=True)) == ["g.n[0]", "g.n[1]", "z"]


def test_only_what_failed_of_it() -> None:
    assert cleared(Choice(whole=("a",), failed_only=True)) == ["g.m[1]", "g.n[1]", "z"]
    assert cleared(Choice(alone=("g.m", "a"), failed_only=True)) == ["g.m[1]"]


@pytest.mark.parametrize("name", ["nobody", "nobody[1]", "a[3]", "g.m[7]"])
def test_what_there_is_not_cannot_be_chosen(name: str) -> None:
    with pytest.raises(UnknownTask):
        cleared(Choice(whole=(name,)))
