"""The pure state machine: (state, event) to (state, commands)."""
