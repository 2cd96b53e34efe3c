"""The document of HTTP holds each operation."""

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
