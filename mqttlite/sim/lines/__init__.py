"""Serial lines: in the world (serial.py, and serial_os.py for pyserial), for links without I/O (virtual_line.py), for
real programs (pty_line.py). What damages their bytes is noise.py. Runs on MicroPython, too, where it has no I/O.
"""
