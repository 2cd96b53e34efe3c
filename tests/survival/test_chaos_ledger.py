"""The judge of the chaos tests sees what it is there to see."""

from tests.survival.chaos_ledger import Line, findings


def line(word: str, place: str, *, flow: str = "chain_1", attempt: int = 1) -> Line:
    return Line(word, flow, "7", place, attempt, 1000)


def test_a_run_that_went_well_is_no_finding() -> None:
    lines = [line("ran", "0"), line("ran", "1"), line("ran", "1", attempt=2), line("ran", "2")]

    assert findings(lines, {"7": "chain_1"}) == []


def test_a_task_that_ran_after_the_next_one_is_found() -> None:
    [found] = findings([line("ran", "0"), line("ran", "1"), line("ran", "0")], {})

    assert found.startswith("a recorded task ran again")


def test_a_step_that_ran_after_its_result_was_there_is_found() -> None:
    lines = [line(word, "0", flow="saga_1") for word in ("ran", "ran", "got", "ran")]

    [found] = findings(lines, {})

    assert found.startswith("a recorded step ran again")


def test_a_task_that_never_ran_is_found() -> None:
    [found] = findings([line("ran", "0"), line("ran", "2")], {"7": "chain_1"})

    assert found == "run 7 of chain_1 succeeded without ['1']"


def test_what_tasks_notice_themselves_is_found() -> None:
    found = findings([line("twice", "run-7.0:55"), line("over", "narrow.0:55")], {})

    assert len(found) == 2
