"""Runs first after each reset, before main.py.

Whatever fails here is said and nothing more: MicroPython does not run main.py after a boot.py that has failed.
"""

# First of all: what a gateway sends may hold the byte that is Ctrl-C (window.py). main.py begins with the same, since
# MicroPython switches Ctrl-C on again for each file. In a module it would be too late: to import one takes a while.
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

try:
    import gc

    # Collect after every 4 KiB, from before the first large import on: a heap that is full before it is first collected
    # is left in pieces too small for the rest of the program. (CPython has no such function, and no such heap.)
    if hasattr(gc, "threshold"):
        gc.threshold(4096)
except Exception as error:
    print("boot.py:", repr(error))
