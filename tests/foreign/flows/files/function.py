# ---
# python_callable: main
# dependencies: [orders]
# ---
"""Check the day of the run in a function."""

from datetime import date

FORMAT = "%Y-%m-%d"


def main(ds: str, params: dict[str, int]) -> dict[str, str]:
    assert date.fromisoformat(ds).strftime(FORMAT) == ds
    assert params["least"] == 2
    return {"day": ds}
