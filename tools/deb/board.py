"""Plays a board on a serial line, for tools/test_deb.sh: the installed package's client behind pseudo-terminals and a
line with noise. Run by Debian's own Python in the root that is tried.

argv: the path of the port that the gateway is to open, and how many messages. Publishes 0, 1, 2, … on sensors/number at
QoS 2, twenty a second, and says "all confirmed" when the gateway has confirmed them.
"""

import asyncio
import os
import shutil
import sys
from pathlib import Path

from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.client import Client


def plug(device: str, port: Path) -> None:
    """As udev does it."""
    shutil.chown(device, "root", "dialout")
    os.chmod(device, 0o660)
    port.unlink(missing_ok=True)
    port.symlink_to(device)


async def main(port: Path, count: int) -> None:
    async with NoisyLine(115200, bit_errors=1e-5, seed=1) as line:
        plug(os.readlink(line.b_path), port)
        async with Client(f"serial://{line.a_path}", client_id="greenhouse-7", retry_first=True) as client:
            for number in range(count):
                await client.publish("sensors/number", str(number), qos=2)
                print(f"published {number}", flush=True)
                await asyncio.sleep(0.05)
            await client.drain(120)
            print(f"all confirmed: {count}, {line.noise_ab.flipped + line.noise_ba.flipped} bits damaged", flush=True)


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
