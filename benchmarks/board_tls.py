"""What TLS costs a board: heap of a 32-bit MicroPython whose mbedTLS takes its memory from the heap, as on RP2.

    python -m benchmarks.board_tls      builds that interpreter first (some minutes), with mbedTLS from Debian's sources

The bundle `all` connects to a broker of ours and publishes at each QoS: over TCP, and over TLS with a pinned
certificate and with a CA's. "least": the smallest heap in which that works.
"""

import asyncio
import os
import re
import shutil
import ssl
import sys
import tempfile
from pathlib import Path

from mqttlite.broker import Broker, Listener, Tls
from tests.certificates import Certificates
from tests.runtimes import BUILT
from tools import build_micropython as port
from tools import build_supplies

FOLDER = BUILT / "tls"
PROGRAM = FOLDER / "build" / "micropython"

SCRIPT = """
import asyncio, gc, sys

gc.collect()
before = gc.mem_alloc()
from mqttlite import Client

url, der, name = sys.argv[1:]
options = {}
if der != "-":
    with open(der, "rb") as file:
        options = {"tls": file.read(), "server_name": name}

async def main():
    gc.collect()
    print("import", gc.mem_alloc() - before)
    client = Client(url, client_id="b", timeout_s=20, **options)
    await client.start()
    gc.collect()
    print("connected", gc.mem_alloc() - before)
    for qos in range(3):
        await client.publish("a", b"x" * 64, qos)
    await client.drain()
    print("done 1")
    await client.close()

asyncio.run(main())
"""


def build() -> None:
    """The interpreter, unless it is there. BuildError where something is missing."""
    if PROGRAM.exists():
        return
    port.check_tools([32])
    source = port.fetched(port.SUITE)
    shutil.rmtree(FOLDER, ignore_errors=True)
    shutil.copytree(source, FOLDER / "source")
    unpacked = port.packaged("mbedtls", port.SUITE)
    library = FOLDER / "source" / "lib" / "mbedtls"
    shutil.rmtree(library, ignore_errors=True)
    unpacked.rename(library)
    # Its memory from MicroPython's heap, as ports without an operating system have it.
    config = FOLDER / "source" / "ports" / "unix" / "mbedtls" / "mbedtls_config_port.h"
    config.write_text(config.read_text().replace("#if defined(MICROPY_UNIX_COVERAGE)", "#if 1"))
    boards = BUILT / "port"
    settings = [
        "CC=gcc -m32",
        "CFLAGS_EXTRA=-Wno-error -DMICROPY_TRACKED_ALLOC=1",
        f"BUILD={PROGRAM.parent}",
        f"FROZEN_MANIFEST={boards / 'boards' / 'manifest.py'}",
        f"MICROPY_MANIFEST_PORT_DIR={boards}",
        f"MPY_LIB_DIR={boards}",
        f"MICROPY_MPYCROSS={port.mpy_cross()}",
        *[setting for setting in port.LEFT_OUT if "SSL=" not in setting],
        "MICROPY_PY_SSL=1",
        "MICROPY_SSL_MBEDTLS=1",
    ]
    make = ["make", f"-j{os.cpu_count() or 1}", f"PYTHON={sys.executable}", "-C", "ports/unix", *settings]
    port.call("32 bits with TLS", make, FOLDER / "source")


async def run(script: Path, library: Path, heap_k: int, *args: str) -> dict[str, int]:
    """What the script says in a heap of so many KiB."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "-X", f"heapsize={heap_k}k", script, *args,
        env={"MICROPYPATH": f"{library}:.frozen"}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    out = (await process.communicate())[0].decode()
    return {name: int(value) for name, value in re.findall(r"^(\w+) (\d+)$", out, re.MULTILINE)}


async def measure() -> None:
    """Prints a line for each kind of connection."""
    library = build_supplies.built("all") / "mpy"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = folder / "measure.py"
        script.write_text(SCRIPT)
        made = Certificates(folder)
        pairs = made.server(), made.server("localhost", file="own", self_signed=True)
        listeners = [Listener("mqtts://127.0.0.1:0", Tls(each.certificate, each.key)) for each in pairs]
        async with Broker([*listeners, "mqtt://127.0.0.1:0"]) as broker:
            signed, pinned, plain = broker.addresses
            print("bytes of heap        import   connected   least")
            for kind, args in (
                ("TCP", (plain, "-", "-")),
                ("TLS, pinned", (pinned, _der(pairs[1].certificate), "localhost")),
                ("TLS, a CA", (signed, _der(made.ca), "localhost")),
            ):
                said = await run(script, library, 512, *args)
                low, high = 16, 512
                while high - low > 1:
                    middle = (low + high) // 2
                    works = all([(await run(script, library, middle, *args)).get("done") for _ in range(2)])
                    low, high = (low, middle) if works else (middle, high)
                print(f"{kind:18}{said['import']:9,}{said['connected']:12,}{1024 * high:9,}")


def _der(pem: Path) -> str:
    path = pem.with_suffix(".der")
    path.write_bytes(ssl.PEM_cert_to_DER_cert(pem.read_text()))
    return str(path)


if __name__ == "__main__":
    try:
        build()
    except port.BuildError as error:
        sys.exit(f"board_tls: {error}")
    asyncio.run(measure())
