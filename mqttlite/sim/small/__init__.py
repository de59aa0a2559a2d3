"""Small worlds (small.py) and what runs in them (steps.py, run.py), those with a gateway's bridge in the middle
(bridge.py), the faults that they can have (faults.py, placing.py, circumstances.py), and both together (schedule.py),
as with those of features/. All of them are gone through by benchmarks/simulate.py.
"""
