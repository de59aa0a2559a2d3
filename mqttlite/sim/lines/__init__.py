"""Serial lines of the world: serial.py, and serial_os.py for pyserial. noise.py damages their bytes; it runs on
MicroPython, too.
"""
