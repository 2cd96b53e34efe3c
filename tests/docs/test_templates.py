"""docs/reference/templates.md names what templates can use, and nothing else."""

import re
from pathlib import Path

from ostinato.authoring.dag import DAG
from ostinato.authoring.signatures import signature_of
from ostinato.authoring.template_engine import DATE_FILTERS
from ostinato.runtime.context import TaskContext
from ostinato.runtime.current_run import CurrentRun
from ostinato.runtime.macros import Macros

TEXT = (Path(__file__).resolve().parents[2] / "docs/reference/templates.md").read_text()


def rows(heading: str) -> str:
    """Return the first cells of the table with a heading."""
    table = TEXT.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    return "\n".join(line.split("|")[1] for line in table.splitlines()[2:])


def test_every_name_of_the_context_is_documented_and_no_other() -> None:
    properties = {
        name
        for name, member in vars(TaskContext).items()
        if not name.startswith("_") and not callable(member)
    }

    assert set(re.findall(r"`(\w+)`", rows("name"))) == properties


def test_every_macro_is_documented() -> None:
    macros = {name for name in vars(Macros) if not name.startswith("_")}

    assert set(re.findall(r"`macros\.(\w+)", rows("macro"))) == macros


def test_every_filter_is_documented() -> None:
    assert all(f"`{name}`" in TEXT.split("filters of Jinja", 1)[1] for name in DATE_FILTERS)


def test_every_option_of_templates_is_documented() -> None:
    known = re.compile("template|user_defined|jinja")
    options = {name for name in signature_of(DAG.__init__).names if known.search(name)}

    assert set(re.findall(r"`(\w+)`", rows("argument of the flow"))) == options


def test_every_fact_of_the_run_is_documented() -> None:
    row = next(line for line in TEXT.splitlines() if line.startswith("| `run` |"))

    assert set(re.findall(r"`(\w+)`", row)) == {"run", *CurrentRun._fields}
