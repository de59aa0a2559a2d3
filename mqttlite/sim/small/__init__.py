"""Small worlds (small.py), the faults that they can have (faults.py), all of them one after the other (explore.py),
and the named ones among them (points.py).
"""
