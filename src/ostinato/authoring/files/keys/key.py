"""This module says what a key of front matter or ``METADATA.yml`` is."""

from typing import NamedTuple

from ostinato.authoring.files.keys.kinds import Kind

#: Where a key stands: a task's front matter; the METADATA.yml of a flow's own folder; that of a
#: folder beneath it.
TASK, FLOW, GROUP = "task", "flow", "group"


class Key(NamedTuple):
    """One key.

    Attributes:
        name: As it is written.
        scopes: Where it may stand.
        kind: What it may hold; nothing (null) counts as absent and is always let through.
        doc: What it says, in a sentence for the reference.
        default: What holds without it, in words or as YAML; empty for nothing.
        example: A line or two of YAML.
        alias_of: The key that says the same, where this one is another orchestrator's name.
    """

    name: str
    scopes: tuple[str, ...]
    kind: Kind
    doc: str
    default: str = ""
    example: str = ""
    alias_of: str = ""
