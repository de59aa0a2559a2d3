"""Small worlds (small.py) and what runs in them (steps.py, run.py), those with a gateway's bridge in the middle
(bridge.py), those with messages in pieces (pieces.py), and the faults that they can have (faults.py, placing.py,
circumstances.py), as those of features/ can.
"""
