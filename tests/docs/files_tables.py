"""This module writes the tables of docs/reference/files.md from the code's; run it to see them."""

from ostinato.authoring.files.codes import CODES
from ostinato.authoring.files.keys.asset_keys import ASSET_KEYS
from ostinato.authoring.files.keys.key import FLOW, GROUP, TASK, Key
from ostinato.authoring.files.keys.metadata_keys import METADATA_KEYS
from ostinato.authoring.files.keys.policy_keys import POLICY_KEYS
from ostinato.authoring.files.keys.task_keys import TASK_KEYS

_HEAD = "| key | may hold | default | example | |\n| --- | --- | --- | --- | --- |\n"


def tables() -> dict[str, str]:
    """Return the tables by the heading that they stand under."""
    every = (*TASK_KEYS, *METADATA_KEYS, *POLICY_KEYS, *ASSET_KEYS)
    return {
        "What a task is": _table(TASK_KEYS, TASK),
        "How a task is run": _table(POLICY_KEYS, TASK),
        "What a task makes, and when": _table(ASSET_KEYS, TASK),
        "METADATA.yml of a flow": _table(every, FLOW),
        "METADATA.yml of a group": _table(every, GROUP),
        "Codes": _codes(),
    }


def _table(keys: tuple[Key, ...], scope: str) -> str:
    return _HEAD + "\n".join(_row(key) for key in keys if scope in key.scopes)


def _row(key: Key) -> str:
    example = "<br>".join(f"`{line}`" for line in key.example.splitlines())
    doc = f"As `{key.alias_of}`." if key.alias_of else key.doc
    cells = (f"`{key.name}`", key.kind.says, key.default or "—", example, doc)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _codes() -> str:
    rows = [
        f"| `{name}` | {code.severity} | {code.under_strict} | {code.meaning} |"
        for name, code in CODES.items()
    ]
    return "| code | | under `strict` | |\n| --- | --- | --- | --- |\n" + "\n".join(rows)


if __name__ == "__main__":
    for heading, table in tables().items():
        print(f"## {heading}\n\n{table}\n")
