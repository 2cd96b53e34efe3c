"""From the text of an operator to its class."""
