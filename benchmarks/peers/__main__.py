"""This module is `python -m benchmarks.peers`: installs the peers, measures, prints the table."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers import report
from benchmarks.peers.catalogue import OURS, PEERS, System, our_programs
from benchmarks.peers.environments import InstallationFailed, open_environment
from benchmarks.peers.measurements import Failure, Figure, measure_hello, measure_workload
from benchmarks.peers.workloads import CHAIN_TASKS, FAN_OUT_TASKS, LARGE_FAN_OUT_TASKS, Measure


def main() -> int:
    options = _parser().parse_args()
    if platform.system() != "Linux":
        sys.exit("benchmarks.peers finds and ends what peers leave behind by /proc: it needs Linux")
    results: list[Figure | Failure] = []
    uninstalled: list[str] = []
    for system in options.only:
        try:
            programs = _open_programs(system)
        except InstallationFailed as err:
            uninstalled.append(f"{system.name}: not installed: {err}")
            _say(uninstalled[-1])
            continue
        for result in _measure(system, programs):
            _say(report.progress(result))
            results.append(result)
    print("\n".join([report.table(results), *uninstalled]))
    if options.json:
        options.json.write_text(json.dumps(report.document(results), indent=2) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description="Measure Ostinato beside other orchestrators that do the same work.",
    )
    names = ",".join(peer.name for peer in PEERS)
    parser.add_argument(
        "--only",
        type=_selected,
        default=(OURS, *PEERS),
        metavar="PEERS",
        help=f"measure these and ours, e.g. {names}; 'ours' alone measures no peer",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    return parser


def _selected(names: str) -> tuple[System, ...]:
    known = {system.name: system for system in (OURS, *PEERS)}
    chosen = dict.fromkeys([OURS.name, *filter(None, map(str.strip, names.split(",")))])
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(known)}")
    return tuple(known[name] for name in chosen)


def _open_programs(system: System) -> Path:
    if system is OURS:
        return our_programs()
    return open_environment(system.name, system.requirements)


def _measure(system: System, programs: Path) -> Iterator[Figure | Failure]:
    """Take all figures of a system, one after the other."""
    for mode in system.modes:
        yield measure_workload(system, programs, Measure.FAN_OUT, mode, tasks=FAN_OUT_TASKS)
        if system is OURS:
            yield measure_workload(
                system, programs, Measure.FAN_OUT, mode, tasks=LARGE_FAN_OUT_TASKS
            )
        yield measure_workload(system, programs, Measure.CHAIN, mode, tasks=CHAIN_TASKS)
    yield measure_hello(system, programs)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
