"""Where session state lives, so that it survives. Both runtimes, but for SQLite.

records   what is stored, and what it adds up to           journal  an append-only log
base      what every store does; by itself it is memory: not durable
area_file, area_host, area_raw   where a journal lies: a file on a board, on a server, raw flash
sqlite    CPython's default, `store="state.db"`: group commit. sqlite_file is the file, sqlite_schema its log and
          tables; sqlite_tables and broker_tables are what is in a client's and in a broker's; sqlite_reading reads
          without changing, sqlite_found is about what lies at the path, sqlite_leftovers about what a process has left
          that died; sqlite_wal reads a WAL for damage, sqlite_reserve keeps room on the disk
damage    whether a journal is torn or damaged, and what is whole in it; loaded only then
place     what a store's files have to be before they are opened, and whether they are still there
folder    makes names durable
kinds, salvage, backup, decide   for `mqttlite store`
"""
