"""This module is the hello run of Prefect."""
# mypy: disable-error-code="import-not-found,untyped-decorator"
# Prefect is in an environment of its own.

from prefect import flow, task


@task
def greet() -> None:
    print("hello")


@flow
def hello() -> None:
    greet()


if __name__ == "__main__":
    hello()
