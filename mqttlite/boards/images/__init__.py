"""What the flash of a board holds, made and checked on the computer.

firmware_image   MicroPython, of an ESP32              uf2         the same, for a board that shows itself as a drive
littlefs_image   its file system                       romfs       files that run where they lie
board_files      which files it gets                   compiling   mpy-cross, where there is one
"""
