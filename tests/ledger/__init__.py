"""The delivery ledger: what is noted, where it is kept, and what two ends come to when they are compared."""
