"""What a shop sold, each hour."""

from datetime import datetime

from ostinato import dag, task


@task
def wanted(countries: list[str]) -> list[str]:
    """Decide which countries to look at."""
    return sorted(countries)


@task(pool="warehouse", retries=3, retry_delay="30s")
def fetch(country: str) -> list[int]:
    """Return the amounts of a country's orders."""
    return [len(country), 20, 12]


@task
def total(amounts: list[int]) -> int:
    """Add up amounts."""
    return sum(amounts)


@task
def report(totals: list[int]) -> str:
    """Say what all countries sold."""
    return f"sold {sum(totals)}"


@dag(schedule="@hourly", start_date=datetime(2025, 1, 1), max_active_runs=2)
def orders(countries: list[str] = ["DE", "FR", "US"]) -> None:  # noqa: B006 - a parameter's default
    """Fetch and add up the orders of some countries."""
    report(total.expand(amounts=fetch.expand(country=wanted(countries))))


orders()
