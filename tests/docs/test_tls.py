"""docs/tls.md: its certificate is made, and its programs run, as they stand but for addresses."""

import asyncio
import re
import shlex
import ssl
import sys
from pathlib import Path

from mqttlite import Client
from mqttlite.broker import Broker, Tls
from tests.broker.raw import port_of
from tests.docs.pages import program, text_of
from tests.peers import MicroPython, run
from tests.peers import program as installed

PAGE = "docs/tls.md"

CONNECTING = """
import asyncio

async def main():
    async with client:
        print("there")

asyncio.run(main())
"""


async def made(folder: Path) -> str:
    """What the page's two commands for a certificate leave in `folder`; the fingerprint that the second prints."""
    installed("openssl")
    text = text_of(PAGE).replace("\\\n", " ")
    request, shown = re.findall(r"^    (openssl (?:req|x509 -in broker\.pem -noout).*)$", text, re.MULTILINE)
    await run(*shlex.split(request.replace("192.168.1.10", "127.0.0.1")), folder=folder)
    return (await run(*shlex.split(shown), folder=folder)).stdout.strip()


async def test_its_broker_is_reached_by_who_has_the_certificate_or_its_fingerprint(tmp_path: Path) -> None:
    fingerprint = await made(tmp_path)
    tls = Tls(tmp_path / "broker.pem", tmp_path / "broker.key")
    async with Broker(["mqtts://127.0.0.1:0"], tls=tls) as broker:
        url = broker.addresses[0]
        async with Client(url, ca=tmp_path / "broker.pem") as client:
            await client.subscribe("room/#")
            source = program(PAGE, "pinned =").replace("15:AE:F5:D0:…", fingerprint)
            source = source.replace("mqtts://pi.local", f"mqtts://localhost:{port_of(url)}")
            await run(sys.executable, "-c", source.replace("mqtts://192.168.1.10", url), folder=tmp_path)
            messages = [await asyncio.wait_for(anext(client), 60) for _ in range(2)]
        assert [(message.topic, message.payload) for message in messages] == [("room/1", b"21.5"), ("room/2", b"22")]


async def test_its_board_has_a_client_that_connects(micropython: MicroPython, tmp_path: Path) -> None:
    await made(tmp_path)
    pem = tmp_path / "broker.pem"
    der = tmp_path / "ca.der"
    der.write_bytes(ssl.PEM_cert_to_DER_cert(pem.read_text()))
    assert 300 < der.stat().st_size < 900
    async with Broker(["mqtts://127.0.0.1:0"], tls=Tls(pem, tmp_path / "broker.key")) as broker:
        source = program(PAGE, "ca.der").replace(
            "mqtts://pi.local", f"mqtts://localhost:{port_of(broker.addresses[0])}"
        )
        source = source.replace('"ca.der"', repr(str(der)))
        result = await micropython.run(source + CONNECTING, heap="512k")
    assert result.stdout == "there\n"
