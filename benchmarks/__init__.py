"""Measurements: `python -m benchmarks` for speed, `python -m benchmarks.size` for what a board has to hold."""
