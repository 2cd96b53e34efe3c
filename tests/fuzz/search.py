"""This script searches for bytes that break the loader of files, by the branches they reach.

``python -m tests.fuzz.search FOLDER -max_total_time=60``; further options are those of libFuzzer.
"""

import os
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ostinato.authoring.files"]):
    from tests.fuzz.loading import NAMES, PARTS, QUERIES, check, check_flow


def main() -> None:
    """Search from each part in a file of each type."""
    folder = Path(sys.argv[1]).resolve()
    os.chdir(folder)
    corpus = folder / "corpus"
    corpus.mkdir()
    for index, part in enumerate((*PARTS, *QUERIES)):
        for number in range(2 * len(NAMES)):
            seed = bytes([number]) + part.encode()
            (corpus / f"{index}_{number}").write_bytes(seed)
    work = folder / "work"
    work.mkdir()

    def one_input(data: bytes) -> None:
        if data:
            name = NAMES[data[0] % len(NAMES)]
            # A flow takes longer than its files, and fewer inputs make one.
            (check_flow if data[0] // len(NAMES) % 2 else check)(work, name, data[1:])

    atheris.Setup([sys.argv[0], str(corpus), *sys.argv[2:]], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
