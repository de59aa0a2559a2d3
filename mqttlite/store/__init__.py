"""Where session state lives, so that it survives. Both runtimes, but for SQLite.

base       what every store does; by itself it is memory: not durable
journal    an append-only log                          area_file, area_host, area_raw   where it lies: a file on a
damage     whether it is torn or damaged; loaded then                                   board, on a server, raw flash
sqlite     CPython's default, `store="state.db"`: group commit. in_sqlite/ is the file, tables/ what is in it
pace       where commits are made, as quick as the disk is
place      what a store's files have to be before they are opened, and whether they are still there
folder     makes names durable
tending/   for `mqttlite store`

What is stored, and what it adds up to: core/records.py.
"""
