"""Runs after boot.py: the starter (start.py) does it all."""

try:  # first of all: a gateway's frames, and Improv's packets, hold the byte that is Ctrl-C (window.py)
    from os import dupterm  # noqa: F401 (boards have it)

    from micropython import kbd_intr

    kbd_intr(-1)
except ImportError:
    pass

import start

if __name__ == "__main__":
    start.run()
