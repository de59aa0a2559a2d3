"""What runs on the real MicroPython interpreter."""
