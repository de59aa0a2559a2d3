"""Chaos: clients and brokers as real processes under the same seeded faults, ours beside those that others use.

`python -m benchmarks.chaos` (`make chaos`). plan.py draws the faults, pairs.py says who runs, run.py does one run,
counts.py counts what became of the messages, report.py writes the table.
"""
