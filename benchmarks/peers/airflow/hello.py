"""This module is the hello run of Airflow."""
# mypy: disable-error-code="import-not-found,untyped-decorator"
# Airflow is in an environment of its own.

from airflow.sdk import dag, task


@task
def greet() -> None:
    print("hello")


@dag(schedule=None)
def hello() -> None:
    greet()


hello()
