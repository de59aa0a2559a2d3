"""What programs ask the operating system for, answered by a world: patches.py puts it in place. Files (files.py; a
board's: flash.py) lead to the disk of the process that is running, serial ports (serial_os.py) to its lines.
"""
