"""Runs scripts on a board in virtual time (tests/micropython/virtual): the program as shipped, on the interpreter built
from source.
"""

from pathlib import Path

from mqttlite.boards import files
from tests import peers, runtimes
from tests.peers import MicroPython, unavailable
from tests.runtimes import ROOT

SCRIPTS = ROOT / "tests" / "micropython"
ASYNCIO = runtimes.BUILT / "source-trixie" / "extmod"  # its source; what is compiled in has a clock of its own
HEAP = "6m"


def make_board(folder: Path, bundle: str = "all") -> None:
    """Fill `folder` with the file system of a fresh board."""
    for place, data in files.file_system(bundle).items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


async def run(folder: Path, script: str, *args: str, bits: int = 32, timeout_s: float = 120) -> str:
    """What the script prints, whose first arguments are asyncio's source and the board's folder; AssertionError with it
    when it fails.
    """
    if not ASYNCIO.is_dir():
        unavailable("MicroPython's source (build/board)")
    program = MicroPython(bits).program
    argv = [str(program), "-X", f"heapsize={HEAP}", str(SCRIPTS / script), str(ASYNCIO), str(folder), *args]
    done = await peers.run(*argv, folder=ROOT, check=False, timeout_s=timeout_s)
    assert done.code == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout
