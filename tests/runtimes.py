"""Where the other runtimes are: MicroPython as a Unix program, from a wheel (64 bit) and from source (32 and 64);
MicroPython as WebAssembly (32 bit); mpy-cross.

For tests and benchmarks. Finds them, and other programs that tests need; builds command lines; runs nothing. What is
not installed is None (tools/setup.sh installs it).
"""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from tools.places import ROOT as ROOT
from tools.places import installed as installed
from tools.places import mpy_cross as mpy_cross

BUILT = ROOT / "build" / "board"
NODE_MODULES = ROOT / "build" / "node" / "node_modules"
WASM_RUNNER = ROOT / "tests" / "node" / "run_micropython.mjs"


def micropython() -> Path | None:
    """The Unix interpreter: $MICROPYTHON, else the one of the virtual environment, else the first on the path."""
    named = os.environ.get("MICROPYTHON")
    return Path(named) if named else installed("micropython")


def built(bits: int, kind: str = "plain") -> Path:
    """Where tools/build_micropython puts the Unix interpreter of 32 or 64 bits, whether it is there or not.

    Both are of one version. `kind` "frozen" is the one with mqttlite in its image, "console" the one that behaves as a
    board on its USB socket (tools/board_port; on machines of the x86 family with 32 bits only).
    """
    return BUILT / f"{bits}-{kind}" / "micropython"


def wasm_package() -> Path | None:
    """MicroPython's 32-bit WebAssembly build, if it and node are there."""
    path = NODE_MODULES / "@micropython" / "micropython-webassembly-pyscript" / "micropython.mjs"
    return path if path.exists() and installed("node") else None


def micropython_argv(program: Path, script: Path | str, args: Sequence[str] = (), *, heap: str = "96k") -> list[str]:
    """Command line that runs `script` (a Path is a file, a str is source) with a heap of `heap` ("96k", "2m")."""
    code = [str(script)] if isinstance(script, Path) else ["-c", script]
    return [str(program), "-X", f"heapsize={heap}", *code, *args]


def micropython_env(path: Iterable[Path] = (ROOT,)) -> dict[str, str]:
    """Environment in which MicroPython imports from the folders `path`, then its frozen modules.

    Before both comes the script's own folder, or with `-c` the folder that the process runs in.
    """
    return {**os.environ, "MICROPYPATH": ":".join([*map(str, path), ".frozen"])}


def wasm_argv() -> list[str]:
    """Command line of the WebAssembly runner, which reads a `wasm_request` from standard input."""
    return [str(installed("node")), str(WASM_RUNNER)]


def wasm_request(
    package: Path,
    script: Path | str | list[str],
    args: Sequence[str] = (),
    *,
    files: Iterable[Path] = (),
    root: Path = ROOT,
) -> bytes:
    """What the WebAssembly runner is to do. `files` (of folders: .py and .mpy in them) appear under / as under `root`.

    Several scripts run one after the other in one interpreter, which collects garbage between them and at no other
    time. Its heap grows on demand, so there is no limit to set.
    """
    mounted = {}
    for given in files:
        for file in [given] if given.is_file() else sorted(given.rglob("*.*py")):
            mounted["/" + file.relative_to(root).as_posix()] = str(file)
    main = script.read_text(encoding="utf-8") if isinstance(script, Path) else script
    return json.dumps({"package": str(package), "files": mounted, "main": main, "args": list(args)}).encode()
