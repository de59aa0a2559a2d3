"""Seeded fuzzing of what reads bytes from strangers. Each module is a program: `python -m fuzz.core --seconds 60`."""
