"""Runs after boot.py: the starter (start.py) does it all."""

# First of all, as in boot.py, which says why: a gateway's frames, and Improv's packets, hold the byte that is Ctrl-C.
for _ in range(3):
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
