"""What the broker counts, so that there are bounds for it and an operator sees it.

ledger          the bytes of all that it holds, in one place      histogram       how long something took
stats           counters, and lines of the log at a limit         load_averages   how much a minute, as in Mosquitto

Imports nothing of the broker.
"""
