"""This module tells which version is installed."""


def installed_version() -> str:
    """Return the line that ``--version`` prints."""
    number = version_number()
    return f"ostinato {number}" if number else "ostinato, from sources that are not installed"


def version_number() -> str:
    """Return the number of the version; empty where it is not installed."""
    # Heavier than all else that commands need, so read when asked for only.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ostinato")
    except PackageNotFoundError:
        return ""
