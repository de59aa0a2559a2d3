"""Where session state lives, so that it survives. Both runtimes, but for SQLite.

records   what is stored, and what it adds up to           base     what every store does: the interface
memory    not durable, and says so                         journal  an append-only log on a file system or raw flash
sqlite    CPython's default, `store="state.db"`
"""
