"""The deterministic world that tests and the demo run in: lines, noise, faults. No part of a board's program.

`world.World` runs the real client, broker and stores in one thread of virtual time, everything decided by one seed:
processes (process.py) with event loops (loop.py, handles.py), clocks (clock.py) and disks (disk.py, files.py,
sqlite_files.py) in a network (network.py, streams.py, transports.py, sockets.py), with faults at packets (packets.py);
patches.py puts it in the place of the operating system.

Serial lines: serial.py and serial_os.py (in the world), noise.py, virtual_line.py (links without I/O), pty_line.py (for
real programs).

What runs in it: programs.py; small.py with faults.py and explore.py (every fault at every step), points.py (the named
ones); large*.py (random worlds); lessons*.py (teaching scenarios). What decides whether all is well: facts.py
(applications), conduct.py (packets); mutations/ are bugs that they have to notice. To look at: chart*.py.

plan/ is a model of a fleet, without the real programs.
"""
