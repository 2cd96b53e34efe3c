# ---
# dependencies: [datamart]
# ---
"""Draw the dashboard over all days that the marts have."""

from nyc import warehouse


def main(ds: str) -> str:
    """Write the page."""
    from nyc.dashboard import write_dashboard  # imports plotly, which only this task needs

    page = warehouse.DATA / "dashboard.html"
    with warehouse.open_for_day(ds, read_only=True) as connection:
        write_dashboard(connection, page)
    return str(page)
