"""What decides whether all is well, in small worlds and large ones: ledger.py looks at messages as applications see
them, conduct.py at packets, times.py at what 5.0 promises of time, sessions.py at sessions after each step, links.py at
when connections begin and end, alarms.py at the log, audit.py at what is left over.
"""
