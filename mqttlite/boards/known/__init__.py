"""What is known of boards (hardware/).

data         of each kind, from its file                 kinds   which one a chip is on, as far as that tells
partitions   how the flash of an ESP32 is parted
"""
