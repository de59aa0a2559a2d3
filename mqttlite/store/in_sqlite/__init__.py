"""One SQLite file that is a store: what stands around it on the disk, and how it is opened and read. CPython only.

sqlite_file      locked, checked, migrated; batches of records in, a state out
sqlite_found     what lies at the path before it is opened    sqlite_leftovers   what a process has left that died
sqlite_reading   reads without changing, also while open      sqlite_beside      a second connection that only reads
sqlite_wal       a WAL read for damage                        sqlite_reserve     room on the disk

What is in the file: tables/. Who commits to it, and when: sqlite.py.
"""
