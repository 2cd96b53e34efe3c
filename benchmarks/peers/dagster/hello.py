"""This module is the hello run of Dagster."""
# mypy: disable-error-code="import-not-found,untyped-decorator"
# Dagster is in an environment of its own.

from dagster import job, op


@op
def greet() -> None:
    print("hello")


@job
def hello_job() -> None:
    greet()
