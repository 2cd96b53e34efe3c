"""This module knows what runs a script, by the end of its file's name."""

import functools
import re
import shutil
import subprocess
import sys
from pathlib import Path

from ostinato.errors import ExecutionError

#: What runs a script that names no interpreter. Python shows output when it is written: -u.
INTERPRETERS: dict[str, tuple[str, ...]] = {
    ".sh": ("bash",),
    ".bash": ("bash",),
    ".zsh": ("zsh",),
    ".py": (sys.executable, "-u"),
    ".js": ("node",),
    ".mjs": ("node",),
    ".cjs": ("node",),
    ".pl": ("perl",),
    ".rb": ("ruby",),
    ".R": ("Rscript",),
    ".r": ("Rscript",),
    ".Rmd": ("Rscript", str(Path(__file__).with_name("render_rmd.R"))),
    ".rmd": ("Rscript", str(Path(__file__).with_name("render_rmd.R"))),
    ".jl": ("julia",),
    ".lua": ("lua",),
    ".php": ("php",),
    ".ps1": ("pwsh",),
}

#: Ends of names for which it depends on what is installed.
TYPESCRIPT = frozenset({".ts", ".mts", ".cts"})

#: Programs that run TypeScript as it is, the first that is there.
_RUNNERS = (("tsx",), ("bun",), ("deno", "run", "--allow-all"), ("ts-node",))

#: Called with the file that it may write, the script, and the script's arguments.
_BUNDLE = (
    'js=$0; ts=$1; shift; esbuild "$ts" --bundle --platform=node --sourcemap=inline '
    '--log-level=warning --outfile="$js" && exec node --enable-source-maps "$js" "$@"'
)

#: The first versions of node that drop types when they are told to, and by themselves.
_NODE_WITH_OPTION, _NODE = (22, 6), (22, 18)


def has_interpreter(suffix: str) -> bool:
    """Return whether the end of a file's name says what runs it.

    Args:
        suffix: With its dot.
    """
    return suffix in INTERPRETERS or suffix in TYPESCRIPT


def interpreter_for(suffix: str, folder: Path) -> list[str]:
    """Return the command that runs a script, to which its file and arguments are added.

    Args:
        suffix: End of the file's name, for which ``has_interpreter``.
        folder: Where something may be written that the command needs.

    Raises:
        ExecutionError: Nothing here runs TypeScript.
    """
    if suffix not in TYPESCRIPT:
        return list(INTERPRETERS[suffix])
    for runner in _RUNNERS:
        if shutil.which(runner[0]):
            return list(runner)
    version = _node_version(shutil.which("node"))
    if version >= _NODE:
        return ["node"]
    if version >= _NODE_WITH_OPTION:
        return ["node", "--experimental-strip-types", "--no-warnings"]
    if version and shutil.which("esbuild"):
        return ["sh", "-c", _BUNDLE, str(folder / "bundled.js")]
    raise ExecutionError(
        "nothing here runs TypeScript", hint="install node 22.18 or newer, tsx, bun or deno"
    )


@functools.cache
def _node_version(node: str | None) -> tuple[int, ...]:
    """Return the version of a node, nothing if it is none; asking takes 30 ms."""
    if node is None:
        return ()
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    return tuple(map(int, re.findall(r"\d+", answer.stdout)[:2]))
