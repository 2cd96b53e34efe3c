"""Measures how fast Ostinato is, beside the limits of the machine it runs on."""
