"""This module tells where each operator is found, by the name of its class."""

#: Names of classes by their module, below ``ostinato.authoring``.
HOMES = {
    "operators.bash": ("BashOperator",),
    "operators.bash_sensor": ("BashSensor",),
    "operators.branch": (
        "BranchOperator",
        "BranchPythonOperator",
    ),
    "operators.branch_date_time": ("BranchDateTimeOperator",),
    "operators.branch_day_of_week": ("BranchDayOfWeekOperator",),
    "operators.email": ("EmailOperator",),
    "operators.empty": ("EmptyOperator",),
    "operators.external_task_sensor": ("ExternalTaskSensor",),
    "operators.file_sensor": ("FileSensor",),
    "operators.http": (
        "HttpOperator",
        "HttpSensor",
        "SimpleHttpOperator",
    ),
    "operators.latest_only": ("LatestOnlyOperator",),
    "operators.moment_sensors": (
        "DateTimeSensor",
        "DayOfWeekSensor",
        "TimeDeltaSensor",
        "TimeSensor",
    ),
    "operators.notebook": ("NotebookOperator",),
    "operators.operator": (
        "BaseOperator",
        "Operator",
    ),
    "operators.other_python": (
        "ExternalPythonOperator",
        "PythonVirtualenvOperator",
    ),
    "operators.person": (
        "ApprovalOperator",
        "InputOperator",
    ),
    "operators.python": ("PythonOperator",),
    "operators.script": ("ScriptOperator",),
    "operators.seed": ("SeedOperator",),
    "operators.sensor": (
        "BaseSensorOperator",
        "PokeReturn",
        "PythonSensor",
        "Sensor",
    ),
    "operators.short_circuit": ("ShortCircuitOperator",),
    "operators.sql": (
        "SQLExecuteQueryOperator",
        "SqlOperator",
        "SqlSensor",
    ),
    "operators.sql_model": ("SqlModelOperator",),
    "operators.trigger_run": (
        "TriggerDagRunOperator",
        "TriggerRunOperator",
    ),
    "weekdays": ("WeekDay",),
}

#: Module below ``ostinato.authoring`` by the name of a class.
MODULES = {name: module for module, names in HOMES.items() for name in names}
