"""Builds what boards get: each bundle of mqttlite, the board's program, and its starter.

    python -m tools.build_supplies all program     builds what is stale, and prints where each part is, a line each
    python -m tools.build_supplies --into FOLDER   all parts, as the wheel has them (tools/wheel_hook.py)

Parts lie below build/boards, in a folder named after the content of their sources. They are compiled where there is
mpy-cross; a machine that it is not made for gets sources, which a board compiles itself when it imports them.
"""

import argparse
import concurrent.futures
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from tools import bundle, lean, places
from tools.bundle import texts
from tools.places import ROOT

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

OUTPUT = ROOT / "build" / "boards"
PACKAGE = ROOT / "firmware" / "mqttlite_board"
START = "start"  # the folder of PACKAGE whose files go to a board's root,
AS_THEY_ARE = ("boot.py", "main.py")  # these as sources, since MicroPython starts nothing else
NOT_COPIED = (START, "application", "trying.py")
SOURCES = {
    "bundle": ("mqttlite/__init__.py", *[f"mqttlite/{room}" for room in ("core", "link", "store", "serial", "client")]),
    "program": ("firmware/mqttlite_board",),
    "starter": ("firmware/mqttlite_board",),
}
PARTS = (*bundle.SETS, "program", "starter")
OLD_S = 3600.0  # what was built of other sources goes when it is older than the newest by this much


def compile_into(folder: Path, place: str, source: Path) -> None:
    """`source` as folder/place, compiled (.mpy) where there is mpy-cross; `place` is its name in tracebacks. Raises
    CalledProcessError when it does not compile.
    """
    target = folder / place
    target.parent.mkdir(parents=True, exist_ok=True)
    mpy_cross = places.mpy_cross()
    if mpy_cross is None:
        shutil.copyfile(source, target)
    else:
        subprocess.run([mpy_cross, "-s", place, "-o", target.with_suffix(".mpy"), source], check=True)


def compile_lean(folder: Path, place: str, source: Path) -> None:
    """As `compile_into`, for a module of the program or the starter (tools/lean.py)."""
    with tempfile.TemporaryDirectory() as temporary:
        new = Path(temporary) / source.name
        new.write_text(lean.lean(source.read_text(encoding="utf-8"), named_elsewhere(source)), encoding="utf-8")
        compile_into(folder, place, new)


@cache
def _names() -> dict[str, set[Path]]:
    folders = (PACKAGE.parent, ROOT / "mqttlite", ROOT / "tests")
    return lean.others_use([path for folder in folders for path in sorted(folder.rglob("*.py"))])


def named_elsewhere(source: Path) -> set[str]:
    """The names in capitals that another file than `source` has, too."""
    return {name for name, paths in _names().items() if paths - {source}}


def build_program(folder: Path) -> None:
    """The package mqttlite_board, as it lies in a board's lib/."""
    for source in sorted(PACKAGE.rglob("*.py")):
        if source.relative_to(PACKAGE).parts[0] not in NOT_COPIED:
            compile_lean(folder, source.relative_to(PACKAGE.parent).as_posix(), source)


def build_starter(folder: Path) -> None:
    """What lies at a board's root."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in sorted((PACKAGE / START).glob("*.py")):
        if source.name in AS_THEY_ARE:
            shutil.copyfile(source, folder / source.name)
        elif source.name != "__init__.py":
            compile_lean(folder, source.name, source)


def build_bundle(name: str, folder: Path) -> None:
    """The bundle `name` as bundle.build leaves it; without mpy-cross without compiled files."""
    bundle.build(name, folder, compiled=places.mpy_cross() is not None)


@cache
def content(kind: str) -> str:
    """A name for what stands in all that a kind of part is built from, and for what builds it."""
    mpy_cross = places.mpy_cross()
    digest = hashlib.sha256(mpy_cross.read_bytes() if mpy_cross else b"")
    for place in ("tools/places.py", "tools/build_supplies.py", "tools/lean.py", "tools/bundle", *SOURCES[kind]):
        path = ROOT / place
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.suffix in (".py", ".json", ".txt"):
                digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def built(part: str) -> Path:
    """The folder of a part; builds it when its sources are others than before. Raises BundleError, and
    CalledProcessError where something does not compile.
    """
    kind = part if part in SOURCES else "bundle"
    folder = OUTPUT / f"{kind}-{content(kind)}" / part
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_name(f".{part}.lock")):
            _build(kind, part, folder)
    return folder


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time, where that can be had: the others find what it has built."""
    with open(path, "wb") as file:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(kind: str, part: str, folder: Path) -> None:
    if folder.exists():  # another process has built it meanwhile
        return
    with tempfile.TemporaryDirectory(dir=OUTPUT) as temporary:
        new = Path(temporary) / "new"
        if kind == "bundle":
            build_bundle(part, new)
        else:
            {"program": build_program, "starter": build_starter}[part](new)
        try:
            new.rename(folder)
        except OSError:  # another process was faster, where none waits for the other
            if not folder.exists():
                raise
    _forget_old(kind, folder.parent)


def _forget_old(kind: str, newest: Path) -> None:
    for other in OUTPUT.glob(f"{kind}-*"):
        if other != newest and other.stat().st_mtime < newest.stat().st_mtime - OLD_S:
            shutil.rmtree(other, ignore_errors=True)


def found(part: str) -> Path:
    """What a board gets of a part."""
    folder = built(part)
    if part not in bundle.SETS:
        return folder
    return folder / "mpy" if (folder / "mpy").is_dir() else folder / "py"


def shipped() -> Iterator[tuple[Path, str]]:
    """All that a wheel has for boards and does not have as a package: each file, and its place."""
    table = (ROOT / texts.TABLE).read_bytes()
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        folders = list(pool.map(found, PARTS))
    if (ROOT / texts.TABLE).read_bytes() != table:  # two bundles may have given one number to two texts
        raise bundle.BundleError(f"new texts have got numbers: look at {texts.TABLE}, then build again")
    for part, folder in zip(PARTS, folders, strict=True):
        below = f"bundle/{part}" if part in bundle.SETS else part
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                yield file, f"{below}/{file.relative_to(folder).as_posix()}"
    for file in sorted((ROOT / "hardware" / "boards").glob("*.toml")):
        yield file, f"hardware/{file.name}"
    for file in sorted((ROOT / "hardware" / "partitions").glob("*.csv")):
        yield file, f"hardware/partitions/{file.name}"


def main(words: Sequence[str]) -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.build_supplies", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="all parts, as the wheel has them")
    parser.add_argument("--names", action="store_true", help="the names of all bundles, a line each")
    args = parser.parse_args(words)
    if args.names:
        print("\n".join(sorted(bundle.SETS)))
    try:
        if args.into:
            for file, place in shipped():
                target = args.into / place
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
        for part in args.parts:
            if part not in PARTS:
                raise bundle.BundleError(f"there is no '{part}'; there are {', '.join(PARTS)}")
            print(found(part))
    except bundle.BundleError as error:
        print(f"build_supplies: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError:
        return 1  # mpy-cross has said why
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
