"""Disks whose unsynced writes are lost, torn or reordered at a crash: disk.py; files on them (files.py), SQLite
(sqlite_files.py), an application's database (app_database.py).
"""
