"""Large worlds, drawn at random: plan.py says of what, programs.py what runs there, faults.py what goes wrong,
ledger.py what is promised; large.py puts it together.
"""
