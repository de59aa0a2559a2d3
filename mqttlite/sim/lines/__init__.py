"""Serial lines of the world: serial.py. noise.py damages their bytes; it runs on MicroPython, too."""
