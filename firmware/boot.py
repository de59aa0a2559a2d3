"""Runs first after each reset, before main.py: this start is counted before anything can go wrong."""

import boots  # noqa: F401 (it counts when it is imported)
