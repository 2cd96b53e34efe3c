"""Inside the process of a task: context, values, logs, messages."""
