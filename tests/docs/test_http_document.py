"""The document of HTTP holds each operation."""

import re
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from ostinato.server.api.interface import all_operations
from ostinato.server.api.operations import Operation

ROOT = Path(__file__).resolve().parents[2]


def test_every_operation_is_documented() -> None:
    text = (ROOT / "docs" / "reference" / "http.md").read_text(encoding="utf-8")
    nothing: Any = Mock()
    operations: list[Operation] = list(all_operations(nothing))

    lacking = [f"{each.method} {each.path}" for each in operations]

    assert [name for name in lacking if f"| `{name}` |" not in text] == []


def test_every_metric_is_documented() -> None:
    text = (ROOT / "docs" / "reference" / "http.md").read_text(encoding="utf-8")
    made = re.compile(r"\b(counter|gauge|histogram)\(\s*\"(\w+)\"")
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")]
    names = {
        f"ostinato_{name}{'_total' if kind == 'counter' else ''}"
        for source in sources
        for kind, name in made.findall(source)
    }

    assert sorted(name for name in names if f"`{name}`" not in text) == []
    assert len(names) > 10
