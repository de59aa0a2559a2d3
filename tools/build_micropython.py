"""Builds MicroPython's Unix port from source, with 64 and with 32 bits, plain and with mqttlite frozen in.

    python -m tools.build_micropython [--source FOLDER] [--suite trixie] [--bits 32 64] [--kinds plain frozen]

Into build/board. The plain build has asyncio frozen in, as every board has, and nothing of ours: tests run on it with
32 bits, a board's word size, and with 64. "Frozen" is what firmware/manifest.py puts into an image of a board, built by
that very file: bytecode and constants stay outside the heap, as in the flash of a board. The sources are those of
Debian's package `micropython`, got by apt-get with lists of its own (no root, nothing of the system changes); a
checkout of another version can be given. What is missing is said.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.runtimes import BUILT as OUTPUT
from tests.runtimes import ROOT, built
from tools import bundle
from tools.build_mpy import BUNDLES, SET

SUITE = "trixie"  # of Debian; MicroPython 1.25
ARCHIVE = "http://deb.debian.org/debian"  # what it delivers is signed
KINDS = ("plain", "frozen", "console")
CONSOLE = ROOT / "tools" / "board_port"  # the variant of the Unix port that has a board's console
# A build of 32 bits that really has them: newer versions ignore MICROPY_FORCE_32BIT.
CHECK = "import sys; sys.exit(sys.maxsize != 2**%d - 1)"
# Libraries that Debian's source package leaves out, or that would be needed with 32 bits; no part of what is measured.
LEFT_OUT = ("MICROPY_PY_BTREE=0", "MICROPY_PY_SSL=0", "MICROPY_SSL_AXTLS=0", "MICROPY_PY_FFI=0", "MICROPY_PY_JNI=0")

TRIAL = b"#include <math.h>\n#include <stdio.h>\nint main(int c, char **v) { return printf(v[0]) > 0 && sin(c) > 2; }\n"


class BuildError(Exception):
    """Something that the build needs is missing, or a step has failed; the text says which, and what to do."""


def call(what: str, command: Sequence[str], folder: Path) -> None:
    """Runs one step; what it says goes into a log, whose end is shown when it fails."""
    log = OUTPUT / f"{what.replace(' ', '-')}.log"
    print(f"    {what} ...", flush=True)
    with log.open("wb") as file:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False)
    if done.returncode:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise BuildError(f"{what} failed:\n{end}\n(all of it: {log})")


def check_tools(bits: Iterable[int]) -> None:
    """BuildError where a program is missing."""
    missing = [name for name in ("make", "gcc") if not shutil.which(name)]
    if missing:
        raise BuildError(f"{' and '.join(missing)} not found; on Debian and Ubuntu: apt-get install gcc make libc6-dev")
    for width in bits:
        command = ["gcc", f"-m{width}", "-x", "c", "-", "-o", os.devnull, "-lm"]
        done = subprocess.run(command, input=TRIAL, capture_output=True, check=False)
        if done.returncode:
            package = "gcc-multilib (on a machine of the x86 family; others: --bits 64)" if width == 32 else "libc6-dev"
            raise BuildError(
                f"gcc cannot build programs of {width} bits; on Debian and Ubuntu: apt-get install {package}"
            )


def packaged(package: str, suite: str) -> Path:
    """The sources of a package of Debian's, fetched and unpacked into a folder that is the caller's to move."""
    state = OUTPUT / f"apt-{suite}"
    for part in ("lists/partial", "cache/archives/partial"):
        (state / part).mkdir(parents=True, exist_ok=True)
    (state / "sources.list").write_text(f"deb-src {ARCHIVE} {suite} main\n")
    options = {
        "Dir::Etc::SourceList": state / "sources.list",
        "Dir::Etc::SourceParts": os.devnull,
        "Dir::State::Lists": state / "lists",
        "Dir::Cache": state / "cache",
        "APT::Sandbox::User": "",
    }
    apt = ["apt-get", "-q", *[word for name, value in options.items() for word in ("-o", f"{name}={value}")]]
    call("apt-get update", [*apt, "update"], state)
    call("apt-get source", [*apt, "source", "--download-only", package], state)
    [archive] = state.glob(f"{package}_*.orig.tar.*")
    with tarfile.open(archive) as tar:
        tar.extractall(state / "unpacked", filter="data")
    [unpacked] = (state / "unpacked").iterdir()
    return unpacked


def fetched(suite: str) -> Path:
    """The sources of Debian's package, in build/board; fetched if they are not there."""
    target = OUTPUT / f"source-{suite}"
    if not target.exists():
        if not shutil.which("apt-get"):
            raise BuildError(
                "the sources come through apt-get, which is not here; get them yourself and name the folder:\n"
                "  git clone --depth 1 --branch v1.25.0 https://github.com/micropython/micropython\n"
                "  python -m tools.build_micropython --source micropython"
            )
        packaged("micropython", suite).rename(target)
    return target


def mpy_cross() -> Path:
    """Where the compiler is that belongs to them."""
    return OUTPUT / "mpy-cross" / "mpy-cross"


def build(source: Path, bits: Iterable[int], kinds: Iterable[str]) -> None:
    """Builds `kinds` from the sources in `source`, which stay as they are; quick when nothing has changed."""
    if not (source / "ports" / "unix" / "Makefile").exists():
        raise BuildError(f"{source} is no checkout of MicroPython: ports/unix/Makefile is not in it")
    # What firmware/manifest.py includes of the port of a board; the build wants to see a micropython-lib, too.
    port = OUTPUT / "port"
    (port / "boards").mkdir(parents=True, exist_ok=True)
    (port / "README.md").write_text("Stands in for micropython-lib, of which nothing is needed.\n")
    asyncio_alone = port / "boards" / "manifest.py"
    asyncio_alone.write_text('include("$(MPY_DIR)/extmod/asyncio")\n')
    make = ["make", f"-j{os.cpu_count() or 1}", f"PYTHON={sys.executable}"]
    # Frozen files are taken again only when they are newer, not when the way to compile them is another.
    call("mpy-cross", [*make, "-C", "mpy-cross", f"BUILD={mpy_cross().parent}"], source)
    if "frozen" in kinds:
        bundle.build(SET, BUNDLES / SET)
    for width in bits:
        for kind in kinds:
            program = built(width, kind)
            manifest = ROOT / "firmware" / "manifest.py" if kind == "frozen" else asyncio_alone
            settings = [
                f"CC=gcc -m{width}",
                # a compiler newer than the sources may warn of more
                "CFLAGS_EXTRA=-Wno-error",
                f"BUILD={program.parent}",
                f"FROZEN_MANIFEST={manifest}",
                f"MICROPY_MANIFEST_PORT_DIR={port}",
                f"MPY_LIB_DIR={port}",
                f"MICROPY_MPYCROSS={mpy_cross()}",
                *LEFT_OUT,
            ]
            if kind == "console":
                settings.append(f"VARIANT_DIR={CONSOLE}")
            call(f"{width} bits {kind}", [*make, "-C", "ports/unix", *settings], source)
            if subprocess.run([program, "-c", CHECK % (width - 1)], check=False).returncode:
                program.unlink()
                raise BuildError(f"{source} gives no interpreter of {width} bits")


def main(args: Sequence[str]) -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.build_micropython",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--source", type=Path, help="a checkout of MicroPython (default: fetch Debian's)")
    parser.add_argument("--suite", default=SUITE, help="of Debian, whose version is taken (default: %(default)s)")
    parser.add_argument("--bits", type=int, nargs="+", choices=(64, 32), default=[64, 32], help="(default: both)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="(default: all)")
    options = parser.parse_args(args)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    print(f"MicroPython, Unix port, into {OUTPUT.relative_to(ROOT)}")
    try:
        check_tools(options.bits)
        source = options.source.resolve() if options.source else fetched(options.suite)
        build(source, options.bits, options.kinds)
    except BuildError as error:
        print(f"build_micropython: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
