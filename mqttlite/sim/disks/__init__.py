"""Disks whose unsynced writes are lost, torn or reordered at a crash: disk.py; on them SQLite (sqlite_files.py) and
an application's database (app_database.py).
"""
