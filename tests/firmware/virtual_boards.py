"""Runs scripts on a board in virtual time (tests/micropython/virtual): the program as shipped, on the interpreter built
from source.
"""

import ast
import json
from pathlib import Path

from mqttlite.boards import supplies
from mqttlite.boards.updating import rotating
from mqttlite.boards.updating.devices import Device
from mqttlite.boards.updating.manifest import Release, Update
from mqttlite_board import improv, settings
from tests import peers, runtimes
from tests.firmware.boards import fill
from tests.peers import MicroPython, unavailable
from tests.runtimes import ROOT

SCRIPTS = ROOT / "tests" / "micropython"
ASYNCIO = runtimes.BUILT / "source-trixie" / "extmod"  # its source; what is compiled in has a clock of its own
HEAP = "12m"
KEY = "5a" * 32  # the device's, as in scenarios.py


def make_board(folder: Path, name: str = "") -> None:
    """Fill `folder` with the file system of a fresh board, and what a computer makes for the scenario `name`."""
    tree = supplies.file_system("all")
    if name == "updating":  # as where the image has all but the application: else an update copies fifty files
        tree = {place.removeprefix("a/"): data for place, data in tree.items()}
    tree.update({f"_told/{place}": data for place, data in told(name).items()})
    fill(folder, tree)


def told(name: str) -> dict[str, bytes]:
    """What the scenario has from a computer."""
    if name == "updating":
        app = application() + "\nworld.version = 2\n"
        update = Update(Release("two", {"app.py": app.encode()}), "one", bytes.fromhex(KEY), 1, block=512)
        found = {"manifest": update.manifest}
        for item, data in enumerate(update.items()):
            for index in range(-(-len(data) // 512)):
                found[f"{item}.{index}"] = update.blocks().get(item, index) or b""
        return found
    if name == "rotating":
        device = Device("one", key=KEY)
        return {"rotate": json.dumps(rotating.command(device, 1, {"password": "new-secret"})).encode()}
    if name == "provisioning":
        values = {"name": "one", "url": "mqtt://10.0.0.1", "app": {"every_s": 10, "batch": 3}}
        values["wifi"] = {"name": "net", "password": "12345678"}
        record = settings.encode(values)
        found = {"record": b""}
        for at in range(0, len(record), improv.PIECE):
            head = at.to_bytes(2, "big") + len(record).to_bytes(2, "big")
            found["record"] += improv.rpc(improv.PUT, head + record[at : at + improv.PIECE])
        return found
    return {}


def application() -> str:
    """The application of the scenarios, whose file is one for MicroPython."""
    source = (SCRIPTS / "virtual" / "scenarios.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "APP":
            return str(ast.literal_eval(node.value))
    raise LookupError("scenarios.py has no APP")


def command(bits: int, script: str, folder: Path, *args: str) -> list[str]:
    """What runs a script, whose first arguments are asyncio's source and the board's folder."""
    return runtimes.micropython_argv(
        MicroPython(bits).program, SCRIPTS / script, (str(ASYNCIO), str(folder), *args), heap=HEAP
    )


async def run(folder: Path, script: str, *args: str, bits: int = 64, timeout_s: float = 120) -> str:
    """What the script prints; AssertionError with it when it fails."""
    if not ASYNCIO.is_dir():
        unavailable("MicroPython's source (build/board)")
    argv = command(bits, script, folder, *args)
    done = await peers.run(*argv, folder=ROOT, check=False, timeout_s=timeout_s)
    assert done.stdout.endswith("all done\n"), done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout
