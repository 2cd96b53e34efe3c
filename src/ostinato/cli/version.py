"""This module tells which version is installed."""


def installed_version() -> str:
    """Return the line that ``--version`` prints."""
    # Heavier than all else that this command needs, so read when asked for only.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"ostinato {version('ostinato')}"
    except PackageNotFoundError:
        return "ostinato, from sources that are not installed"
