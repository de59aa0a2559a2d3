"""Where things are that builds need: the project, and programs.

Imports nothing that has to be installed, for a wheel is built where there are only this project's sources.
"""

import os
import shutil
import sys
from pathlib import Path

from mqttlite.boards.images.compiling import mpy_cross as mpy_cross

ROOT = Path(__file__).resolve().parents[1]


def installed(name: str) -> Path | None:
    """A program of the virtual environment, else the first on the path, which for an ordinary user lacks sbin."""
    beside_python = Path(sys.executable).parent / name
    if beside_python.exists():
        return beside_python
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    return Path(found) if found else None
