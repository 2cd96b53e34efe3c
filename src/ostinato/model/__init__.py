"""What is declared: flows, tasks, policies, graphs. Frozen data without I/O."""
