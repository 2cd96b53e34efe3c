"""Every block of Python in the documents runs, and their tables say what the code says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ostinato import operators
from ostinato.authoring.policies import ALIASES, POLICY_NAMES
from ostinato.model.policy import TriggerRule

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: Guides whose blocks build on each other; tests of their own follow them.
FOLLOWED = [ROOT / "docs" / "guides" / "files.md"]
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_ANCHOR = re.compile(r"\]\((?!https?://)([^)#]*)#([^)]+)\)")
_LINK = re.compile(r"\]\((?!https?://)([^)#]+)\)")

ALL_BLOCKS = [
    pytest.param(block, id=f"{path.relative_to(ROOT)}:{number}")
    for path in DOCUMENTS
    if path not in FOLLOWED
    for number, block in enumerate(_BLOCK.findall(path.read_text()), 1)
]


def is_foreign(block: str) -> bool:
    """Return whether a block shows what users of Airflow or Prefect write; it is not run."""
    return re.search(r"^from (airflow|prefect)\b", block, re.MULTILINE) is not None


BLOCKS = [param for param in ALL_BLOCKS if not is_foreign(str(param.values[0]))]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_python_runs(block: str, tmp_path: Path) -> None:
    file = tmp_path / "block.py"
    # A flow that a block ends with is run, so that its tasks are tried too.
    tried = "if hasattr(globals().get('flow'), 'run'):\n    flow.run().raise_for_state()\n"
    file.write_text(f"{block}\n{tried}")

    done = subprocess.run(
        [sys.executable, str(file)],
        cwd=tmp_path,
        env={"OSTINATO_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("other", ["airflow", "prefect"])
def test_idioms_stand_side_by_side(other: str) -> None:
    text = (ROOT / "docs" / "guides" / f"coming-from-{other}.md").read_text()
    idioms = re.findall(r"^## \d+\. .*?(?=^## )", text, re.MULTILINE | re.DOTALL)

    assert len(idioms) >= 12
    for idiom in idioms:
        theirs, ours = _BLOCK.findall(idiom)[:2]
        assert is_foreign(theirs)
        assert "from ostinato import" in ours
        compile(theirs, f"{other}.py", "exec")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    broken = [link for link in _LINK.findall(path.read_text()) if not (path.parent / link).exists()]

    assert broken == []


def anchors_of(path: Path) -> set[str]:
    """Return the anchors that a page gets from its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _CODE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_headings_lead_to_one(path: Path) -> None:
    broken = [
        f"{page}#{anchor}"
        for page, anchor in _ANCHOR.findall(path.read_text())
        if anchor not in anchors_of(path.parent / page if page else path)
    ]

    assert broken == []


def test_every_policy_is_documented() -> None:
    text = (ROOT / "docs" / "reference" / "authoring.md").read_text()
    table = text.partition("## Policies of a task")[2].partition("## Trigger rules")[0]
    documented = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\|[^|]*\|", table, re.M))))

    assert documented == set(POLICY_NAMES) - set(ALIASES)


def test_every_trigger_rule_is_documented() -> None:
    text = (ROOT / "docs" / "reference" / "authoring.md").read_text()
    table = text.partition("## Trigger rules")[2].partition("## The context")[0]

    assert re.findall(r"^\| `(\w+)`", table, re.M) == [rule.value for rule in TriggerRule]


def test_every_operator_is_documented() -> None:
    text = (ROOT / "docs" / "reference" / "operators.md").read_text()
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))

    # Airflow's other names, and what is no operator, are named where they belong.
    assert [name for name in operators.__all__ if not re.search(rf"\b{name}\b", text)] == []
    named = {each for each in operators.__all__ if is_operator(each)}
    assert set(sections) == named
    assert all(_BLOCK.search(section) for section in sections.values())


def is_operator(name: str) -> bool:
    """Return whether a name of ``ostinato.operators`` is the class's own, and no other name."""
    found = getattr(operators, name)
    return found.__name__ == name and issubclass(found, operators.Operator)
