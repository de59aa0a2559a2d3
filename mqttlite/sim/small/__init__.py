"""Small worlds (small.py) and what runs in them (run.py), the faults that they can have (faults.py, placing.py,
circumstances.py), all of them one after the other (explore.py), and the named ones among them (points.py).
"""
