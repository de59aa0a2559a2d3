"""Where session state lives, so that it survives. Both runtimes, but for SQLite.

records   what is stored, and what it adds up to           base     what every store does: the interface
memory    not durable, and says so                         journal  an append-only log
area_file, area_host, area_raw   where a journal lies: a file on a board, on a server, raw flash
sqlite    CPython's default, `store="state.db"`
"""
