"""Runs fourteen days of the pipeline, then says what is there: this is ``make demo``."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent
DATA = PROJECT / "data"
DAYS = "2013-01-01..2013-01-14"


def main() -> int:
    """Run the days and print the tables; return the exit code of the runs."""
    command = [sys.executable, "-m", "ostinato", "run", "nyc_flights", "--date", DAYS]
    code = subprocess.run(command, cwd=PROJECT, check=False).returncode
    if code == 0:
        print_tables()
        print_next_steps()
    return code


def print_tables() -> None:
    """Print the tables of the warehouse with their row counts."""
    import duckdb

    with duckdb.connect(str(DATA / "nyc_flights.duckdb"), read_only=True) as connection:
        names = [row[0] for row in connection.execute("show tables").fetchall()]
        counts = {
            name: connection.execute(f"select count(*) from {name}").fetchall()[0][0]
            for name in names
        }
    width = max(map(len, counts))
    print(f"\n{'table'.ljust(width)}      rows")
    for name, count in counts.items():
        print(f"{name.ljust(width)}  {count:>8,}")


def print_next_steps() -> None:
    """Print where to look, as it must be typed from here."""
    folder = os.path.relpath(PROJECT)
    print(f"\nThe dashboard: {os.path.relpath(DATA / 'dashboard.html')}")
    print("\nGo on with:")
    print(f"  cd {folder}")
    for arguments in ("runs", "show last", "artifacts", "run nyc_flights --date 2013-01-15"):
        print(f"  {executable()} {arguments}")


def executable() -> str:
    """Return the command line tool as it can be typed in the project's folder."""
    beside = Path(sys.executable).with_name("ostinato")
    if shutil.which("ostinato") == str(beside) or not beside.exists():
        return "ostinato"
    return os.path.relpath(beside, PROJECT)


if __name__ == "__main__":
    sys.exit(main())
