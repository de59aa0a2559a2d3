"""What is in an SQLite file that is a store: tables, and what records change in them. CPython only.

sqlite_schema   the log of batches beside the tables, and how it is carried over
batches         batches of records as bytes, as that log has them
sqlite_tables   of a client's store
broker_tables   of a broker's: sessions, retained messages, wills
broker_blocks   what is queued in its sessions            queue_tables   named queues and streams
"""
