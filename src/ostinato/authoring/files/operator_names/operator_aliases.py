"""This module lists Airflow's operators that are called otherwise here."""

#: Classes of Airflow that are called otherwise here.
ALIASES = {
    "BashSensorAsync": "BashSensor",
    "DateTimeSensorAsync": "DateTimeSensor",
    "DruidOperator": "SqlOperator",
    "DummyOperator": "EmptyOperator",
    "ExternalTaskMarker": "EmptyOperator",
    "FileSensorAsync": "FileSensor",
    "HttpSensorAsync": "HttpSensor",
    "JdbcOperator": "SqlOperator",
    "MsSqlOperator": "SqlOperator",
    "MySqlOperator": "SqlOperator",
    "OracleOperator": "SqlOperator",
    "PapermillOperator": "NotebookOperator",
    "PostgresOperator": "SqlOperator",
    "SnowflakeOperator": "SqlOperator",
    "SqliteOperator": "SqlOperator",
    "TimeDeltaSensorAsync": "TimeDeltaSensor",
    "TimeSensorAsync": "TimeSensor",
    "TrinoOperator": "SqlOperator",
}
