"""Runs after boot.py: the starter (start.py) does it all."""

for _ in range(3):  # first of all: a gateway's frames, and Improv's packets, hold the byte that is Ctrl-C (window.py)
    try:
        from os import dupterm  # noqa: F401 (boards have it)

        from micropython import kbd_intr

        kbd_intr(-1)
        for _ in range(2):
            pass  # one that has come before is raised here
        break
    except KeyboardInterrupt:
        pass
    except ImportError:
        break

import start  # noqa: E402

if __name__ == "__main__":
    start.run()
