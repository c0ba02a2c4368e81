"""Measurements of Koban, beside peers where there are any. `make bench` runs all and prints a table."""
