"""Backup of a gateway, and its move to another machine: settings, keys, users, devices, queues and ledger in one file.

parts     what belongs to a gateway               archive   all of it in one file, each part with its checksum
leaving   makes the archive, while it runs        arriving  puts it in its place, here or on another machine

Two gateways with one store would both send what is queued, under one name. `--move` marks the store that is left, so
that it does not start any more; a copy of one that may still live is restored only if somebody says that it does not.
"""
