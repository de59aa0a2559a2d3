"""The deterministic world that tests and the demo run in: lines, noise, faults. No part of a board's program.

`world.World` runs the real client, broker and stores in one thread of virtual time, everything decided by one seed:
processes (process.py) with event loops (loop.py, handles.py), clocks (clock.py) and disks (disk.py, files.py,
sqlite_files.py) in a network (network.py, streams.py, transports.py, sockets.py), with faults at packets (packets.py);
patches.py puts it in the place of the operating system.

Beside it, serial lines: noise.py, virtual_line.py (without I/O), pty_line.py (for real programs).
"""
