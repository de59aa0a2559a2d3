"""How often this board has started: `count`, 1 the first time. Both runtimes; imports `os` alone.

The serial link mixes the count into its epoch, so that frames from before a reset are never taken for new ones, even on
a board whose random numbers are poor while its radio is off.
"""

import os

FILE = "boots.txt"


def count_boot() -> int:
    """Add one to the stored number; the new one. Where it cannot be stored (flash full or read-only) it starts over."""
    try:
        with open(FILE) as file:
            boots = int(file.read()) + 1
    except (OSError, ValueError):  # the first start, or the file holds no number
        boots = 1
    try:
        with open(FILE + ".new", "w") as file:
            file.write(str(boots))
        os.rename(FILE + ".new", FILE)  # after a power cut there is the old number or the new one
    except OSError as error:
        print("the number of starts is not stored:", error)
    return boots


count = count_boot()
