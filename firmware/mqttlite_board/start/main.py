"""Runs after boot.py: the starter (start.py) does it all."""

import start

if __name__ == "__main__":
    start.run()
