"""What decides whether all is well, in small worlds and large ones: ledger.py looks at messages as applications see
them, conduct.py at packets, alarms.py at the log, audit.py at what is left over.
"""
